"""The binary kernel hash as a scikit-learn estimator, with the bandwidth chosen from the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from isohash.errors import InputError
from isohash.hashing.bandwidth import BEYOND, neighbour_distance
from isohash.hashing.cosine import CosineHash
from isohash.hashing.estimator import (
    HasherEstimator,
    check_count,
    check_memory,
    named_kernel,
)
from isohash.kernels.radial import RadialKernel

RANDOM_THRESHOLD_OPTIMUM = 0.65  # gamma r^2 with the least relative error of r, random t
SIGN_COSINE_OPTIMUM = 0.91  # the same for t = 0: (0.43 pi)^2 / 2


class KernelHasher(HasherEstimator):
    """Random Fourier features of a radial kernel, one bit each (Raginsky and Lazebnik 2009).

    Args:
        n_bits: length of the codes.
        kernel: a `RadialKernel`, or "rbf" for exp(-gamma r^2); None, or "rbf" without gamma, takes
            the Gaussian whose bits tell distances apart best just beyond the typical 50th neighbour
            of the rows given to `fit`.
        dither: True for random thresholds t (the literature), False for t = 0, which estimates
            distances with 1.8 times fewer bits, "stratified" for random thresholds and phases
            spread evenly.
        orthogonal: orthogonal instead of independent directions.
        random_state: integer, RandomState or None; the seed used is kept in `hash_.metadata`.
        gamma: of kernel="rbf", as in scikit-learn: a number, "scale" or "auto".

    Attributes:
        hash_: the drawn `CosineHash`; save it to compare codes later.
        kernel_: the kernel used.

    Example:
        >>> import numpy as np, isohash
        >>> X = np.random.default_rng(0).standard_normal((200, 16))
        >>> hasher = isohash.KernelHasher(n_bits=256, kernel="rbf", gamma=0.1).fit(X)
        >>> codes = hasher.transform(X)
        >>> codes.shape, codes.packed.shape
        ((200, 256), (200, 32))
    """

    families = (CosineHash.family,)
    hash_: CosineHash

    def __init__(
        self,
        n_bits: int = 1024,
        kernel: RadialKernel | str | None = None,
        dither: bool | str = True,
        orthogonal: bool = True,
        random_state: Any = 0,
        gamma: float | str | None = None,
    ) -> None:
        self.n_bits = n_bits
        self.kernel = kernel
        self.dither = dither
        self.orthogonal = orthogonal
        self.random_state = random_state
        self.gamma = gamma

    @classmethod
    def _parameters(cls, hash_: CosineHash) -> dict[str, Any]:
        kept = {"kernel": hash_.kernel, "random_state": hash_.metadata.get("seed", 0)}
        return {**kept, "n_bits": hash_.frequencies.shape[1], "dither": hash_.dither}

    def _draw(self, X: NDArray[np.float32], seed: int) -> CosineHash:
        n_bits = check_count("n_bits", self.n_bits, 1)
        check_memory("n_bits", n_bits, 28.0 * n_bits * X.shape[1])
        if self.dither not in (True, False, "stratified"):
            raise InputError(f'dither must be True, False or "stratified", got {self.dither!r}')
        self.kernel_, notes = self._choose_kernel(X, seed)
        return CosineHash.draw(
            self.kernel_,
            X.shape[1],
            n_bits,
            seed,
            dither=bool(self.dither),
            orthogonal=self.orthogonal,
            stratified=self.dither == "stratified",
            center=X.mean(axis=0, dtype=np.float64),
            metadata=notes,
        )

    def _choose_kernel(
        self, X: NDArray[np.float32], seed: int
    ) -> tuple[RadialKernel, dict[str, Any]]:
        kernel = named_kernel(self.kernel, self.gamma, X)
        if kernel is not None:
            return kernel, {}
        r0 = neighbour_distance(X, np.random.default_rng([seed, 1]))
        optimum = RANDOM_THRESHOLD_OPTIMUM if self.dither else SIGN_COSINE_OPTIMUM
        return RadialKernel([optimum / (BEYOND * r0) ** 2]), {"r0": r0, "n_fitted": len(X)}

    def collision_probability(self, r: ArrayLike) -> NDArray[np.float64]:
        """P[one bit is equal] for two embeddings r apart, any shape."""
        check_is_fitted(self, "hash_")
        return self.hash_.collision_probability(r)

    def expected_distance(self, r: ArrayLike) -> NDArray[np.float64]:
        """Expected Hamming distance of two codes whose embeddings are r apart."""
        check_is_fitted(self, "hash_")
        return self.hash_.expected_distance(r)
