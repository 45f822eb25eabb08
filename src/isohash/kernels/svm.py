"""A kernel SVM by random features of any radial kernel: fixed, tuned or learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from isohash.errors import InputError
from isohash.kernels.learner import KernelLearner
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import FeatureClassifier, RandomFeatures, median_kernel


class RandomFeatureSVM(FeatureClassifier):
    """Linear SVM on random features of a radial kernel (Rahimi and Recht 2007).

    Args:
        kernel: a RadialKernel; a KernelLearner, of which a copy learns from the training data and
            its labels; or None for the Gaussian kernel of the median heuristic.
        n_features: D, the number of random features.
        C: weight of the squared hinge loss against |w|^2 / 2.
        random_state: seed of the features.
    """

    n_features: int

    def __init__(
        self,
        kernel: RadialKernel | KernelLearner | None = None,
        n_features: int = 500,
        C: float = 1.0,
        random_state: int | None = 0,
    ) -> None:
        self.kernel = kernel
        self.n_features = n_features
        self.C = C
        self.random_state = random_state

    def _draw_features(
        self, X: NDArray[np.float64], y: NDArray[np.int64], rng: np.random.Generator
    ) -> RandomFeatures:
        self.kernel_ = self._fitted_kernel(X, y, rng)
        return RandomFeatures.draw(self.kernel_, self.n_features, X.shape[1], rng)

    def _fitted_kernel(
        self, X: NDArray[np.float64], y: NDArray[np.int64], rng: np.random.Generator
    ) -> RadialKernel:
        if self.kernel is None:
            return median_kernel(X, rng)
        if isinstance(self.kernel, RadialKernel):
            return self.kernel
        if isinstance(self.kernel, KernelLearner):
            return clone(self.kernel).fit(X, y).kernel
        raise InputError(
            f"kernel must be a RadialKernel, a KernelLearner or None, got {type(self.kernel)}"
        )
