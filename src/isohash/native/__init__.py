"""The compiled kernels as plain functions over plain arrays; NumPy serves where they are absent.

This package knows nobody: `hashing` and `index` call it, and each keeps its own NumPy fallback.
Arrays are C-contiguous; the caller has checked their meaning, the extension checks their sizes.
"""

from isohash.native.alignment import align
from isohash.native.anatomy import bins, distances, sum_trees
from isohash.native.encode import (
    Doubtful,
    dots,
    pack,
    quantise,
    symbols,
    threshold_turns,
    unpack,
    wrap_symbols,
)
from isohash.native.extension import (
    ABSENT,
    INTERFACE,
    LARGEST_WRAPPED_Q,
    LEVELS,
    LONGEST_TABLES,
    MAX_CODES,
    MAX_DISTANCE,
    MAX_THREADS,
    METRICS,
    READY,
    SHORTEST_TABLES,
    WRONG,
    available,
    default_threads,
    status_of,
)
from isohash.native.points import lloyd, nearest_points
from isohash.native.search import Scan, Tables, least, matrix, topk, within

__all__ = [
    "ABSENT",
    "INTERFACE",
    "LARGEST_WRAPPED_Q",
    "LEVELS",
    "LONGEST_TABLES",
    "MAX_CODES",
    "MAX_DISTANCE",
    "MAX_THREADS",
    "METRICS",
    "READY",
    "SHORTEST_TABLES",
    "WRONG",
    "Doubtful",
    "Scan",
    "Tables",
    "align",
    "available",
    "bins",
    "default_threads",
    "distances",
    "dots",
    "least",
    "lloyd",
    "matrix",
    "nearest_points",
    "pack",
    "quantise",
    "status_of",
    "sum_trees",
    "symbols",
    "threshold_turns",
    "topk",
    "unpack",
    "within",
    "wrap_symbols",
]
