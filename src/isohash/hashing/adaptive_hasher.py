"""The family that ranks best for a given number of stored bits (docs/hashing.md has the trials)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from isohash.errors import InputError
from isohash.hashing.estimator import HasherEstimator, check_count
from isohash.hashing.fitted.adaptive import AdaptiveHash
from isohash.hashing.fitted.adaptive_fit import fit_adaptive
from isohash.hashing.fitted.block import BlockHash
from isohash.hashing.fitted.block_fit import BITS_PER_AXIS, Against
from isohash.records import Codes


class AdaptiveHasher(HasherEstimator):
    """Principal axes with bits where the data spread, as a scikit-learn estimator.

    Args:
        stored_bits: bits of one stored code, at most; fewer are used where the data have too few
            dimensions to spend them on.
        random_state: integer, RandomState or None; the seed used is kept in `hash_.metadata`.
        against: what stored codes will be compared with: "codes", or "vectors" by `asymmetric`.
            At few bits these want different axes.

    Attributes:
        hash_: the fitted `AdaptiveHash` or `BlockHash`; save it to compare codes later.
    """

    families = (AdaptiveHash.family, BlockHash.family)
    hash_: AdaptiveHash | BlockHash

    @classmethod
    def _parameters(cls, hash_: AdaptiveHash | BlockHash) -> dict[str, Any]:
        n_bits = 8 * int(hash_.encode(np.zeros((0, hash_.dim), np.float32)).packed.shape[1])
        return {"stored_bits": n_bits, "random_state": hash_.metadata.get("seed", 0)}

    def __init__(
        self, stored_bits: int = 1024, random_state: Any = 0, against: Against = "codes"
    ) -> None:
        self.stored_bits = stored_bits
        self.random_state = random_state
        self.against = against

    def _draw(self, X: NDArray[np.float32], seed: int) -> AdaptiveHash | BlockHash:
        if self.against not in BITS_PER_AXIS:
            raise InputError(f'against must be "codes" or "vectors", got {self.against!r}')
        n_bits = check_count("stored_bits", self.stored_bits, 1)
        return fit_adaptive(X, n_bits, seed, self.against)

    def encode_queries(self, X: ArrayLike) -> Codes:
        """Queries (n, d) as finer codes, which rank the stored ones better (see AdaptiveHash)."""
        check_is_fitted(self, "hash_")
        return self.hash_.encode_queries(X)

    def asymmetric(self, X: ArrayLike, codes: Codes) -> NDArray[np.float64]:
        """Euclidean distances (n, m) of real-valued queries X (n, d) to stored codes (m)."""
        check_is_fitted(self, "hash_")
        return self.hash_.asymmetric(X, codes)


def make_hasher(
    stored_bits: int = 1024, random_state: Any = 0, against: Against = "codes"
) -> AdaptiveHasher:
    """The best hasher for that many stored bits per item; its codes carry their metric.

    Example:
        >>> import numpy as np, isohash
        >>> X = np.random.default_rng(0).standard_normal((300, 16))
        >>> codes = isohash.make_hasher(64).fit(X).transform(X)
        >>> D, I = isohash.FlatIndex.of(codes).search(codes[:2], k=1)
        >>> codes.packed.shape, I.ravel().tolist()
        ((300, 8), [0, 1])
    """
    return AdaptiveHasher(stored_bits, random_state, against)
