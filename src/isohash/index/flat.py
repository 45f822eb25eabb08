"""The flat index: every code is compared with every query, so the answer is exact.

    index = FlatIndex.of(codes)
    hits = index.search(query_codes, k=10)

Hits are ordered by (distance, position): ties go to the code that was added first.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.index import dispatch
from isohash.index.layout import Layout, layout_for, top_symbol
from isohash.records import Codes, Hits


@dataclass(frozen=True, eq=False)
class RangeHits:
    """Everything within a radius: the hits of query i are `ids[offsets[i]:offsets[i + 1]]`.

    Within one query they are ordered by (distance, position). An empty answer is an answer:
    nothing is close enough.
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]
    distances: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, query: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Ids and distances of one query."""
        if not 0 <= query < len(self):
            raise IndexError(query)
        part = slice(self.offsets[query], self.offsets[query + 1])
        return self.ids[part], self.distances[part]


class FlatIndex:
    """Exact nearest neighbours among codes of `length` symbols from an alphabet of `q`.

    `metric` None is Hamming for q = 2 and Lee otherwise. `threads` None uses every core that
    this process may use; the hits do not depend on it.
    """

    def __init__(
        self, length: int, q: int = 2, metric: str | None = None, threads: int | None = None
    ) -> None:
        kind = Codes.from_symbols(np.zeros((0, max(1, length)), np.int64), q, metric)  # type: ignore[arg-type]
        if length < 1:
            raise InputError(f"length must be at least 1 symbol, got {length}")
        self._start(kind, threads)

    def _start(self, kind: Codes, threads: int | None) -> None:
        self._layout: Layout = layout_for(kind)
        self._threads = dispatch.checked_threads(threads)
        self._rows: NDArray[Any] = self._layout.expand(kind[:0])  # capacity x width
        self._ids: NDArray[np.int64] | None = None  # None: ids are positions
        self._n = 0
        self._hash_digest = kind.hash_digest

    @classmethod
    def of(cls, codes: Codes, threads: int | None = None) -> FlatIndex:
        """An index that holds `codes`; their ids are their positions.

        Whole-word Hamming codes are not copied: do not change them while the index is in use.
        """
        index = cls.__new__(cls)
        index._start(codes, threads)
        index.add(codes)
        return index

    def __len__(self) -> int:
        return self._n

    @property
    def length(self) -> int:
        """Symbols per code."""
        return self._layout.length

    @property
    def q(self) -> int:
        """Size of the alphabet."""
        return self._layout.q

    @property
    def metric(self) -> str:
        """`hamming`, `lee` or `squared_lee`."""
        return self._layout.metric

    @property
    def ids(self) -> NDArray[np.int64]:
        """The id of each code, by position."""
        return np.arange(self._n) if self._ids is None else self._ids

    def add(self, codes: Codes, ids: ArrayLike | None = None) -> None:
        """Append codes. `ids` are distinct integers; by default they are the positions."""
        self._check(codes)
        new_ids = None if ids is None else _checked_ids(ids, len(codes))
        if new_ids is not None or self._ids is not None:
            self._ids = self._joined_ids(new_ids, len(codes))
        self._hash_digest = self._hash_digest or codes.hash_digest
        self._append(self._layout.expand(codes))

    def search(self, codes: Codes, k: int, allowed: ArrayLike | None = None) -> Hits:
        """The k nearest codes of each query, ordered by (distance, position).

        `allowed` is a mask over positions, shape (n,): only codes where it is True are
        considered. Fewer than k such codes give fewer columns.
        """
        self._check(codes)
        mask = checked_mask(allowed, self._n)
        n = self._n if mask is None else int(np.count_nonzero(mask))
        distances, positions = dispatch.topk(
            self._layout.expand(codes),
            self._rows[: self._n],
            self._layout,
            min(checked_k(k), n),
            self._threads,
            mask,
        )
        return Hits(self._named(positions), distances)

    def range_search(
        self, codes: Codes, radius: int, allowed: ArrayLike | None = None
    ) -> RangeHits:
        """Every code at distance `radius` or less from each query; possibly none."""
        self._check(codes)
        offsets, distances, positions = dispatch.within(
            self._layout.expand(codes),
            self._rows[: self._n],
            self._layout,
            checked_radius(radius, self._layout),
            self._threads,
            checked_mask(allowed, self._n),
        )
        return RangeHits(offsets, self._named(positions), distances)

    @property
    def hash_digest(self) -> str | None:
        """Which hash made the codes that it holds; None where they do not tell."""
        return self._hash_digest

    def _check(self, codes: Codes) -> None:
        check_same_kind(codes, self._layout, self._hash_digest)

    def _named(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return positions if self._ids is None else self._ids[positions]

    def _joined_ids(self, new_ids: NDArray[np.int64] | None, n_new: int) -> NDArray[np.int64]:
        if new_ids is None:
            new_ids = np.arange(self._n, self._n + n_new)
        joined = np.concatenate([self.ids, new_ids])
        values, counts = np.unique(joined, return_counts=True)
        if len(values) < len(joined):
            twice = int(values[counts > 1][0])
            raise InputError(f"ids must be distinct, got {twice} twice: an id names one code")
        return joined

    def _append(self, rows: NDArray[Any]) -> None:
        n = self._n + len(rows)
        if self._n == 0:
            self._rows = rows
        else:
            if n > len(self._rows) or not self._rows.flags.writeable or self._rows.base is not None:
                grown = np.empty((max(n, 2 * self._n), rows.shape[1]), dtype=rows.dtype)
                grown[: self._n] = self._rows[: self._n]
                self._rows = grown
            self._rows[self._n : n] = rows
        self._n = n


def distances(a: Codes, b: Codes, threads: int | None = None) -> NDArray[np.int32]:
    """Distances between all codes of `a` and of `b`, shape (n_a, n_b)."""
    layout = common_layout(a, b)
    n_threads = dispatch.checked_threads(threads)
    return dispatch.matrix(layout.expand(a), layout.expand(b), layout, n_threads)


def common_layout(a: Codes, b: Codes) -> Layout:
    """The layout in which codes of one kind meet, whatever symbols each of them uses."""
    if (b.length, b.q, b.metric) != (a.length, a.q, a.metric):
        raise InputError(f"codes to compare differ in kind: {describe(a)} and {describe(b)}")
    _check_same_hash(a.hash_digest, b.hash_digest)
    return max(layout_for(a), layout_for(b), key=lambda layout: layout.top)


def check_same_kind(codes: Codes, layout: Layout, hash_digest: str | None) -> None:
    """Refuses codes of another length, alphabet, metric or hash than an index holds."""
    if (codes.length, codes.q, codes.metric) != (layout.length, layout.q, layout.metric):
        raise InputError(
            f"the index holds {describe(layout)}, got {describe(codes)}: "
            "hash both with the same hasher"
        )
    if top_symbol(codes) > layout.top:
        raise InputError(
            f"the index holds symbols up to {layout.top}, got codes with symbols up to "
            f"{top_symbol(codes)}: hash both with the same hasher"
        )
    _check_same_hash(codes.hash_digest, hash_digest)


def _check_same_hash(a: str | None, b: str | None) -> None:
    """Refuses codes of two draws or fits, whose distances mean nothing; None is not known."""
    if a and b and a != b:
        raise InputError(
            f"codes of two hashes cannot be compared (digests {a[:12]} and {b[:12]}): fit a "
            "hasher once, keep its hash_ (save, load_hash) and encode both with it"
        )


def describe(kind: Codes | Layout) -> str:
    """The kind of codes in words, for messages."""
    return f"{kind.metric} codes of {kind.length} symbols (q = {kind.q})"


def checked_k(k: int) -> int:
    """`k` as a non-negative int."""
    number = _as_int(k, "k")
    if number < 0:
        raise InputError(f"k must not be negative, got {number}")
    return number


def checked_radius(radius: int, layout: Layout) -> int:
    """`radius` as a non-negative int, no larger than the largest distance."""
    number = _as_int(radius, "radius")
    if number < 0:
        raise InputError(f"radius must not be negative, got {number}")
    return min(number, layout.largest)


def checked_mask(allowed: ArrayLike | None, n: int) -> dispatch.Mask | None:
    """`allowed` as a mask over n positions; None stays None."""
    if allowed is None:
        return None
    mask = np.ascontiguousarray(allowed)
    if mask.dtype != np.bool_ or mask.shape != (n,):
        raise InputError(
            f"allowed must be a bool mask over {n} positions, "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    return mask


def _as_int(value: int, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name} must be an integer, got {value!r}") from None


def _checked_ids(ids: ArrayLike, n: int) -> NDArray[np.int64]:
    array = np.asarray(ids)
    if array.shape != (n,) or (n and array.dtype.kind not in "iu"):
        raise InputError(
            f"ids must be {n} integers, one per code, got {array.dtype} of shape {array.shape}"
        )
    if n and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"ids must be below 2**63, got {array.max()}: number the codes otherwise")
    return array.astype(np.int64)
