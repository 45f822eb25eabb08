"""Multi-index hashing: exact search of short codes in near-constant time per query.

The hash-table lookup of the literature, made exact (Norouzi, Punjani, Fleet: Fast search in
Hamming space with multi-index hashing, 2012). Worth it for single queries of up to 64 bits among
millions of codes. A query whose neighbours are far is answered by the flat scan, so the answer is
always exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash import native
from isohash.errors import InputError
from isohash.index import dispatch
from isohash.index.flat import FlatIndex, check_same_kind, checked_k
from isohash.index.layout import layout_of
from isohash.records import Codes, Hits

SHORTEST, LONGEST = native.SHORTEST_TABLES, native.LONGEST_TABLES

# A bucket costs a jump in memory, a scanned code does not: beyond this share of the codes the scan
# is the cheaper way to the same answer.
MOST_TOUCHED = 1 / 4


class MultiIndex:
    """Exact Hamming neighbours of codes of 4 to 64 bits, by tables of their substrings.

    Answers are those of `FlatIndex`, in the same order; only the cost differs. The tables hold the
    codes four times, about 48 bytes a code. Without the compiled extension it is a flat index.

    Example:
        >>> import isohash, numpy as np
        >>> bits = np.random.default_rng(0).integers(0, 2, (1000, 64))
        >>> codes = isohash.Codes.from_symbols(bits, q=2)
        >>> hits = isohash.MultiIndex(codes).search(codes[:2], k=1)
        >>> hits.ids.ravel().tolist()
        [0, 1]
    """

    def __init__(self, codes: Codes, threads: int | None = None) -> None:
        if codes.q != 2 or not SHORTEST <= codes.length <= LONGEST:
            raise InputError(
                f"multi-index hashing takes bit codes of {SHORTEST} to {LONGEST} bits, "
                f"got {codes.length} symbols (q = {codes.q}): use FlatIndex"
            )
        self._layout = layout_of(codes.length, codes.q, codes.metric)
        self._threads = dispatch.checked_threads(threads)
        self._flat = FlatIndex.of(codes, self._threads)
        self._tables: native.Tables | None = None
        if native.available():
            self._tables = native.Tables(self._layout.expand(codes), codes.length)

    @classmethod
    def of(cls, codes: Codes, threads: int | None = None) -> MultiIndex:
        """An index that holds `codes`; their ids are their positions."""
        return cls(codes, threads)

    def __len__(self) -> int:
        return len(self._flat)

    def search(self, codes: Codes, k: int, allowed: ArrayLike | None = None) -> Hits:
        """The k nearest codes of each query, ordered by (distance, position).

        With `allowed`, a mask over positions (n,), the flat scan answers.
        """
        if allowed is not None:
            return self._flat.search(codes, k, allowed)
        return self.search_counted(codes, k)[0]

    def search_counted(self, codes: Codes, k: int) -> tuple[Hits, NDArray[np.int64]]:
        """The hits, and how many codes and buckets each query looked at, shape (n_queries,)."""
        check_same_kind(codes, self._layout, self._flat.hash_digest)
        n, wanted = len(self), min(checked_k(k), len(self))
        scan = dispatch.native_scan(self._layout, n, self._threads)
        if self._tables is None or scan is None or wanted == 0:
            return self._flat.search(codes, k), np.full(len(codes), n, dtype=np.int64)
        queries: NDArray[Any] = self._layout.expand(codes)
        most = int(n * MOST_TOUCHED)
        distances, positions, touched = self._tables.topk(scan, queries, wanted, most)
        return Hits(positions, distances), touched
