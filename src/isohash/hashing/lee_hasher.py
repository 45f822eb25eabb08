"""The q-ary hash as a scikit-learn estimator, with the scale of its quantiser fitted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from isohash.errors import InputError
from isohash.hashing.bandwidth import BEYOND, neighbour_distance
from isohash.hashing.estimator import (
    HasherEstimator,
    check_count,
    check_memory,
    named_kernel,
)
from isohash.hashing.lee import LeeHash, best_deviation, check_alphabet
from isohash.kernels.radial import RadialKernel
from isohash.records import Metric

FEATURE_BANDWIDTH = 0.25  # gamma r0^2: at r0 the features still follow the distance


class LeeHasher(HasherEstimator):
    """Codes of symbols 0..q-1 compared by Lee distance. Prefer even q: odd ones clip the peak.

    Args:
        n_symbols: length of the codes.
        q: size of the alphabet; a stored symbol takes ceil(log2 q) bits.
        kernel: the kernel of the random features, a `RadialKernel` or "rbf" for exp(-gamma r^2);
            needs `n_features`. None takes a Gaussian.
        n_features: None quantises linear projections of the embedding, an integer that many
            random Fourier features of the kernel.
        scale: standard deviation s of the projection's weights, in quantiser steps. None fits it,
            so that symbols are sharpest just beyond the typical 50th neighbour of the rows given
            to `fit`.
        random_state: integer, RandomState or None; the seed used is kept in `hash_.metadata`.
        metric: `lee`, or `squared_lee`, which follows the Euclidean distance more closely.
        orthogonal: orthogonal instead of independent directions.
        gamma: of kernel="rbf", as in scikit-learn: a number, "scale" or "auto".

    Attributes:
        hash_: the drawn `LeeHash`; save it to compare codes later. `hash_.scale` is s.

    Example:
        >>> import numpy as np, isohash
        >>> X = np.random.default_rng(0).standard_normal((200, 16))
        >>> codes = isohash.LeeHasher(n_symbols=64, q=10).fit(X).transform(X)
        >>> codes.shape, codes.q, codes.metric
        ((200, 64), 10, 'lee')
    """

    families = (LeeHash.family,)
    hash_: LeeHash

    def __init__(
        self,
        n_symbols: int = 1024,
        q: int = 10,
        kernel: RadialKernel | str | None = None,
        n_features: int | None = None,
        scale: float | None = None,
        random_state: Any = 0,
        metric: Metric = "lee",
        orthogonal: bool = True,
        gamma: float | str | None = None,
    ) -> None:
        self.n_symbols = n_symbols
        self.q = q
        self.kernel = kernel
        self.n_features = n_features
        self.scale = scale
        self.random_state = random_state
        self.metric = metric
        self.orthogonal = orthogonal
        self.gamma = gamma

    @classmethod
    def _parameters(cls, hash_: LeeHash) -> dict[str, Any]:
        drawn = {name: getattr(hash_, name) for name in ("n_symbols", "q", "scale", "metric")}
        drawn["random_state"] = hash_.metadata.get("seed", 0)
        features = hash_.features
        if features is None:
            return drawn
        return {**drawn, "kernel": features.kernel, "n_features": len(features.phases)}

    def _draw(self, X: NDArray[np.float32], seed: int) -> LeeHash:
        n_symbols, q = check_count("n_symbols", self.n_symbols, 1), check_count("q", self.q, 2)
        check_alphabet(n_symbols, q, self.metric)
        n_features = None
        if self.n_features is not None:
            n_features = check_count("n_features", self.n_features, 1)
        check_memory("n_symbols", n_symbols, 28.0 * n_symbols * (n_features or X.shape[1]))
        check_memory("n_features", n_features or 0, 28.0 * (n_features or 0) * X.shape[1])
        kernel, scale, notes = self._choose(X, n_features, seed)
        return LeeHash.draw(
            X.shape[1],
            n_symbols,
            q,
            scale,
            seed,
            kernel=kernel,
            n_features=n_features,
            metric=self.metric,
            orthogonal=self.orthogonal,
            center=X.mean(axis=0, dtype=np.float64),
            metadata=notes,
        )

    def _choose(
        self, X: NDArray[np.float32], n_features: int | None, seed: int
    ) -> tuple[RadialKernel | None, float, dict[str, Any]]:
        """Kernel, scale and notes: what was given, or what the neighbour distance suggests."""
        if self.kernel is not None and n_features is None:
            raise InputError("a kernel needs n_features: without, the embedding itself is hashed")
        kernel = named_kernel(self.kernel, self.gamma, X)
        if self.scale is not None and not (self.scale > 0 and math.isfinite(self.scale)):
            raise InputError(f"scale must be positive and finite, got {self.scale!r}")
        if self.scale is not None and (kernel is not None or n_features is None):
            return kernel, float(self.scale), {}
        r0 = neighbour_distance(X, np.random.default_rng([seed, 1]))
        if kernel is None and n_features is not None:
            kernel = RadialKernel([FEATURE_BANDWIDTH / r0**2])
        spread = r = BEYOND * r0
        if kernel is not None:
            spread = math.sqrt((n_features or 1) * (1.0 - float(kernel.of_distance(r))))
        if spread == 0:
            raise InputError(
                f"the kernel cannot tell rows {r:.3g} apart from equal ones: choose its particles "
                f"near {FEATURE_BANDWIDTH / r0**2:.3g}, or scale the rows"
            )
        scale = float(self.scale or best_deviation(self.q, self.metric) / spread)
        return kernel, scale, {"r0": r0, "n_fitted": len(X)}

    def expected_distance(self, r: ArrayLike) -> NDArray[np.float64]:
        """Expected distance of two codes whose embeddings are r apart, any shape."""
        check_is_fitted(self, "hash_")
        return self.hash_.expected_distance(r)
