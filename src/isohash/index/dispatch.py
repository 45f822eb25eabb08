"""Which search kernel answers, and how: the one place that chooses between native code and NumPy.

`ISOHASH_ISA` forces a level; every level gives the same hits, bit for bit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash import native
from isohash.errors import InputError
from isohash.index import numpy_scan
from isohash.index.layout import Layout

LEVELS = ("numpy", *native.LEVELS)

# More than any machine has cores; the extension takes no larger number.

# Native symbols and circles go up to here; larger ones are searched by NumPy.
LARGEST_NATIVE_SYMBOL = 2**15 - 1

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class EngineInfo:
    """What searches on this machine; `warnings` names levels that failed their self-check."""

    level: str
    available: tuple[str, ...]
    threads: int
    compiled: bool
    warnings: tuple[str, ...] = ()


def engine_info() -> EngineInfo:
    """The level in use, the levels this machine offers, and the default number of threads."""
    warnings = [
        f"{name} kernels disagree with the scalar ones on this machine and are not used"
        for name in native.LEVELS
        if native.status_of(name) == native.WRONG
    ]
    if not native.available():
        warnings.append(
            "the compiled kernels are missing or of another version: searching with NumPy, which "
            "is slower; install again where there is a C++ compiler"
        )
    return EngineInfo(
        current_level(),
        available_levels(),
        native.default_threads(),
        native.available(),
        tuple(warnings),
    )


@lru_cache(maxsize=1)
def available_levels() -> tuple[str, ...]:
    """The levels that can run here, slowest first."""
    return ("numpy", *(name for name in native.LEVELS if native.status_of(name) == native.READY))


def current_level() -> str:
    """The level that answers now: the one forced by ISOHASH_ISA, else the fastest."""
    forced = os.environ.get("ISOHASH_ISA", "")
    if not forced:
        return _fastest()
    if forced not in LEVELS:
        raise InputError(f"ISOHASH_ISA must be one of {', '.join(LEVELS)}, got {forced!r}")
    if forced not in available_levels():
        offered = ", ".join(available_levels())
        raise InputError(f"ISOHASH_ISA={forced} cannot run here; this machine offers {offered}")
    return forced


def _fastest() -> str:
    """The fastest level that can run here; slower ones are not checked for it."""
    ready = (name for name in reversed(native.LEVELS) if native.status_of(name) == native.READY)
    return next(ready, "numpy")


def checked_threads(threads: int | None) -> int:
    """`threads`, or the default for None."""
    if threads is None:
        return native.default_threads()
    if threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    return min(int(threads), native.MAX_THREADS)


def topk(
    queries: NDArray[Any],
    codes: NDArray[Any],
    layout: Layout,
    k: int,
    threads: int,
    allowed: Mask | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Distances and positions of the k nearest allowed codes; k <= the number of those."""
    scan = native_scan(layout, len(codes), threads)
    if scan is not None:
        return native.topk(scan, queries, codes, k, allowed)
    if allowed is None:
        return numpy_scan.topk(queries, codes, layout, k)
    positions = np.flatnonzero(allowed)
    distances, places = numpy_scan.topk(queries, codes[positions], layout, k)
    return distances, positions[places]


def matrix(
    queries: NDArray[Any], codes: NDArray[Any], layout: Layout, threads: int
) -> NDArray[np.int32]:
    """All distances, shape (n_queries, n)."""
    scan = native_scan(layout, len(codes), threads)
    if scan is not None:
        return native.matrix(scan, queries, codes)
    return numpy_scan.matrix(queries, codes, layout)


def within(
    queries: NDArray[Any],
    codes: NDArray[Any],
    layout: Layout,
    radius: int,
    threads: int,
    allowed: Mask | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Offsets, distances and positions of the allowed codes within `radius` of each query."""
    scan = native_scan(layout, len(codes), threads)
    if scan is not None:
        return native.within(scan, queries, codes, radius, allowed)
    if allowed is None:
        return numpy_scan.within(queries, codes, layout, radius)
    positions = np.flatnonzero(allowed)
    offsets, distances, places = numpy_scan.within(queries, codes[positions], layout, radius)
    return offsets, distances, positions[places]


def least(
    queries: NDArray[Any],
    codes: NDArray[Any],
    layout: Layout,
    start: NDArray[np.int64],
    threads: int,
    allowed: Mask | None = None,
) -> NDArray[np.int32]:
    """The least distance to the allowed rows of each case, as `segments.least_per_case` says."""
    scan = native_scan(layout, len(codes), threads)
    if scan is not None:
        return native.least(scan, queries, codes, start, allowed)
    if allowed is not None:
        start = np.concatenate([[0], np.cumsum(allowed)])[start]
        codes = codes[allowed]
    return numpy_scan.least(queries, codes, layout, start)


def native_scan(layout: Layout, n_codes: int, threads: int) -> native.Scan | None:
    """How the extension searches this layout, or None where NumPy does."""
    level = current_level()
    if n_codes > native.MAX_CODES:
        raise InputError(f"one index holds at most {native.MAX_CODES} codes, got {n_codes}")
    if level == "numpy" or not _fits_native(layout):
        return None
    return _scan_by(layout, level, threads)


def _fits_native(layout: Layout) -> bool:
    """Whether the extension's symbols hold this layout, the circle too where it wraps."""
    largest = layout.q if layout.wraps else layout.top
    return layout.steps is None or largest <= LARGEST_NATIVE_SYMBOL


@lru_cache(maxsize=256)
def _scan_by(layout: Layout, level: str, threads: int) -> native.Scan:
    if layout.steps is None:
        return native.Scan("hamming", 2, layout.scale, level, threads)
    if layout.wraps:
        wrapped = {"hamming": "different", "lee": "lee", "squared_lee": "squared_lee"}
        metric, q = wrapped[layout.metric], layout.q
    else:
        straight = {"hamming": "different", "lee": "absolute", "squared_lee": "squared"}
        metric, q = straight[layout.metric], max(2, layout.top + 1)
    return native.Scan(metric, q, 1, level, threads, layout.symbol_bits)
