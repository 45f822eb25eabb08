"""Which search kernel answers, and how: the one place that chooses between native code and NumPy.

`ISOHASH_ISA` forces a level; every level gives the same hits, bit for bit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.index import numpy_scan
from isohash.index.layout import Layout

LEVELS = ("numpy", "scalar", "avx2", "avx512", "amx", "neon")

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
    return EngineInfo(current_level(), available_levels(), default_threads(), False)


def available_levels() -> tuple[str, ...]:
    """The levels that can run here, slowest first."""
    return ("numpy",)


def current_level() -> str:
    """The level that answers now: the one forced by ISOHASH_ISA, else the fastest."""
    forced = os.environ.get("ISOHASH_ISA", "")
    if not forced:
        return available_levels()[-1]
    if forced not in LEVELS:
        raise InputError(f"ISOHASH_ISA must be one of {', '.join(LEVELS)}, got {forced!r}")
    if forced not in available_levels():
        offered = ", ".join(available_levels())
        raise InputError(f"ISOHASH_ISA={forced} cannot run here; this machine offers {offered}")
    return forced


def default_threads() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def checked_threads(threads: int | None) -> int:
    """`threads`, or the default for None."""
    if threads is None:
        return default_threads()
    if threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    return int(threads)


def topk(
    queries: NDArray[Any],
    codes: NDArray[Any],
    layout: Layout,
    k: int,
    threads: int,
    allowed: Mask | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Distances and positions of the k nearest allowed codes; k <= the number of those."""
    current_level()
    if allowed is not None:
        positions = np.flatnonzero(allowed)
        distances, places = numpy_scan.topk(queries, codes[positions], layout, k)
        return distances, positions[places]
    return numpy_scan.topk(queries, codes, layout, k)


def matrix(
    queries: NDArray[Any], codes: NDArray[Any], layout: Layout, threads: int
) -> NDArray[np.int32]:
    """All distances, shape (n_queries, n)."""
    current_level()
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
    current_level()
    if allowed is not None:
        positions = np.flatnonzero(allowed)
        offsets, distances, places = numpy_scan.within(queries, codes[positions], layout, radius)
        return offsets, distances, positions[places]
    return numpy_scan.within(queries, codes, layout, radius)
