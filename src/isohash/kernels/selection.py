"""Learned radii and chosen directions: random features of a learned kernel, reweighted.

A radial kernel decides how long frequencies are, not where they point. Importance sampling
(`isohash.kernels.importance`) decides both among candidates. Here the candidates come from a
learned kernel, and held-out loss decides whether to reweight them at all, and by which score. The
ball is wide enough for the number of features asked: its least effective number 1 / |q|^2 is 200,
or twice that number, and they are drawn without replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.kernels.importance import (
    balanced_scores,
    best_distribution,
    class_sums,
    published_scores,
    select_features,
)
from isohash.kernels.learner import KernelLearner
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import FeatureClassifier, RandomFeatures
from isohash.kernels.tuning import (
    MOST_FEATURES,
    Fold,
    KernelChoice,
    TunedKernel,
    chosen_kernel,
    divided,
    held_out_loss,
)

Matrix = NDArray[np.float64]
Score = Callable[[Matrix, Matrix], Matrix]

SCORES: dict[str, Score] = {"published": published_scores, "balanced": balanced_scores}
# Fewer effective features than this would leave nearly the same few directions.
LEAST_EFFECTIVE = 200


@dataclass(eq=False)
class FeatureSelection:
    """Draws features of `kernel` for the rows of X (n, d) and their classes y in 0..k-1.

    `losses` holds, for every number of features drawn so far, the held-out loss of plain features
    ("none") and of every score.
    """

    kernel: RadialKernel
    X: Matrix
    y: NDArray[np.int64]
    folds: Sequence[Fold]
    seed: int | None
    n_candidates: int = 10_000
    C: float = 1.0
    losses: dict[int, dict[str, float]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        dim = self.X.shape[1]
        self._candidates = RandomFeatures.draw(self.kernel, self.n_candidates, dim, rng)
        # Sums over the classes of each fold's held-out part: all others follow by adding them up.
        k, n = int(self.y.max()) + 1, len(self.y)
        members = np.zeros((len(self.folds), k, n))
        for fold, (_, held_out) in enumerate(self.folds):
            members[fold, self.y[held_out], held_out] = 1.0
        self._counts = members.sum(axis=2)
        flat = class_sums(self._candidates, self.X, members.reshape(-1, n))
        self._sums = flat.reshape(len(self.folds), k, -1)

    def draw(self, n: int) -> RandomFeatures:
        """The n features whose kind has the least held-out loss."""
        losses = self.losses.setdefault(n, self._losses(min(n, MOST_FEATURES)))
        return self._draw(min(losses, key=lambda kind: losses[kind]), n, None)

    def _losses(self, n: int) -> dict[str, float]:
        kinds = ["none", *SCORES] if self._counts.shape[1] == 2 else ["none", "balanced"]
        return {kind: float(np.mean([self._loss(kind, n, f) for f in range(len(self.folds))]))
                for kind in kinds}  # fmt: skip

    def _loss(self, kind: str, n: int, fold: int) -> float:
        z = self._draw(kind, n, fold)(self.X)
        return held_out_loss(z, self.y, self.folds[fold], self.C)

    def _draw(self, kind: str, n: int, without: int | None) -> RandomFeatures:
        """Features of one kind, by the labels of all rows or of those outside one fold."""
        rng = np.random.default_rng(self.seed)
        effective = max(LEAST_EFFECTIVE, 2 * n)
        if kind == "none" or effective >= self.n_candidates:
            return RandomFeatures.draw(self.kernel, n, self.X.shape[1], rng, orthogonal=True)
        keep = np.arange(len(self.folds)) != (-1 if without is None else without)
        scores = SCORES[kind](self._sums[keep].sum(axis=0), self._counts[keep].sum(axis=0))
        radius = np.sqrt(1.0 / effective - 1.0 / self.n_candidates)
        q = best_distribution(scores, float(radius))
        return select_features(self._candidates, q, n, rng, replace=False)


class SelectedFeatureSVM(FeatureClassifier):
    """Linear SVM on features of a learned kernel, reweighted where held-out loss says it helps.

    Args:
        n_features: D.
        C: as in `RandomFeatureSVM`.
        random_state: seed of the candidates, of the draws and of the held-out parts.
        kernel: as in `RandomFeatureSVM`, but None learns by alignment and then tunes the scale.
        n_candidates: M, the number of features to choose from.
        n_folds: into how many parts the data are divided to choose.
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
        n_folds: int = 3,
    ) -> None:
        self.n_features = n_features
        self.C = C
        self.random_state = random_state
        self.kernel = kernel
        self.n_candidates = n_candidates
        self.n_folds = n_folds

    def _draw_features(
        self, X: Matrix, y: NDArray[np.int64], rng: np.random.Generator
    ) -> RandomFeatures:
        if self.n_candidates < 2:
            raise InputError(f"n_candidates must be at least 2, got {self.n_candidates}")
        folds = divided(X, y, None, self.n_folds, self.random_state)
        choice = self.kernel
        if choice is None:
            learner = KernelLearner(n_particles=100, n_steps=500)
            choice = TunedKernel(learner, C=self.C, random_state=self.random_state)
        self.kernel_ = chosen_kernel(choice, X, y, self.n_features, rng)
        selection = FeatureSelection(
            self.kernel_, X, y, folds, self.random_state, self.n_candidates, self.C
        )
        features = selection.draw(self.n_features)
        self.losses_ = selection.losses[self.n_features]
        return features
