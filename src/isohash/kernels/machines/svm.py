"""A kernel SVM by random features of any radial kernel: fixed, tuned or learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.kernels.machines.tuning import KernelChoice, chosen_kernel
from isohash.kernels.random_features import FeatureClassifier, RandomFeatures


class RandomFeatureSVM(FeatureClassifier):
    """Linear SVM on random features of a radial kernel (Rahimi and Recht 2007).

    Args:
        kernel: a RadialKernel; a KernelLearner or a TunedKernel, of which a copy learns from the
            training data and its labels; or None for the Gaussian kernel of the median heuristic.
        n_features: D, the number of random features.
        C: weight of the squared hinge loss against |w|^2 / 2.
        random_state: seed of the features.
        orthogonal: orthogonal instead of independent directions.
        probability: whether `predict_proba` is there, for six linear SVMs instead of one.

    Example:
        >>> import isohash, numpy as np
        >>> X = np.random.default_rng(0).standard_normal((300, 2))
        >>> y = np.where(np.linalg.norm(X, axis=1) > 1.2, "outside", "inside")
        >>> model = isohash.RandomFeatureSVM(n_features=200).fit(X, y)
        >>> model.predict([[0.0, 0.0], [2.0, 2.0]]).tolist()
        ['inside', 'outside']
        >>> sure = isohash.RandomFeatureSVM(n_features=200, probability=True).fit(X, y)
        >>> bool(sure.predict_proba([[0.0, 0.0]])[0, 0] > 0.9)
        True
    """

    n_features: int

    def __init__(
        self,
        kernel: KernelChoice = None,
        n_features: int = 500,
        C: float = 1.0,
        random_state: int | None = 0,
        *,
        orthogonal: bool = True,
        probability: bool = False,
    ) -> None:
        self.kernel = kernel
        self.n_features = n_features
        self.C = C
        self.random_state = random_state
        self.orthogonal = orthogonal
        self.probability = probability

    def _draw_features(
        self, X: NDArray[np.float64], y: NDArray[np.int64], rng: np.random.Generator
    ) -> RandomFeatures:
        self.kernel_ = chosen_kernel(self.kernel, X, y, self.n_features, rng)
        fresh = np.random.default_rng(self.random_state)  # the draws that TunedKernel has judged
        return RandomFeatures.draw(
            self.kernel_, self.n_features, X.shape[1], fresh, self.orthogonal
        )
