"""Learned radii and chosen directions: importance sampling of a learned kernel by residuals.

A radial kernel decides how long frequencies are, not where they point; importance sampling
(`isohash.kernels.machines.importance`) chooses among drawn candidates, but by one score for all, so
that it takes the same few directions again and again. Here the candidates come from a learned
kernel, and features are taken in rounds: each round scores the candidates by
(sum_i r_i z_m(x_i))^2 with the residuals r of a least-squares fit on the features taken before,
finds the best distribution in a chi-square ball, and draws from it without replacement. In the
first round r is the centred label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from isohash.errors import InputError
from isohash.kernels.learning.learner import KernelLearner
from isohash.kernels.machines.importance import SMALLEST_WEIGHT, best_distribution
from isohash.kernels.machines.tuning import KernelChoice, TunedKernel, chosen_kernel, signs_of
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import FeatureClassifier, RandomFeatures

N_ROUNDS = 10
# The effective number 1 / |q|^2 of a round's distribution: fewer would be a greedy choice.
LEAST_EFFECTIVE = 50
# Points that score the candidates; all of them would take memory in proportion.
MOST_POINTS = 4000


@dataclass(frozen=True, eq=False)
class FeatureSelection:
    """Candidates with their cosines `z` (n, M) at n points and the points' `signs` (n, k).

    `signs` has a column for each class against the rest, or one for two classes.
    """

    candidates: RandomFeatures
    z: NDArray[np.float32]
    signs: NDArray[np.float64]
    C: float

    @classmethod
    def of(
        cls,
        kernel: RadialKernel,
        X: NDArray[np.float64],
        y: NDArray[np.int64],
        n_candidates: int,
        C: float,
        rng: np.random.Generator,
    ) -> FeatureSelection:
        """Draw candidates of `kernel` to be scored at the rows of X (n, d) of classes y in 0..k-1.

        Not more than `MOST_POINTS` rows are used, drawn evenly.
        """
        if n_candidates < 2:
            raise InputError(f"n_candidates must be at least 2, got {n_candidates}")
        signs = signs_of(y)
        if len(X) > MOST_POINTS:
            rows = np.sort(rng.choice(len(X), MOST_POINTS, replace=False))
            X, signs = X[rows], signs[rows]
        candidates = RandomFeatures.draw(kernel, n_candidates, X.shape[1], rng)
        return cls(candidates, candidates.cosines(X), signs, C)

    def draw(self, n: int, rng: np.random.Generator) -> RandomFeatures:
        """Take n features in rounds; all candidates where they are not more."""
        taken = np.zeros(0, np.int64)
        residuals = self.signs - self.signs.mean(axis=0)
        for target in np.diff(np.linspace(0, n, N_ROUNDS + 1).astype(int)):
            taken = np.concatenate([taken, self._round(residuals, taken, int(target), rng)])
            residuals = self._residuals(taken)
        return RandomFeatures(self.candidates.frequencies[taken], self.candidates.phases[taken])

    def _round(
        self,
        residuals: NDArray[np.float64],
        taken: NDArray[np.int64],
        n: int,
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Places of n more candidates, by the distribution that agrees best with the residuals."""
        free = np.setdiff1d(np.arange(len(self.candidates)), taken)
        effective = max(LEAST_EFFECTIVE, 2 * n)
        if n == 0 or effective >= len(free):
            return rng.choice(free, min(n, len(free)), replace=False)
        agreement = residuals.T.astype(np.float32) @ self.z  # (k, M)
        scores = np.square(agreement[:, free], dtype=np.float64).sum(axis=0)
        q = best_distribution(scores, float(np.sqrt(1.0 / effective - 1.0 / len(free))))
        left = np.flatnonzero(q > SMALLEST_WEIGHT)
        return free[rng.choice(left, n, replace=False, p=q[left] / q[left].sum())]

    def _residuals(self, taken: NDArray[np.int64]) -> NDArray[np.float64]:
        if not len(taken):
            return self.signs - self.signs.mean(axis=0)
        z = self.z[:, taken] * np.float32(np.sqrt(2.0 / len(taken)))
        model = Ridge(1.0 / (2.0 * self.C), solver="cholesky").fit(z, self.signs)
        return self.signs - model.predict(z).reshape(self.signs.shape)


class SelectedFeatureSVM(FeatureClassifier):
    """Linear SVM on features of a learned kernel that are chosen by residuals.

    Args:
        n_features: D.
        C: as in `RandomFeatureSVM`.
        random_state: seed of the candidates and of the draws.
        kernel: as in `RandomFeatureSVM`, but None learns by alignment and then tunes the scale.
        n_candidates: M, the number of features to choose from.
        probability: as in `RandomFeatureSVM`.

    Example:
        >>> import isohash, numpy as np
        >>> X = np.random.default_rng(0).standard_normal((300, 2))
        >>> y = np.where(np.linalg.norm(X, axis=1) > 1.2, "outside", "inside")
        >>> kernel = isohash.RadialKernel([0.5])
        >>> model = isohash.SelectedFeatureSVM(50, kernel=kernel, n_candidates=300).fit(X, y)
        >>> model.predict([[0.0, 0.0], [2.0, 2.0]]).tolist()
        ['inside', 'outside']
    """

    n_features: int

    def __init__(
        self,
        n_features: int = 500,
        C: float = 1.0,
        random_state: int | None = 0,
        *,
        kernel: KernelChoice = None,
        n_candidates: int = 10_000,
        probability: bool = False,
    ) -> None:
        self.n_features = n_features
        self.C = C
        self.random_state = random_state
        self.kernel = kernel
        self.n_candidates = n_candidates
        self.probability = probability

    def _draw_features(
        self, X: NDArray[np.float64], y: NDArray[np.int64], rng: np.random.Generator
    ) -> RandomFeatures:
        choice = self.kernel
        if choice is None:
            learner = KernelLearner(n_particles=100, n_steps=500)
            choice = TunedKernel(learner, C=self.C, random_state=self.random_state)
        self.kernel_ = chosen_kernel(choice, X, y, self.n_features, rng)
        selection = FeatureSelection.of(self.kernel_, X, y, self.n_candidates, self.C, rng)
        return selection.draw(self.n_features, rng)
