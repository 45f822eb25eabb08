"""Prefix filter: look at some bits of every code, and at all bits of the few that may be near.

For long codes and single queries, where reading memory is the cost. `prefix_bits` positions are
drawn at random once. If two codes differ in d of n bits, the number of differing bits among the m
drawn ones is hypergeometric, so a code whose drawn bits differ in more than

    tau(d) = the smallest t with P(Hypergeometric(n, d, m) > t) <= 1e-9

is at distance d or less with a probability of at most 1e-9 over the draw. The search bounds the
k-th distance by T from a few promising codes and verifies every code within tau(T). T is never
below the true k-th distance and tau never falls, hence the guarantee:

    each true neighbour is missed with probability at most 1e-9, for any codes, over the draw.

Where more than a quarter of the codes survive, the plain scan answers, exactly.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.index import dispatch
from isohash.index.flat import check_same_kind, checked_k, checked_mask
from isohash.index.layout import layout_of, words_of
from isohash.records import Codes, Hits

MISS_PROBABILITY = 1e-9

# How many positions are drawn unless told otherwise: a quarter, up to what is fast to compare.
BITS_PER_PREFIX_BIT = 4
MOST_PREFIX_BITS = 1024

# Codes verified to bound the k-th distance, per neighbour wanted.
SEEDS_PER_NEIGHBOUR = 4

# Above this share of survivors the plain scan is the faster way.
MOST_SURVIVORS = 1 / 4

# Rows whose bits are unpacked at a time.
UNPACKED_ROWS = 4096


class PrefixIndex:
    """Nearest codes by Hamming distance; each misses with probability at most 1e-9 (see above).

    `prefix_bits` None draws a quarter of the bits, at most 1024. `rng` draws the positions: the
    same generator state, the same index.

    Example:
        >>> import isohash, numpy as np
        >>> bits = np.random.default_rng(0).integers(0, 2, (1000, 512))
        >>> codes = isohash.Codes.from_symbols(bits, q=2)
        >>> hits = isohash.PrefixIndex.of(codes).search(codes[:2], k=1)
        >>> hits.ids.ravel().tolist()
        [0, 1]
    """

    def __init__(
        self,
        codes: Codes,
        prefix_bits: int | None = None,
        threads: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        if prefix_bits is None:
            prefix_bits = max(1, min(MOST_PREFIX_BITS, codes.length // BITS_PER_PREFIX_BIT))
        if codes.q != 2 or not 1 <= prefix_bits <= codes.length:
            raise InputError(
                f"the prefix filter takes 1 to {codes.length} of the bits of bit codes, "
                f"got prefix_bits {prefix_bits} for q = {codes.q}"
            )
        rng = np.random.default_rng(0) if rng is None else rng
        self._layout = layout_of(codes.length, codes.q, codes.metric)
        self._prefix_layout = layout_of(prefix_bits, 2, "hamming")
        self._threads = dispatch.checked_threads(threads)
        self._columns = np.sort(rng.permutation(codes.length)[:prefix_bits])
        self._hash_digest = codes.hash_digest
        self._rows = self._layout.expand(codes)
        self._prefixes = self._prefix_of(codes)

    @classmethod
    def of(
        cls, codes: Codes, prefix_bits: int | None = None, threads: int | None = None
    ) -> PrefixIndex:
        """An index that holds `codes`; their ids are their positions."""
        return cls(codes, prefix_bits, threads)

    def __len__(self) -> int:
        return len(self._rows)

    def search(self, codes: Codes, k: int, allowed: ArrayLike | None = None) -> Hits:
        """The k nearest codes of each query, ordered by (distance, position).

        `allowed` is a mask over positions, (n,): only codes where it is True are considered.
        """
        return self.search_counted(codes, k, allowed)[0]

    def search_counted(
        self, codes: Codes, k: int, allowed: ArrayLike | None = None
    ) -> tuple[Hits, NDArray[np.int64]]:
        """The hits, and how many codes were compared in full for each query, (n_queries,)."""
        check_same_kind(codes, self._layout, self._hash_digest)
        mask = checked_mask(allowed, len(self))
        among = np.arange(len(self)) if mask is None else np.flatnonzero(mask)
        wanted = min(checked_k(k), len(among))
        queries, prefixes = self._layout.expand(codes), self._prefix_of(codes)
        distances = np.empty((len(codes), wanted), dtype=np.int32)
        positions = np.empty((len(codes), wanted), dtype=np.int64)
        verified = np.zeros(len(codes), dtype=np.int64)
        for i in range(len(codes) if wanted else 0):
            survivors = self._survivors(queries[i : i + 1], prefixes[i : i + 1], wanted, among)
            found = self._verify(queries[i : i + 1], survivors, wanted)
            distances[i], positions[i] = found
            verified[i] = len(survivors)
        return Hits(positions, distances), verified

    def _survivors(
        self, query: NDArray[Any], prefix: NDArray[Any], k: int, among: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Positions of the codes that may be the k nearest `among` some; all, if most may."""
        partial = dispatch.matrix(prefix, self._prefixes, self._prefix_layout, self._threads)[0]
        partial = partial[among]
        counts = np.cumsum(np.bincount(partial))
        enough = min(SEEDS_PER_NEIGHBOUR * k, len(among))
        nearest_prefixes = int(np.searchsorted(counts, enough))
        seeds = among[np.flatnonzero(partial <= nearest_prefixes)[: 2 * enough]]
        bound = self._verify(query, seeds, k)[0][-1]
        keep = self.largest_prefix_distance[bound]
        if counts[min(int(keep), len(counts) - 1)] > MOST_SURVIVORS * len(among):
            return among
        return among[partial <= keep]

    def _verify(
        self, query: NDArray[Any], survivors: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Distances and positions of the k nearest among `survivors`, ascending positions."""
        rows = self._rows if len(survivors) == len(self) else self._rows[survivors]
        distances, places = dispatch.topk(query, rows, self._layout, k, self._threads)
        return distances[0], survivors[places[0]]

    @cached_property
    def largest_prefix_distance(self) -> NDArray[np.int64]:
        """tau(d) for every distance d, shape (length + 1,)."""
        return largest_prefix_distances(self._layout.length, len(self._columns))

    def _prefix_of(self, codes: Codes) -> NDArray[np.uint64]:
        """The drawn bits of each code, as words."""
        parts = []
        for start in range(0, len(codes), UNPACKED_ROWS):
            rows = codes.packed[start : start + UNPACKED_ROWS]
            bits = np.unpackbits(rows, axis=1, count=codes.length)
            parts.append(words_of(np.packbits(bits[:, self._columns], axis=1)))
        empty = np.empty((0, self._prefix_layout.width), dtype=np.uint64)
        return np.concatenate([empty, *parts])


def largest_prefix_distances(n: int, m: int) -> NDArray[np.int64]:
    """tau(d) for d = 0..n: smallest t with P(Hypergeometric(n, d, m) > t) <= 1e-9.

    The number of differing bits among m drawn of n, where d of the n differ.
    """
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])

    def log_choose(a: int, b: NDArray[np.int64]) -> NDArray[np.float64]:
        return log_factorial[a] - log_factorial[b] - log_factorial[a - b]

    tau = np.empty(n + 1, dtype=np.int64)
    for d in range(n + 1):
        drawn = np.arange(max(0, m + d - n), min(d, m) + 1)
        log_p = log_choose(d, drawn) + log_choose(n - d, m - drawn)
        probability = np.exp(log_p - log_choose(n, np.array([m]))[0])
        at_least = np.cumsum(probability[::-1])[::-1]  # P(X >= drawn), small terms first
        tau[d] = drawn[np.flatnonzero(at_least > MISS_PROBABILITY)[-1]]
    return np.maximum.accumulate(tau)
