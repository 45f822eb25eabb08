"""The compiled kernels as plain functions over plain arrays; NumPy serves where they are absent.

This module knows nobody: `hashing` and `index` call it, and each keeps its own NumPy fallback.
Arrays are C-contiguous; the caller has checked their meaning, the extension checks their sizes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from isohash import _native
except ImportError:  # built without a compiler: isohash still works, only slower
    _native = None  # type: ignore[assignment]

# As in native/python/module.cpp; an extension left over from another version is not used.
INTERFACE = 8
if getattr(_native, "INTERFACE", None) != INTERFACE:
    _native = None  # type: ignore[assignment]

# Numbers and limits are those of native/isohash.h: tests/index/test_native.py compares them.
LEVELS = {"scalar": 0, "avx2": 1, "avx512": 2, "amx": 3, "neon": 4}
METRICS = {
    "hamming": 0,
    "lee": 1,
    "squared_lee": 2,
    "different": 3,
    "absolute": 4,
    "squared": 5,
}
ABSENT, READY, WRONG = 0, 1, 2

MAX_CODES = 2**32 - 1
MAX_DISTANCE = 2**30 - 2  # of two codes: twice it and one more is an int32
MAX_THREADS = 1024
LARGEST_WRAPPED_Q = 256  # of `wrap_symbols`
SHORTEST_TABLES, LONGEST_TABLES = 4, 64  # bits of a code in `Tables`

ScanArgs = tuple[int, int, int, int, int, int, int, NDArray[Any], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Scan:
    """How rows are compared, and by which level.

    `metric` is a key of METRICS. Rows are uint64 words for `hamming`; otherwise symbols of
    `symbol_bits` 4 (two to the byte), 8 or 16. Distances are divided by `scale`.
    """

    metric: str
    q: int
    scale: int
    level: str
    threads: int
    symbol_bits: int = 1

    def args(self, queries: NDArray[Any], codes: NDArray[Any]) -> ScanArgs:
        """The arguments that every search of the extension begins with."""
        row_bytes = codes.shape[1] * codes.itemsize
        return (
            LEVELS[self.level],
            METRICS[self.metric],
            self.q,
            self.scale,
            self.threads,
            self.symbol_bits,
            row_bytes,
            queries,
            codes,
        )


def default_threads() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def available() -> bool:
    """Whether the compiled extension is there."""
    return _native is not None


@lru_cache(maxsize=1)
def level_status() -> dict[str, int]:
    """ABSENT, READY or WRONG for each level; the first call checks each against the scalar one."""
    if _native is None:
        return dict.fromkeys(LEVELS, ABSENT)
    return {name: _native.level_status(number) for name, number in LEVELS.items()}


def topk(
    scan: Scan,
    queries: NDArray[Any],
    codes: NDArray[Any],
    k: int,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Distances and positions of the k nearest allowed codes, by (distance, position)."""
    distances = np.empty((len(queries), k), dtype=np.int32)
    positions = np.empty((len(queries), k), dtype=np.int64)
    _native.topk(*scan.args(queries, codes), allowed, k, distances, positions)
    return distances, positions


def matrix(scan: Scan, queries: NDArray[Any], codes: NDArray[Any]) -> NDArray[np.int32]:
    """All distances, shape (n_queries, n_codes)."""
    distances = np.empty((len(queries), len(codes)), dtype=np.int32)
    _native.matrix(*scan.args(queries, codes), distances)
    return distances


def least(
    scan: Scan,
    queries: NDArray[Any],
    codes: NDArray[Any],
    start: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """The least distance to allowed codes start[c]:start[c + 1], (n_queries, n_cases).

    The largest int32 where a case has none. `start` never falls, from 0 to the number of codes.
    """
    distances = np.empty((len(queries), len(start) - 1), dtype=np.int32)
    _native.least(*scan.args(queries, codes), allowed, start, distances)
    return distances


def within(
    scan: Scan,
    queries: NDArray[Any],
    codes: NDArray[Any],
    radius: int,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Offsets (n_queries + 1,), distances and positions of allowed codes within `radius`."""
    offsets, distances, positions = _native.within(*scan.args(queries, codes), allowed, radius)
    return (
        np.frombuffer(offsets, dtype=np.int64),
        np.frombuffer(distances, dtype=np.int32),
        np.frombuffer(positions, dtype=np.int64),
    )


class Tables:
    """Multi-index tables over codes of one word each, `length` bits of which are used (4 to 64).

    They take about 48 bytes a code.
    """

    def __init__(self, words: NDArray[np.uint64], length: int) -> None:
        self._words = words
        self._tables = _native.tables_build(words, length)

    def topk(
        self, scan: Scan, queries: NDArray[np.uint64], k: int, most: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """Distances and positions of the k >= 1 nearest, and how many codes each query met.

        A query that would meet more than `most` codes and buckets is answered by the scan.
        """
        distances = np.empty((len(queries), k), dtype=np.int32)
        positions = np.empty((len(queries), k), dtype=np.int64)
        touched = np.empty(len(queries), dtype=np.int64)
        _native.tables_topk(
            *scan.args(queries, self._words), self._tables, k, most, distances, positions, touched
        )
        return distances, positions, touched


# Projections with their rows' tolerances become codes; (row, column) of each doubtful one follow.
Doubtful = tuple[NDArray[np.intp], NDArray[np.intp]]


def threshold_turns(
    products: NDArray[np.float32],
    offsets: NDArray[np.float32],
    half_widths: NDArray[np.float32],
    tolerances: NDArray[np.float32],
    threads: int | None = None,
    portable: bool = False,
) -> tuple[NDArray[np.uint8], Doubtful]:
    """Bits `|u - round(u)| < half_widths` of u = products + offsets, packed as by numpy.packbits.

    Args:
        products: shape (n, m), float32, in turns.
        offsets: shape (m,), float32, in turns.
        half_widths: shape (m,), float32; the half-width in turns of each bit's set arc.
        tolerances: shape (n,), float32; how close to its threshold a value is doubtful.
        threads: how many share the rows; None: the cores this process may use.
        portable: without vector instructions; the result is the same.

    Returns:
        The packed bits (n, ceil(m / 8)), and the rows and the columns of doubtful values, for the
        caller to settle in exact arithmetic.
    """
    packed = np.empty((len(products), -(-products.shape[1] // 8)), dtype=np.uint8)
    half_widths = np.ascontiguousarray(half_widths, dtype=np.float32)
    doubtful = _doubtful(
        _native.threshold_turns,
        products,
        offsets,
        tolerances,
        threads,
        portable,
        half_widths,
        packed,
    )
    return packed, doubtful


def wrap_symbols(
    products: NDArray[np.float32],
    offsets: NDArray[np.float32],
    q: int,
    tolerances: NDArray[np.float32],
    threads: int | None = None,
    portable: bool = False,
) -> tuple[NDArray[np.uint8], Doubtful]:
    """Symbols `floor(u) mod q` of u = products + offsets, one unit a symbol, shape (n, m), uint8.

    A value within its row's tolerance of a whole number is doubtful, as is one of 2^23 or more in
    size or not finite; they are returned as by `threshold_turns`. `q` is at most 256.
    """
    symbols = np.empty(products.shape, dtype=np.uint8)
    doubtful = _doubtful(
        _native.wrap_symbols, products, offsets, tolerances, threads, portable, q, symbols
    )
    return symbols, doubtful


def quantise(
    products: NDArray[np.float32],
    offsets: NDArray[np.float32],
    widths: NDArray[np.uint8],
    thresholds: NDArray[np.float32],
    tolerances: NDArray[np.float32],
) -> tuple[NDArray[np.uint16], Doubtful]:
    """How many of its column's thresholds each u = products + offsets reaches, shape (n, m).

    Column j has 2^widths[j] - 1 rising thresholds; those of all columns follow each other in
    `thresholds`. A value within its row's tolerance of one, or not finite, is doubtful.
    """
    indices = np.empty(products.shape, dtype=np.uint16)
    rest = (np.ascontiguousarray(thresholds, dtype=np.float32), indices)
    doubtful = _doubtful(
        _native.quantise, products, offsets, tolerances, None, False, widths, *rest
    )
    return indices, doubtful


def pack(symbols: NDArray[np.uint16], widths: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Symbols (n, length) in `widths` (length,) bits, highest first, without gaps."""
    row_bytes = -(-int(widths.sum(dtype=np.int64)) // 8)
    packed = np.empty((len(symbols), row_bytes), dtype=np.uint8)
    _native.pack(widths, row_bytes, packed, np.ascontiguousarray(symbols, dtype=np.uint16))
    return packed


def unpack(packed: NDArray[np.uint8], widths: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The symbols (n, length) that `pack` packed."""
    symbols = np.empty((len(packed), len(widths)), dtype=np.uint16)
    _native.unpack(widths, packed.shape[1], np.ascontiguousarray(packed), symbols)
    return symbols


def symbols(
    packed: NDArray[np.uint8],
    widths: NDArray[np.uint8],
    spans: NDArray[np.uint8],
    values: NDArray[np.uint16],
    threads: int = 1,
) -> NDArray[np.uint16]:
    """The symbols (n, sum of spans) that packed rows stand for.

    Group g stores in `widths[g]` bits which of its 2^widths[g] rows of `spans[g]` symbols it holds;
    `values` has these rows, group after group.
    """
    out = np.empty((len(packed), int(spans.sum(dtype=np.int64))), dtype=np.uint16)
    plain, table = np.ascontiguousarray(packed), np.ascontiguousarray(values, dtype=np.uint16)
    _native.symbols(plain, packed.shape[1], widths, spans, table, threads, out)
    return out


def dots(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Scalar products of rows of `a` (n, d) with rows of `b` (m, d), in float64, in any order.

    Pair i is row `rows[i]` of `a` and row `columns[i]` of `b`.
    """
    out = np.empty(len(rows), dtype=np.float64)
    of_a, of_b = (np.ascontiguousarray(x, dtype=np.int64) for x in (rows, columns))
    _native.dots(a, b, a.shape[1], of_a, of_b, out)
    return out


def sum_trees(
    starts: NDArray[np.int64],
    nodes: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint16], NDArray[np.int32]],
    base: int,
    bins: NDArray[np.uint8],
    threads: int | None = None,
) -> NDArray[np.int32]:
    """`base` and the values of the leaves that every row of bins (n, features) reaches, (n,).

    `nodes` are feature, cut, left child and value, the nodes of tree t beginning at `starts[t]`;
    see `features.encoders.trees`.
    """
    out = np.empty(len(bins), dtype=np.int32)
    rows = np.ascontiguousarray(bins, dtype=np.uint8)
    n_threads = threads or default_threads()
    _native.sum_trees(starts, *nodes, base, rows.shape[1], rows, n_threads, out)
    return out


def bins(
    values: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    offsets: NDArray[np.int64],
    stride: int,
) -> NDArray[np.uint8]:
    """How many of its column's rising thresholds each value (n, m) lies above, 255 for NaN.

    Column j has `thresholds[offsets[j] : offsets[j + 1]]`. The result is (n, stride); its columns
    from m on are not set.
    """
    out = np.empty((len(values), stride), dtype=np.uint8)
    _native.bins(np.ascontiguousarray(values, np.float32), thresholds, offsets, stride, out)
    return out


def distances(
    marked: NDArray[np.bool_], steps: NDArray[np.float64], flat: bool = False
) -> NDArray[np.float64]:
    """Distance of each cell of a grid (z, y, x) to the nearest marked one; infinite without one.

    Cells are `steps` (3,) apart. With `flat` every slice is a grid of its own.
    """
    out = np.empty(marked.shape, dtype=np.float64)
    shape = np.array(marked.shape, dtype=np.int64)
    _native.distances(np.ascontiguousarray(marked), shape, steps, int(flat), out)
    return out


def _doubtful(
    encode: Callable[..., int],
    products: NDArray[np.float32],
    offsets: NDArray[np.float32],
    tolerances: NDArray[np.float32],
    threads: int | None,
    portable: bool,
    *rest: Any,
) -> Doubtful:
    """Calls the extension, again with more room where more was doubtful than expected."""
    if products.dtype != np.float32 or products.ndim != 2 or products.shape[1] == 0:
        raise ValueError(f"float32 rows are needed, got {products.dtype} of shape {products.shape}")
    plain = [np.ascontiguousarray(x, dtype=np.float32) for x in (products, tolerances, offsets)]
    columns, n_threads = products.shape[1], threads or default_threads()
    room = 1024 + products.size // 1000
    while True:
        places = np.empty(room, dtype=np.int64)
        count = encode(
            plain[0], columns, plain[1], n_threads, int(portable), places, plain[2], *rest
        )
        if count <= room:
            return np.divmod(places[:count].astype(np.intp, copy=False), columns)
        room = count
