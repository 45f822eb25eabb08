"""The obvious search: every distance by definition, then a stable sort. All else is tested by it.

Slow on purpose and short enough to be right at a glance. Hits are ordered by (distance, position).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.records import Codes, Hits


def step_distances(q: int, metric: str | None) -> NDArray[np.int64]:
    """Distance of two symbols by how far apart they are, |a - b|, shape (q,).

    `metric` None is Hamming for q = 2 and Lee otherwise.
    """
    step = np.arange(q)
    if metric == "hamming" or (metric is None and q == 2):
        return (step != 0).astype(np.int64)
    lee = np.minimum(step, q - step)  # the shorter way round the circle of q symbols
    return lee**2 if metric == "squared_lee" else lee


def distances_reference(a: Codes, b: Codes) -> NDArray[np.int32]:
    """Distances between all codes of `a` and of `b`, shape (n_a, n_b)."""
    steps = step_distances(a.q, a.metric)
    rows, columns = a.symbols(), b.symbols()
    out = np.empty((len(a), len(b)), dtype=np.int32)
    for i, row in enumerate(rows):
        out[i] = steps[np.abs(columns - row)].sum(axis=1)
    return out


def search_reference(queries: Codes, database: Codes, k: int) -> Hits:
    """The `min(k, n)` nearest codes of each query; ids are positions in `database`."""
    distances = distances_reference(queries, database)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    nearest = np.take_along_axis(distances, order, axis=1)
    return Hits(order.astype(np.int64), nearest.astype(np.int32))


def least_reference(
    queries: Codes,
    database: Codes,
    start: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """The least distance of each query to the allowed rows start[c]:start[c + 1] of each case c.

    Shape (n_queries, n_cases); the largest int32 where a case has no such row.
    """
    out = np.full((len(queries), len(start) - 1), np.iinfo(np.int32).max, dtype=np.int32)
    for i, row in enumerate(distances_reference(queries, database)):
        for case in range(len(start) - 1):
            for j in range(start[case], start[case + 1]):
                if allowed is None or allowed[j]:
                    out[i, case] = min(out[i, case], row[j])
    return out
