"""Projections become packed codes, and codes the symbols that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.native.extension import _native, default_threads

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
