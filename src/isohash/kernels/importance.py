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
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import FeatureClassifier, RandomFeatures, median_kernel

# Weights below rounding are no longer part of the distribution.
SMALLEST_WEIGHT = float(np.finfo(np.float64).eps)


def project_on_simplex(v: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest point with non-negative entries that sum to 1 (by sorting)."""
    v = v - v.max()  # shifts change nothing, and large values would swallow the 1
    falling = np.sort(v)[::-1]
    excess = (np.cumsum(falling) - 1.0) / np.arange(1, len(v) + 1)
    last = np.flatnonzero(falling > excess)[-1]
    return np.maximum(v - excess[last], 0.0)


def best_distribution(
    scores: NDArray[np.float64], radius: float, tolerance: float = 1e-8
) -> NDArray[np.float64]:
    """Maximise <q, scores> over the simplex with |q - uniform|_2 <= radius.

    Doubles lambda until the ball holds, then bisects to `tolerance` (relative above 1); the
    feasible end is returned.
    """
    if not radius > 0:
        raise InputError(f"the radius must be positive, got {radius}")
    uniform = 1.0 / len(scores)
    largest = float(np.abs(scores).max())
    if largest == 0.0:
        return np.full(len(scores), uniform)
    scaled = scores / largest

    def at(multiplier: float) -> tuple[NDArray[np.float64], bool]:
        q = project_on_simplex(uniform + scaled / multiplier)
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
    return q


def alignment_scores(
    features: RandomFeatures, X: NDArray[np.float64], y: NDArray[np.int64], block: int = 2048
) -> NDArray[np.float64]:
    """(sum_i y_i cos(<w, x_i> + b))^2 for every feature, y in {-1, +1}.

    With more than two classes (y in 0..k-1) the scores of each class against the rest are added.
    """
    n_classes = int(y.max()) + 1
    columns = [1] if n_classes == 2 else range(n_classes)
    signs = np.stack([np.where(y == c, 1.0, -1.0) for c in columns])  # (classes, n)
    total = np.zeros((len(signs), len(features)))
    for start in range(0, len(X), block):
        rows = slice(start, start + block)
        total += signs[:, rows] @ np.cos(X[rows] @ features.frequencies.T + features.phases)
    return np.square(total).sum(axis=0)


def select_features(
    candidates: RandomFeatures,
    q: NDArray[np.float64],
    n_features: int | None,
    rng: np.random.Generator,
) -> RandomFeatures:
    """Draw n_features from q; all that are left, once each, where that is not more than asked."""
    left = np.flatnonzero(q > SMALLEST_WEIGHT)
    if n_features is not None and n_features < len(left):
        left = rng.choice(len(q), n_features, p=q / q.sum())
    return RandomFeatures(candidates.frequencies[left], candidates.phases[left])


class ImportanceSampledSVM(FeatureClassifier):
    """Linear SVM on random features drawn from the distribution best aligned with the labels.

    Args:
        n_features: D; None takes every feature that the distribution leaves.
        C: as in `RandomFeatureSVM`.
        random_state: seed of the candidates and of the draw.
        n_candidates: M, the number of features to choose from.
        rho: chi-square radius as a share of M: |q - 1/M|^2 <= rho (0.005 in the authors' code).
        base_kernel: candidates are features of this kernel; None is the median heuristic. The
            published w ~ N(0, I) is RadialKernel([0.5]).
    """

    def __init__(
        self,
        n_features: int | None = 500,
        C: float = 1.0,
        random_state: int | None = 0,
        *,
        n_candidates: int = 10_000,
        rho: float = 0.005,
        base_kernel: RadialKernel | None = None,
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
        kernel = self.base_kernel if self.base_kernel is not None else median_kernel(X, rng)
        candidates = RandomFeatures.draw(kernel, self.n_candidates, X.shape[1], rng)
        scores = alignment_scores(candidates, X, y)
        self.weights_ = best_distribution(scores, float(np.sqrt(self.rho)))
        return select_features(candidates, self.weights_, self.n_features, rng)
