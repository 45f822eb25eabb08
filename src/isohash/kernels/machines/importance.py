"""Importance sampling of random features by kernel alignment (Sinha and Duchi, NIPS 2016).

Candidate features are scored by v_m = (sum_i y_i cos(<w_m, x_i> + b_m))^2, and the distribution q
over them maximises <q, v> in a chi-square ball around the uniform one,
|q - 1/M|^2 <= rho / M. For a multiplier lambda the maximiser is the projection of 1/M + v / lambda
on the simplex, so one bisection finds it. Features are then drawn from q.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.kernels.machines.tuning import KernelChoice, chosen_kernel
from isohash.kernels.random_features import FeatureClassifier, RandomFeatures

# Weights below rounding are no longer part of the distribution.
SMALLEST_WEIGHT = float(np.finfo(np.float64).eps)
# Rows whose candidates are held at once: 10 MB for 10 000 of them.
BLOCK_ROWS = 256


def _threshold(falling: NDArray[np.float64], sums: NDArray[np.float64]) -> float:
    """What the projection takes from every entry, for sorted entries and their running sums."""
    excess = (sums - 1.0) / np.arange(1, len(falling) + 1)
    return float(excess[np.flatnonzero(falling > excess)[-1]])


def best_distribution(
    scores: NDArray[np.float64], radius: float, tolerance: float = 1e-8
) -> NDArray[np.float64]:
    """Maximise <q, scores> over the simplex with |q - uniform|_2 <= radius.

    Doubles lambda until the ball holds, then bisects to `tolerance` (relative above 1); the
    feasible end is returned. The entries of 1/M + scores / lambda keep their order, so they are
    sorted once for all projections.
    """
    if not radius > 0:
        raise InputError(f"the radius must be positive, got {radius}")
    uniform = 1.0 / len(scores)
    largest = float(np.abs(scores).max())
    if largest == 0.0:
        return np.full(len(scores), uniform)
    order = np.argsort(-scores, kind="stable")
    falling = (scores[order] - scores[order[0]]) / largest  # a shift changes no projection
    sums = np.cumsum(falling)

    def at(multiplier: float) -> tuple[NDArray[np.float64], bool]:
        taken = _threshold(falling / multiplier, sums / multiplier)
        q = np.maximum(falling / multiplier - taken, 0.0)
        return q, float(np.sum((q - uniform) ** 2)) <= radius**2

    low, high = 0.0, 1.0
    q, feasible = at(high)
    while not feasible:
        low, high = high, 2.0 * high
        q, feasible = at(high)
    while high - low > tolerance * max(high, 1.0):  # scaled scores differ by 1 at most
        middle = 0.5 * (low + high)
        trial, feasible = at(middle)
        if feasible:
            q, high = trial, middle
        else:
            low = middle
    unsorted = np.empty_like(q)
    unsorted[order] = q
    return unsorted


def alignment_scores(
    features: RandomFeatures, X: NDArray[np.float64], y: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How well every feature z_m = cos(<w_m, x> + b_m) agrees with the classes y in 0..k-1.

    Two classes: (sum_i y_i z_m(x_i))^2 with y in {-1, +1}, as published. More: the scatter of the
    class means of z_m around their mean. (The published score of each class against the rest, added
    up, mostly measures how far z_m is from 0 on average, for nearly all labels are -1 then.)
    """
    n_classes = int(y.max()) + 1
    members = (y == np.arange(n_classes)[:, None]).astype(np.float32)  # (classes, n)
    sums = np.zeros((n_classes, len(features)))
    for start in range(0, len(X), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        sums += members[:, rows] @ features.cosines(X[rows])
    if n_classes == 2:
        return np.square(sums[1] - sums[0])
    means = sums / members.sum(axis=1, keepdims=True)
    return np.square(means - means.mean(axis=0)).sum(axis=0)


def select_features(
    candidates: RandomFeatures,
    q: NDArray[np.float64],
    n_features: int | None,
    rng: np.random.Generator,
) -> RandomFeatures:
    """Draw n_features from q; all that are left, once each, where that is not more than asked."""
    left = np.flatnonzero(q > SMALLEST_WEIGHT)
    if n_features is not None and n_features < len(left):
        left = rng.choice(left, n_features, p=q[left] / q[left].sum())
    return RandomFeatures(candidates.frequencies[left], candidates.phases[left])


class ImportanceSampledSVM(FeatureClassifier):
    """Linear SVM on random features drawn from the distribution best aligned with the labels.

    Args:
        n_features: D; None takes every feature that the distribution leaves.
        C: as in `RandomFeatureSVM`.
        random_state: seed of the candidates and of the draw.
        n_candidates: M, the number of features to choose from.
        rho: chi-square radius as a share of M: |q - 1/M|^2 <= rho (0.005 in the authors' code),
            so that the effective number of features 1 / |q|^2 is at least 1 / (rho + 1/M).
        base_kernel: candidates are features of this kernel, of which learners learn first as in
            `RandomFeatureSVM`; None is the median heuristic. The published w ~ N(0, I) is
            RadialKernel([0.5]).
    """

    def __init__(
        self,
        n_features: int | None = 500,
        C: float = 1.0,
        random_state: int | None = 0,
        *,
        n_candidates: int = 10_000,
        rho: float = 0.005,
        base_kernel: KernelChoice = None,
    ) -> None:
        self.n_features = n_features
        self.C = C
        self.random_state = random_state
        self.n_candidates = n_candidates
        self.rho = rho
        self.base_kernel = base_kernel

    def _draw_features(
        self, X: NDArray[np.float64], y: NDArray[np.int64], rng: np.random.Generator
    ) -> RandomFeatures:
        if self.n_candidates < 2:
            raise InputError(f"n_candidates must be at least 2, got {self.n_candidates}")
        if not self.rho > 0:
            raise InputError(f"rho must be positive, got {self.rho}")
        kernel = chosen_kernel(self.base_kernel, X, y, self.n_features, rng)
        candidates = RandomFeatures.draw(kernel, self.n_candidates, X.shape[1], rng)
        scores = alignment_scores(candidates, X, y)
        self.weights_ = best_distribution(scores, float(np.sqrt(self.rho)))
        return select_features(candidates, self.weights_, self.n_features, rng)
