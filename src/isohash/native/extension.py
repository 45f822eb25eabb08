"""The compiled extension, if it is there and of this version; its levels, numbers and limits."""

from __future__ import annotations

import os
from functools import cache

try:
    from isohash import _native
except ImportError:  # built without a compiler: isohash still works, only slower
    _native = None  # type: ignore[assignment]

# As in native/python/module.cpp; an extension left over from another version is not used.
INTERFACE = 10
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


def default_threads() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def available() -> bool:
    """Whether the compiled extension is there."""
    return _native is not None


@cache
def status_of(level: str) -> int:
    """ABSENT, READY or WRONG; the first call checks the level against the scalar one (10 ms)."""
    return ABSENT if _native is None else int(_native.level_status(LEVELS[level]))
