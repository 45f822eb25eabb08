"""The compiled kernels as plain functions over plain arrays; NumPy serves where they are absent.

This module knows nobody: `hashing` and `index` call it, and each keeps its own NumPy fallback.
Arrays are C-contiguous; the caller has checked their meaning, the extension checks their sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from isohash import _native
except ImportError:  # built without a compiler: isohash still works, only slower
    _native = None  # type: ignore[assignment]

# Numbers agree with native/isohash.h.
LEVELS = {"scalar": 0, "avx2": 1, "avx512": 2, "amx": 3, "neon": 4}
METRICS = {"hamming": 0, "lee": 1, "squared_lee": 2, "different": 3}
ABSENT, READY, WRONG = 0, 1, 2

MAX_CODES = 2**32 - 1


@dataclass(frozen=True, eq=False)
class Scan:
    """How rows are compared, and by which level.

    `metric` is a key of METRICS. Rows are uint64 words for `hamming`, uint8 symbols otherwise;
    distances are divided by `scale`.
    """

    metric: str
    q: int
    scale: int
    level: str
    threads: int

    def args(self, queries: NDArray[Any], codes: NDArray[Any]) -> tuple[Any, ...]:
        """The arguments that every search of the extension begins with."""
        row_bytes = codes.shape[1] * codes.itemsize
        return (
            LEVELS[self.level],
            METRICS[self.metric],
            self.q,
            self.scale,
            self.threads,
            row_bytes,
            queries,
            codes,
        )


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
