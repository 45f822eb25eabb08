"""The flat index: every code is compared with every query, so the answer is exact.

    index = FlatIndex.of(codes)
    hits = index.search(query_codes, k=10)

Hits are ordered by (distance, position): ties go to the code that was added first.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.index import dispatch
from isohash.index.growing import Growing, Names
from isohash.index.kept import read_index, write_index
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

    Codes are `Codes`, or arrays: packed bytes (n, n_bytes) of uint8, as FAISS and NumPy's packbits
    have them, or symbols (n, length) of any other integer type.

    Args:
        length: symbols of a code (bits, for q = 2).
        q: size of the alphabet.
        metric: None is Hamming for q = 2 and Lee otherwise.
        threads: None uses every core that this process may use; the hits do not depend on it.

    Example:
        >>> import numpy as np, isohash
        >>> packed = np.random.default_rng(0).integers(0, 256, (1000, 32), dtype=np.uint8)
        >>> index = isohash.FlatIndex(256)
        >>> index.add(packed, ids=[f"item-{i}" for i in range(1000)])
        >>> D, I = index.search(packed[:2], k=3)
        >>> I[:, 0].tolist(), D[:, 0].tolist()
        (['item-0', 'item-1'], [0, 0])
    """

    def __init__(
        self, length: int, q: int = 2, metric: str | None = None, threads: int | None = None
    ) -> None:
        kind = Codes.from_symbols(np.zeros((0, max(1, length)), np.int64), q, metric)  # type: ignore[arg-type]
        if length < 1:
            raise InputError(f"length must be at least 1 symbol, got {length}")
        self._start(kind, threads)

    def _start(self, kind: Codes, threads: int | None) -> None:
        self._kind = kind[:0]
        self._layout: Layout = layout_for(kind)
        self._threads = dispatch.checked_threads(threads)
        self._rows = Growing(self._layout.expand(self._kind))
        self._packed = None if self._layout.keeps(kind) else Growing(self._kind.packed)
        self._names = Names()

    @classmethod
    def of(
        cls, codes: Codes, threads: int | None = None, ids: ArrayLike | None = None
    ) -> FlatIndex:
        """An index that holds `codes`; their ids are their positions unless they are given.

        Whole-word Hamming codes are not copied: do not change them while the index is in use.
        """
        index = cls.__new__(cls)
        index._start(codes, threads)
        index.add(codes, ids)
        return index

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"FlatIndex({len(self)} {describe(self._layout)})"

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
    def ids(self) -> NDArray[Any]:
        """The id of each code, by position."""
        return self._names.all(len(self))

    @property
    def codes(self) -> Codes:
        """All codes, in the order of their positions."""
        if self._packed is not None:
            return replace(self._kind, packed=self._packed.rows)
        rows = self._rows.rows.view(np.uint8)
        return replace(self._kind, packed=rows[:, : self._kind.packed.shape[1]])

    def add(self, codes: Codes | ArrayLike, ids: ArrayLike | None = None) -> None:
        """Append codes. `ids` are distinct integers or strings; by default they are positions."""
        codes = self._checked(codes)
        self._names.extend(ids, len(self), len(codes))
        if self.hash_digest is None:
            self._kind = replace(self._kind, hash_digest=codes.hash_digest)
        self._rows.append(self._layout.expand(codes))
        if self._packed is not None:
            self._packed.append(codes.packed)

    def remove(self, ids: ArrayLike) -> None:
        """Remove codes by their ids. Those that are left keep theirs, and their order."""
        kept = np.ones(len(self), dtype=bool)
        kept[self._names.positions(ids, len(self))] = False
        self._names.keep(kept)
        for rows in (self._rows, self._packed):
            if rows is not None:
                rows.keep(kept)

    def reconstruct(self, ids: ArrayLike) -> Codes:
        """The codes of some ids, in their order."""
        return self.codes[self._names.positions(ids, len(self))]

    def save(self, path: str | Path) -> None:
        """Write codes and ids to one file (safetensors), which `load` and `view` read."""
        write_index(path, self.codes, self._names.given)

    @classmethod
    def load(cls, path: str | Path, threads: int | None = None) -> FlatIndex:
        """Read an index, every byte checked; InputError if the file is damaged or another's."""
        return cls.of(*_named(read_index(path, mapped=False), threads))

    @classmethod
    def view(cls, path: str | Path, threads: int | None = None) -> FlatIndex:
        """An index whose codes stay in the file, mapped: for codes that exceed memory.

        Codes of whole 64-bit words, or of half or whole bytes, are searched in place; others are
        unpacked into memory. The bytes are not checked. Do not change the file meanwhile.
        """
        return cls.of(*_named(read_index(path, mapped=True), threads))

    def search(self, codes: Codes | ArrayLike, k: int, allowed: ArrayLike | None = None) -> Hits:
        """The k nearest codes of each query, ordered by (distance, position).

        `allowed` is a mask over positions, shape (n,): only codes where it is True are
        considered. Fewer than k such codes give fewer columns. `D, I = index.search(...)` unpacks
        distances and ids.
        """
        codes = self._checked(codes)
        mask = checked_mask(allowed, len(self))
        n = len(self) if mask is None else int(np.count_nonzero(mask))
        distances, positions = dispatch.topk(
            self._layout.expand(codes),
            self._rows.rows,
            self._layout,
            min(checked_k(k), n),
            self._threads,
            mask,
        )
        return Hits(self._names.of(positions), distances)

    def range_search(
        self, codes: Codes | ArrayLike, radius: int, allowed: ArrayLike | None = None
    ) -> RangeHits:
        """Every code at distance `radius` or less from each query; possibly none."""
        codes = self._checked(codes)
        offsets, distances, positions = dispatch.within(
            self._layout.expand(codes),
            self._rows.rows,
            self._layout,
            checked_radius(radius, self._layout),
            self._threads,
            checked_mask(allowed, len(self)),
        )
        return RangeHits(offsets, self._names.of(positions), distances)

    @property
    def hash_digest(self) -> str | None:
        """Which hash made the codes that it holds; None where they do not tell."""
        return self._kind.hash_digest

    def _checked(self, given: Codes | ArrayLike) -> Codes:
        codes = as_codes(given, self._kind)
        check_same_kind(codes, self._layout, self.hash_digest)
        return codes


def as_codes(given: Codes | ArrayLike, kind: Codes) -> Codes:
    """Codes as they are, or an array of packed bytes or of symbols as codes of a kind."""
    if isinstance(given, Codes):
        return given
    array = np.asarray(given)
    array = array[None] if array.ndim == 1 else array
    n_bytes = kind.packed.shape[1]
    if array.dtype == np.uint8 and array.ndim == 2 and array.shape[1] == n_bytes:
        return replace(kind, packed=array)
    are_symbols = array.ndim == 2 and array.shape[1] == kind.length and array.dtype.kind in "biu"
    if are_symbols and kind.alphabets is None:
        return Codes.from_symbols(array, kind.q, kind.metric)
    raise InputError(
        f"the index takes {describe(kind)}: Codes, packed uint8 of shape (n, {n_bytes})"
        + ("" if kind.alphabets is not None else f" or integer symbols (n, {kind.length})")
        + f"; got {array.dtype} of shape {array.shape}"
    )


def _named(
    read: tuple[Codes, NDArray[Any] | None], threads: int | None
) -> tuple[Codes, int | None, NDArray[Any] | None]:
    return read[0], threads, read[1]


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
