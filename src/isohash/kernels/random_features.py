"""Random Fourier features, and the linear SVM that the feature classifiers share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse import issparse
from scipy.spatial.distance import pdist
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_val_predict
from sklearn.svm import LinearSVC
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from isohash.errors import InputError
from isohash.kernels.radial import RadialKernel

FOLDS = 5  # of the rows, from whose held-out scores probabilities are learned
# Rows that stand for all when a typical distance is wanted.
MEDIAN_ROWS = 1000


@dataclass(frozen=True, eq=False)
class RandomFeatures:
    """z(x) = sqrt(2/D) cos(W x + b) for `frequencies` W (D, d) and `phases` b (D,)."""

    frequencies: NDArray[np.floating]
    phases: NDArray[np.floating]

    def __call__(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        """Features (n, D) of the rows of X (n, d); <z(x), z(y)> estimates K(x, y)."""
        z = X @ self.frequencies.T
        z += self.phases
        np.cos(z, out=z)
        z *= float(np.sqrt(2.0 / len(self.phases)))
        return z

    def cosines(self, X: NDArray[np.floating]) -> NDArray[np.float32]:
        """cos(W x + b) of the rows of X in single precision, six times faster: (n, D)."""
        z = X.astype(np.float32) @ self.frequencies.T.astype(np.float32)
        z += self.phases.astype(np.float32)
        return np.cos(z, out=z)

    def __len__(self) -> int:
        return len(self.phases)

    @classmethod
    def draw(
        cls,
        kernel: RadialKernel,
        n: int,
        dim: int,
        rng: np.random.Generator,
        orthogonal: bool = False,
    ) -> RandomFeatures:
        """Draw n features of a radial kernel."""
        frequencies = kernel.sample_frequencies(n, dim, rng, orthogonal)
        return cls(frequencies, rng.uniform(0.0, 2.0 * np.pi, n))


def median_kernel(X: NDArray[np.float64], rng: np.random.Generator) -> RadialKernel:
    """The Gaussian kernel of the median heuristic: xi = 1 / median |x - y|^2."""
    rows = X[rng.choice(len(X), min(len(X), MEDIAN_ROWS), replace=False)]
    squared = pdist(rows, "sqeuclidean")
    median = float(np.median(squared)) if len(squared) else 0.0
    if median == 0.0:
        median = float(squared.mean()) if len(squared) else 0.0
    return RadialKernel([1.0 / median if median > 0 else 1.0])


def linear_svm(C: float) -> LinearSVC:
    """The linear SVM of all feature classifiers: squared hinge, one class against the rest."""
    return LinearSVC(C=C, dual=False, tol=1e-2, max_iter=2000)


def _tells_probabilities(model: FeatureClassifier) -> bool:
    return model.probability


class FeatureClassifier(ClassifierMixin, BaseEstimator):
    """A linear SVM (squared hinge, one against the rest) on features that a subclass draws.

    Subclasses have the parameters n_features, C and random_state, and `_draw_features`; those
    with `probability` also tell probabilities.
    """

    probability: bool = False

    n_features: int | None
    C: float
    random_state: int | None

    def _draw_features(
        self, X: NDArray[np.float64], y: NDArray[np.int64], rng: np.random.Generator
    ) -> RandomFeatures:
        raise NotImplementedError

    def fit(self, X: ArrayLike, y: ArrayLike) -> FeatureClassifier:
        """Draw the features, learned from X (n, d) and y (n,) or not, and fit the SVM on them."""
        return self.learn_features(X, y).fit_svm(X, y)

    def learn_features(self, X: ArrayLike, y: ArrayLike) -> FeatureClassifier:
        """The first half of `fit`: everything but the SVM."""
        points, labels = _dense(self, X, y, reset=True)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                f"y holds one class only ({self.classes_[0]!r}): a classifier needs at least 2"
            )
        if not self.C > 0:
            raise InputError(f"C must be positive, got {self.C}")
        _refuse_beyond_memory(len(points), self.n_features)
        rng = np.random.default_rng(self.random_state)
        self.features_ = self._draw_features(points, codes.astype(np.int64), rng)
        return self

    def fit_svm(self, X: ArrayLike, y: ArrayLike) -> FeatureClassifier:
        """The second half of `fit`: the linear SVM on the features learned before."""
        points, labels = _dense(self, X, y, reset=False)
        codes = np.searchsorted(self.classes_, labels)
        z = self.features_(points)
        self.svm_ = linear_svm(self.C).fit(z, codes)
        if self.probability:
            self.sharpness_ = self._sharpness(z, codes)
        return self

    def _sharpness(self, z: NDArray[np.floating], y: NDArray[np.int64]) -> float:
        """The factor of held-out scores that makes their softmax the most likely (Guo 2017)."""
        fewest = int(np.bincount(y).min())
        if fewest < 2:
            raise InputError(
                "probability=True needs at least 2 rows of each class, got one of 1: add rows"
            )
        folds, own = min(FOLDS, fewest), (np.arange(len(y)), y)
        scores = cross_val_predict(linear_svm(self.C), z, y, cv=folds, method="decision_function")
        each = _of_each_class(scores)
        found = minimize_scalar(
            lambda log: -log_softmax(np.exp(log) * each, axis=1)[own].mean(), bounds=(-10.0, 10.0)
        )
        return float(np.exp(found.x))

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Signed distance to the margin: (n,) for two classes, else (n, n_classes)."""
        check_is_fitted(self)
        points, _ = _dense(self, X, None, reset=False)
        return self.svm_.decision_function(self.features_(points))

    @available_if(_tells_probabilities)
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """How likely each class is, (n, n_classes).

        The softmax of the scores, as sharp as held-out ones tell (temperature scaling, Guo et al.
        2017).
        """
        check_is_fitted(self, "sharpness_")
        each = _of_each_class(self.decision_function(X))
        return np.asarray(softmax(self.sharpness_ * each, axis=1))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most likely class of each row."""
        scores = self.decision_function(X)
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[best]


def _of_each_class(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (n, n_classes); of two classes the first has 0."""
    return scores if scores.ndim == 2 else np.column_stack([np.zeros(len(scores)), scores])


def _dense(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike | None, reset: bool
) -> tuple[NDArray[np.float64], Any]:
    """X as finite doubles and y checked, by scikit-learn's rules."""
    if y is None:
        return dense_rows(estimator, X, reset=reset), None
    with _explained(X):
        return validate_data(estimator, X, y, reset=reset, dtype=np.float64)


def dense_rows(
    estimator: BaseEstimator,
    X: ArrayLike,
    reset: bool,
    dtype: Any = np.float64,
    fewest: int = 1,
) -> NDArray[Any]:
    """X (n, d) as finite real numbers, n >= fewest, by scikit-learn's rules."""
    with _explained(X):
        return validate_data(estimator, X, reset=reset, dtype=dtype, ensure_min_samples=fewest)


@contextmanager
def _explained(X: ArrayLike) -> Iterator[None]:
    """What scikit-learn refuses as one line."""
    if issparse(X):
        raise InputError("X is a sparse matrix, and random features are dense: call X.toarray()")
    try:
        yield
    except ValueError as error:
        told = str(error)
        if " contains NaN" in told or " contains infinity" in told:  # the rest advises others
            told = f"{told.splitlines()[0]} Remove or impute those rows."
        raise InputError(" ".join(told.split())) from error


def _refuse_beyond_memory(n_points: int, n_features: int | None) -> None:
    if n_features is None:
        return
    if n_features < 1:
        raise InputError(f"n_features must be at least 1, got {n_features}")
    needed = 8 * n_points * n_features
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise InputError(
            f"n_features = {n_features} for {n_points} points takes {needed / 2**30:.0f} GiB, and "
            f"this machine has {memory / 2**30:.0f} GiB: lower n_features or fit on fewer points"
        )
