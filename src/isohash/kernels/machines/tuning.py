"""What a kernel machine may be given as its kernel, and tuning a kernel's scale.

Alignment asks how well distances separate the classes on average and does not see the classifier;
the loss on held-out points does. Stretching all bandwidths of a kernel by one factor keeps its
shape, so a Gaussian and a learned mixture are tuned in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from isohash.errors import InputError
from isohash.kernels.learning.learner import KernelLearner
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import RandomFeatures, dense_rows, median_kernel

# More features than this change which kernel is best very little, and cost much.
MOST_FEATURES = 500

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


class TunedKernel(BaseEstimator):
    """A kernel times the factor whose random-feature SVM has the least held-out loss.

    Args:
        kernel: what is stretched: a RadialKernel; a KernelLearner, of which a copy learns from the
            same data first; or None for the Gaussian kernel of the median heuristic.
        factors: of the bandwidths xi; smaller is a wider kernel.
        n_features, C: of the SVM that is cross-validated. None is as many features as the
            classifier that asks for the kernel has, and at most 500: few want a wider kernel.
        n_folds: into how many parts the data are divided; fewer where a class is smaller.
        random_state: seed of the parts and of the features. All factors share their directions, and
            so does a RandomFeatureSVM with the same seed: what is tuned is what is used.
    """

    def __init__(
        self,
        kernel: RadialKernel | KernelLearner | None = None,
        factors: Sequence[float] = (0.03, 0.1, 0.3, 1.0, 3.0),
        n_features: int | None = None,
        C: float = 1.0,
        n_folds: int = 3,
        random_state: int | None = 0,
    ) -> None:
        self.kernel = kernel
        self.factors = factors
        self.n_features = n_features
        self.C = C
        self.n_folds = n_folds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> TunedKernel:
        """Choose by the rows of X (n, d) and their classes y; `groups` (n,) are never divided.

        Afterwards `kernel_` is the kernel, `factor_` the chosen factor and `losses_` the mean
        squared hinge loss of every factor on held-out points.
        """
        points = dense_rows(self, X, reset=True, fewest=2)
        labels = np.unique(_labels(y, len(points)), return_inverse=True)[1]
        factors = self._checked_factors()
        rng = np.random.default_rng(self.random_state)
        base = chosen_kernel(self.kernel, points, labels, self.n_features, rng)
        kernels = [RadialKernel(factor * base.particles) for factor in factors]
        folds = divided(points, labels, groups, self.n_folds, self.random_state)
        self.losses_ = np.array([self._loss(kernel, points, labels, folds) for kernel in kernels])
        best = int(np.argmin(self.losses_))
        self.factor_, self.kernel_ = float(factors[best]), kernels[best]
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def sized(self, n_features: int | None) -> TunedKernel:
        """An unfitted copy that tunes for so many features, unless told otherwise before."""
        copy = clone(self)
        if copy.n_features is None and n_features is not None:
            copy.n_features = min(n_features, MOST_FEATURES)
        return copy

    def _checked_factors(self) -> NDArray[np.float64]:
        factors = np.asarray(self.factors, np.float64)
        if not (factors.ndim == 1 and len(factors) and (factors > 0).all()):
            raise InputError(f"factors must be positive numbers, got {self.factors!r}")
        return factors

    def _loss(
        self,
        kernel: RadialKernel,
        X: NDArray[np.float64],
        y: NDArray[np.int64],
        folds: Sequence[Fold],
    ) -> float:
        rng = np.random.default_rng(self.random_state)  # the same draws for every factor
        n = MOST_FEATURES if self.n_features is None else self.n_features
        features = RandomFeatures.draw(kernel, n, X.shape[1], rng, orthogonal=True)
        z = features(X)
        return float(np.mean([held_out_loss(z, y, fold, self.C) for fold in folds]))


def _labels(y: ArrayLike, n: int) -> NDArray[Any]:
    if y is None:
        raise InputError("TunedKernel requires y to be passed, but the target y is None")
    labels = np.asarray(y)
    if labels.shape != (n,):
        raise InputError(f"y must hold one class for each of the {n} rows, got {labels.shape}")
    return labels


KernelChoice = RadialKernel | KernelLearner | TunedKernel | None


def chosen_kernel(
    choice: KernelChoice,
    X: NDArray[np.float64],
    y: NDArray[np.int64],
    n_features: int | None,
    rng: np.random.Generator,
) -> RadialKernel:
    """The kernel that `choice` stands for, for n_features on the rows of X with classes y."""
    if choice is None:
        return median_kernel(X, rng)
    if isinstance(choice, RadialKernel):
        return choice
    if isinstance(choice, TunedKernel):
        return choice.sized(n_features).fit(X, y).kernel_
    if isinstance(choice, KernelLearner):
        return clone(choice).fit(X, y).kernel_
    raise InputError(
        f"kernel must be a RadialKernel, a KernelLearner, a TunedKernel or None, got {type(choice)}"
    )


def divided(
    X: NDArray[np.float64],
    y: NDArray[np.int64],
    groups: ArrayLike | None,
    n_folds: int,
    seed: int | None,
) -> list[Fold]:
    """Rows to train on and rows held out, n_folds times; fewer where a class is smaller."""
    if n_folds < 2:
        raise InputError(f"n_folds must be at least 2, got {n_folds}")
    if y.max() < 1:
        raise InputError("y holds one class only: holding out needs at least 2")
    smallest = int(np.bincount(y).min())
    if smallest < 2:
        raise InputError("a class has one point only: holding out needs at least 2 of every class")
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = kind(min(n_folds, smallest), shuffle=True, random_state=seed)
    return list(folds.split(X, y, groups))


def held_out_loss(z: NDArray[np.floating], y: NDArray[np.int64], fold: Fold, C: float) -> float:
    """Mean over held-out points of the squared hinge loss, summed over classes against the rest.

    `z` (n, D) are features and y in 0..k-1 classes. Least squares with the same C stand in for the
    SVM: one factorisation serves all classes.
    """
    train, held_out = fold
    signs = signs_of(y)
    model = Ridge(1.0 / (2.0 * C), solver="cholesky").fit(z[train], signs[train])
    scores = model.predict(z[held_out]).reshape(len(held_out), -1)
    return float(np.mean(np.sum(np.maximum(0.0, 1.0 - signs[held_out] * scores) ** 2, axis=1)))


def signs_of(y: NDArray[np.int64]) -> NDArray[np.float64]:
    """+1 and -1 for each class in 0..k-1 against the rest: (n, k), or (n, 1) for two classes."""
    classes = [1] if y.max() == 1 else range(int(y.max()) + 1)
    return np.where(y[:, None] == np.asarray(classes), 1.0, -1.0)
