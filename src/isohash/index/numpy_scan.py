"""The scan in NumPy alone: what answers when the compiled extension is missing.

Exact like every other level, several times slower. Blocks bound the memory, and a running k-th
best distance is kept per query.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.index.layout import Layout

# Bytes of intermediate values per block of codes: about the size of a core's second-level cache.
BLOCK_BYTES = 1 << 20

# The least distance to no code at all.
NONE = np.iinfo(np.int32).max


def query_distances(query: NDArray[Any], codes: NDArray[Any], layout: Layout) -> NDArray[np.int32]:
    """Distances from one expanded query (width,) to the expanded codes (n, width)."""
    out = np.empty(len(codes), dtype=np.int32)
    block = max(1, BLOCK_BYTES // max(1, query.nbytes))
    for start in range(0, len(codes), block):
        part = codes[start : start + block]
        if layout.steps is None:
            differing = np.bitwise_count(part ^ query)
            out[start : start + block] = differing.sum(axis=1, dtype=np.int32) // layout.scale
        elif layout.symbol_bits > 4:
            out[start : start + block] = _sum_of_steps(part, query, layout.steps)
        else:
            high = _sum_of_steps(part >> 4, query >> 4, layout.steps)
            out[start : start + block] = high + _sum_of_steps(part & 15, query & 15, layout.steps)
    return out


def _sum_of_steps(a: NDArray[Any], b: NDArray[Any], steps: NDArray[np.int32]) -> NDArray[np.int32]:
    apart = np.maximum(a, b) - np.minimum(a, b)  # |a - b| of unsigned numbers
    return steps[apart].sum(axis=1, dtype=np.int32)


def matrix(queries: NDArray[Any], codes: NDArray[Any], layout: Layout) -> NDArray[np.int32]:
    """All distances, shape (n_queries, n)."""
    out = np.empty((len(queries), len(codes)), dtype=np.int32)
    for i, query in enumerate(queries):
        out[i] = query_distances(query, codes, layout)
    return out


def topk(
    queries: NDArray[Any], codes: NDArray[Any], layout: Layout, k: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Distances and positions of the k <= n nearest codes, ordered by (distance, position)."""
    distances = np.empty((len(queries), k), dtype=np.int32)
    positions = np.empty((len(queries), k), dtype=np.int64)
    if k == 0:
        return distances, positions
    for i, query in enumerate(queries):
        row = query_distances(query, codes, layout)
        kth = np.partition(row, k - 1)[k - 1]
        below = np.flatnonzero(row < kth)
        ties = np.flatnonzero(row == kth)[: k - len(below)]  # lower positions first
        nearest = np.concatenate([below, ties])
        nearest = nearest[np.lexsort((nearest, row[nearest]))]
        positions[i] = nearest
        distances[i] = row[nearest]
    return distances, positions


def within(
    queries: NDArray[Any], codes: NDArray[Any], layout: Layout, radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Codes within `radius`: offsets (n_queries + 1,), distances and positions, best first."""
    found, counts = [], [0]
    for query in queries:
        row = query_distances(query, codes, layout)
        positions = np.flatnonzero(row <= radius)
        positions = positions[np.argsort(row[positions], kind="stable")]
        found.append((row[positions], positions))
        counts.append(len(positions))
    offsets = np.cumsum(counts, dtype=np.int64)
    if not found:
        return offsets, np.empty(0, np.int32), np.empty(0, np.int64)
    distances, places = (np.concatenate(column) for column in zip(*found, strict=True))
    return offsets, distances, places


def least(
    queries: NDArray[Any], codes: NDArray[Any], layout: Layout, start: NDArray[np.int64]
) -> NDArray[np.int32]:
    """The least distance to rows start[c]:start[c + 1], (n_queries, n_cases), NONE where empty."""
    out = np.full((len(queries), len(start) - 1), NONE, dtype=np.int32)
    filled = np.diff(start) > 0
    if filled.any():
        for i, query in enumerate(queries):
            row = query_distances(query, codes, layout)
            out[i, filled] = np.minimum.reduceat(row, start[:-1][filled])
    return out
