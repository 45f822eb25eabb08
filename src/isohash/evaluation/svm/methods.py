"""The compared classifiers on one split: errors, and processor seconds to learn and in total.

Every curve ends in the same linear SVM with the same C; they differ in the random features that it
is given. What a method learns before it knows the number of features is learned once per split,
and its time counts for every number of features.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.kernel_approximation import Nystroem
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from isohash.evaluation.kit.parts import Row
from isohash.evaluation.svm.classification_data import Split
from isohash.kernels.learning.learner import KernelLearner
from isohash.kernels.machines.importance import alignment_scores, best_distribution, select_features
from isohash.kernels.machines.particle_sgd import ParticleSGDSVM
from isohash.kernels.machines.selection import FeatureSelection
from isohash.kernels.machines.tuning import TunedKernel, divided
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import RandomFeatures, linear_svm, median_kernel

CURVES = {
    "gaussian": "untrained Gaussian (γ = 1)",
    "median": "median heuristic",
    "cross-validated": "cross-validated γ",
    "importance": "importance sampling",
    "particle-sgd": "particle SGD",
    "alignment": "learned particles, by alignment alone",
    "learned": "learned particles, scale by held-out loss",
    "learned-importance": "learned particles + importance",
    # Only in tables: what is owed to the learned kernel, and a rival's step that suits small D.
    "median-importance": "median heuristic + importance",
    "particle-sgd-scaled": "particle SGD, step D/10",
}
CONTEXT = {"svc": "exact RBF SVM", "nystroem": "Nyström", "linear": "linear SVM on the data"}
N_FOLDS = 3
PUBLISHED_STEP = 10.0  # of particle SGD

Result = TypeVar("Result")


@dataclass(frozen=True)
class MethodSettings:
    """What the methods may be set to; the same for every data set."""

    C: float = 1.0
    factors: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    n_particles: int = 100
    learner_steps: int = 500
    sgd_steps: int = 15_000
    n_candidates: int = 10_000
    rho: float = 0.005


def measure(
    split: Split, seed: int, n_features: tuple[int, ...], settings: MethodSettings
) -> Iterator[Row]:
    """Errors and times of every method on one split, the curves at every number of features."""
    methods = Methods(split, seed, settings)
    for method in CURVES:
        for n in n_features:
            yield {"method": method, "n_features": n, **_curve_point(methods, method, n)}
    for method, model in methods.context(max(n_features)).items():
        _, seconds = timed(partial(model.fit, split.X_train, split.y_train))
        errors = _errors(model, split.X_train, split.X_test, split)
        yield {
            "method": method, "n_features": 0, "n_used": 0, **errors,
            "learning_seconds": 0.0, "total_seconds": round(seconds, 4),
        }  # fmt: skip


def _curve_point(methods: Methods, method: str, n: int) -> Row:
    features, learning = methods.features(method, n)
    split, C = methods.split, methods.settings.C
    (z, model), fitting = timed(lambda: _fitted(features, split, C))
    return {
        "n_used": len(features),
        **_errors(model, z, features(split.X_test), split),
        "learning_seconds": round(learning, 4),
        "total_seconds": round(learning + fitting, 4),
    }


def _fitted(features: RandomFeatures, split: Split, C: float) -> tuple[NDArray[Any], Any]:
    z = features(split.X_train)
    return z, linear_svm(C).fit(z, split.y_train)


def _errors(model: Any, train: NDArray[Any], test: NDArray[Any], split: Split) -> Row:
    return {
        "train_error": round(1.0 - model.score(train, split.y_train), 6),
        "test_error": round(1.0 - model.score(test, split.y_test), 6),
    }


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What `work` returns, and the processor seconds that it took.

    With one thread these are the seconds on an idle machine, whatever else runs.
    """
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


class Methods:
    """Random features of every method of `CURVES` on one split."""

    def __init__(self, split: Split, seed: int, settings: MethodSettings) -> None:
        self.split, self.seed, self.settings = split, seed, settings
        self.labels = np.unique(split.y_train, return_inverse=True)[1]
        self._kernels: dict[tuple[str, int], tuple[RadialKernel, float]] = {}
        self._selections: dict[bytes, tuple[FeatureSelection, float]] = {}

    def features(self, method: str, n: int) -> tuple[RandomFeatures, float]:
        """Features of a method, and the seconds that learning them took, shared work included."""
        if method == "importance":
            return self._importance(n)
        if method == "particle-sgd":
            return self._particle_sgd(n, PUBLISHED_STEP)
        if method == "particle-sgd-scaled":
            return self._particle_sgd(n, n / 10.0)
        if method in ("learned-importance", "median-importance"):
            return self._selected("learned" if method.startswith("learned") else "median", n)
        kernel, seconds = self._kernel(method, n)
        features, drawing = timed(lambda: self._draw(kernel, n))
        return features, seconds + drawing

    def context(self, n_components: int) -> dict[str, Any]:
        """Classifiers to compare with: exact kernel, landmarks, no kernel."""
        typical = self._median[0].particles[0]
        C, seed = self.settings.C, self.seed
        gammas = [float(factor * typical) for factor in self.settings.factors]
        landmarks = Nystroem(
            gamma=typical, n_components=min(n_components, len(self.labels)), random_state=seed
        )
        return {
            "svc": GridSearchCV(SVC(C=C), {"gamma": gammas}, cv=self._folds),
            "nystroem": make_pipeline(landmarks, linear_svm(C)),
            "linear": linear_svm(C),
        }

    def _kernel(self, method: str, n: int) -> tuple[RadialKernel, float]:
        if method == "gaussian":
            return RadialKernel([1.0]), 0.0
        if method in ("median", "alignment"):
            return self._median if method == "median" else self._aligned
        base, seconds = self._median if method == "cross-validated" else self._aligned
        if (method, n) not in self._kernels:
            self._kernels[method, n] = timed(lambda: self._tuned(base, n))
        tuned, tuning = self._kernels[method, n]
        return tuned, seconds + tuning

    def _draw(self, kernel: RadialKernel, n: int) -> RandomFeatures:
        rng = np.random.default_rng(self.seed)
        return RandomFeatures.draw(kernel, n, self.split.X_train.shape[1], rng, orthogonal=True)

    @cached_property
    def _median(self) -> tuple[RadialKernel, float]:
        return timed(lambda: median_kernel(self.split.X_train, np.random.default_rng(self.seed)))

    @cached_property
    def _aligned(self) -> tuple[RadialKernel, float]:
        learner = KernelLearner(
            n_particles=self.settings.n_particles, n_steps=self.settings.learner_steps,
            record_every=self.settings.learner_steps, n_evaluation_pairs=1000,
            random_state=self.seed,
        )  # fmt: skip
        return timed(lambda: learner.fit(self.split.X_train, self.labels).kernel)

    @cached_property
    def _folds(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        return divided(self.split.X_train, self.labels, self.split.groups_train, N_FOLDS, self.seed)

    def _tuned(self, base: RadialKernel, n: int) -> RadialKernel:
        factors, C = self.settings.factors, self.settings.C
        tuner = TunedKernel(base, factors, C=C, n_folds=N_FOLDS, random_state=self.seed).sized(n)
        return tuner.fit(self.split.X_train, self.labels, self.split.groups_train).kernel_

    @cached_property
    def _weighted(self) -> tuple[tuple[RandomFeatures, NDArray[np.float64]], float]:
        return timed(self._weigh)

    def _weigh(self) -> tuple[RandomFeatures, NDArray[np.float64]]:
        X, rng = self.split.X_train, np.random.default_rng(self.seed)
        kernel = median_kernel(X, rng)
        candidates = RandomFeatures.draw(kernel, self.settings.n_candidates, X.shape[1], rng)
        scores = alignment_scores(candidates, X, self.labels)
        return candidates, best_distribution(scores, float(np.sqrt(self.settings.rho)))

    def _importance(self, n: int) -> tuple[RandomFeatures, float]:
        (candidates, weights), seconds = self._weighted
        rng = np.random.default_rng([self.seed, n])
        features, drawing = timed(lambda: select_features(candidates, weights, n, rng))
        return features, seconds + drawing

    def _particle_sgd(self, n: int, step_size: float) -> tuple[RandomFeatures, float]:
        model = ParticleSGDSVM(
            n, random_state=self.seed, n_steps=self.settings.sgd_steps, step_size=step_size
        )
        _, seconds = timed(lambda: model.learn_features(self.split.X_train, self.labels))
        return model.features_, seconds

    def _selected(self, base: str, n: int) -> tuple[RandomFeatures, float]:
        kernel, seconds = self._kernel(base, n)
        key = kernel.particles.tobytes()  # the same scale for another n shares the candidates
        if key not in self._selections:
            self._selections[key] = timed(lambda: self._selection(kernel))
        selection, preparing = self._selections[key]
        rng = np.random.default_rng([self.seed, n])
        features, choosing = timed(lambda: selection.draw(n, rng))
        return features, seconds + preparing + choosing

    def _selection(self, kernel: RadialKernel) -> FeatureSelection:
        rng, settings = np.random.default_rng(self.seed), self.settings
        return FeatureSelection.of(
            kernel, self.split.X_train, self.labels, settings.n_candidates, settings.C, rng
        )
