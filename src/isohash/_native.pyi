"""The compiled module: see native/python/module.cpp. Arguments are checked there.

Arrays are C-contiguous; those that receive a result are written to.
"""

from typing import Any, NewType

import numpy as np
from numpy.typing import NDArray

INTERFACE: int

Rows = NDArray[Any]  # words, or symbols of half a byte, a byte or two
Tables = NewType("Tables", object)

def level_status(level: int, /) -> int: ...
def topk(
    level: int,
    metric: int,
    q: int,
    scale: int,
    threads: int,
    symbol_bits: int,
    row_bytes: int,
    queries: Rows,
    codes: Rows,
    allowed: NDArray[np.bool_] | None,
    k: int,
    distances: NDArray[np.int32],
    positions: NDArray[np.int64],
    /,
) -> None: ...
def matrix(
    level: int,
    metric: int,
    q: int,
    scale: int,
    threads: int,
    symbol_bits: int,
    row_bytes: int,
    queries: Rows,
    codes: Rows,
    distances: NDArray[np.int32],
    /,
) -> None: ...
def least(
    level: int,
    metric: int,
    q: int,
    scale: int,
    threads: int,
    symbol_bits: int,
    row_bytes: int,
    queries: Rows,
    codes: Rows,
    allowed: NDArray[np.bool_] | None,
    start: NDArray[np.int64],
    least: NDArray[np.int32],
    /,
) -> None: ...
def within(
    level: int,
    metric: int,
    q: int,
    scale: int,
    threads: int,
    symbol_bits: int,
    row_bytes: int,
    queries: Rows,
    codes: Rows,
    allowed: NDArray[np.bool_] | None,
    radius: int,
    /,
) -> tuple[bytes, bytes, bytes]: ...
def tables_build(codes: NDArray[np.uint64], length: int, /) -> Tables: ...
def tables_topk(
    level: int,
    metric: int,
    q: int,
    scale: int,
    threads: int,
    symbol_bits: int,
    row_bytes: int,
    queries: Rows,
    codes: Rows,
    tables: Tables,
    k: int,
    most: int,
    distances: NDArray[np.int32],
    positions: NDArray[np.int64],
    touched: NDArray[np.int64],
    /,
) -> None: ...
def threshold_turns(
    products: NDArray[np.float32],
    columns: int,
    tolerances: NDArray[np.float32],
    threads: int,
    portable: int,
    borderline: NDArray[np.int64],
    offsets: NDArray[np.float32],
    half_widths: NDArray[np.float32],
    packed: NDArray[np.uint8],
    /,
) -> int: ...
def wrap_symbols(
    products: NDArray[np.float32],
    columns: int,
    tolerances: NDArray[np.float32],
    threads: int,
    portable: int,
    borderline: NDArray[np.int64],
    offsets: NDArray[np.float32],
    q: int,
    symbols: NDArray[np.uint8],
    /,
) -> int: ...
def quantise(
    products: NDArray[np.float32],
    columns: int,
    tolerances: NDArray[np.float32],
    threads: int,
    portable: int,
    borderline: NDArray[np.int64],
    offsets: NDArray[np.float32],
    widths: NDArray[np.uint8],
    thresholds: NDArray[np.float32],
    indices: NDArray[np.uint16],
    /,
) -> int: ...
def dots(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    columns: int,
    rows_of_a: NDArray[np.int64],
    rows_of_b: NDArray[np.int64],
    out: NDArray[np.float64],
    /,
) -> None: ...
def nearest_points(
    rows: NDArray[np.float32],
    spans: NDArray[np.uint8],
    points: NDArray[np.float32],
    offsets: NDArray[np.float32],
    m: int,
    threads: int,
    out: NDArray[np.uint16],
    leads: NDArray[np.float32],
    /,
) -> None: ...
def lloyd(
    x: NDArray[np.float64],
    sums: NDArray[np.float64],
    n: int,
    k: int,
    rounds: int,
    levels: NDArray[np.float64],
    /,
) -> None: ...
def pack(
    widths: NDArray[np.uint8],
    row_bytes: int,
    packed: NDArray[np.uint8],
    symbols: NDArray[np.uint16],
    /,
) -> None: ...
def unpack(
    widths: NDArray[np.uint8],
    row_bytes: int,
    packed: NDArray[np.uint8],
    symbols: NDArray[np.uint16],
    /,
) -> None: ...
def symbols(
    packed: NDArray[np.uint8],
    row_bytes: int,
    widths: NDArray[np.uint8],
    spans: NDArray[np.uint8],
    values: NDArray[np.uint16],
    threads: int,
    symbols: NDArray[np.uint16],
    /,
) -> None: ...
def sum_trees(
    starts: NDArray[np.int64],
    feature: NDArray[np.uint8],
    cut: NDArray[np.uint8],
    left: NDArray[np.uint16],
    values: NDArray[np.int32],
    base: int,
    columns: int,
    bins: NDArray[np.uint8],
    threads: int,
    out: NDArray[np.int32],
    /,
) -> None: ...
def bins(
    values: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    offsets: NDArray[np.int64],
    stride: int,
    bins: NDArray[np.uint8],
    /,
) -> None: ...
def distances(
    marked: NDArray[np.bool_],
    shape: NDArray[np.int64],
    steps: NDArray[np.float64],
    flat: int,
    out: NDArray[np.float64],
    /,
) -> None: ...
def align(
    costs: NDArray[np.float64],
    slices: NDArray[np.int64],
    start: NDArray[np.int64],
    at: NDArray[np.int64],
    price: NDArray[np.float64],
    free_ends: int,
    totals: NDArray[np.float64],
    rungs: NDArray[np.int64] | None,
    /,
) -> None: ...
