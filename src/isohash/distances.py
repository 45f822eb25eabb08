"""Euclidean distances between rows: one definition, right for near and equal rows as well.

|x - y|^2 = |x|^2 + |y|^2 - 2 x.y is fast, but of two nearly equal rows only rounding errors are
left. Where the result is that small beside |x|^2 + |y|^2, the difference is taken term by term.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError

# Below this share of |x|^2 + |y|^2 the difference is taken term by term: above, cancellation
# leaves a relative error of 1e-9 per dimension at most.
NEAR_ZERO = 1e-6
TERMS = 1 << 20  # numbers held at a time while differences are taken
ROWS = 256  # queries compared with all other rows at a time
SPARE = 50  # more candidates than wanted are found in float32

Float64 = NDArray[np.float64]


def squared_distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> Float64:
    """Squared distances (n, m) between the rows of a (n, d) and of b (m, d); equal rows have 0."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    size = np.sum(x * x, axis=1)[:, None] + np.sum(y * y, axis=1)
    squared: Float64 = size - (2.0 * x) @ y.T
    rows, columns = np.nonzero(squared <= NEAR_ZERO * size)
    step = max(1, TERMS // max(1, x.shape[1]))
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        squared[i, j] = paired_squared(x[i], y[j])
    return squared


def distance_matrix(a: NDArray[np.floating], b: NDArray[np.floating]) -> Float64:
    """Distances (n, m) between the rows of a (n, d) and of b (m, d); equal rows have 0."""
    return np.sqrt(squared_distances(a, b))


def paired_squared(a: NDArray[np.floating], b: NDArray[np.floating]) -> Float64:
    """Squared distances (n,) of row i of a (n, d) to row i of b (n, d), term by term."""
    difference = a.astype(np.float64) - b
    return np.asarray(np.einsum("ij,ij->i", difference, difference))


def distances_to(query: NDArray[np.floating], vectors: NDArray[np.floating]) -> Float64:
    """Distances (n,) of one vector (d,) to others (n, d): each on its own, term by term.

    A distance does not depend on which others are asked for, so equal vectors tie exactly.
    """
    apart = np.ascontiguousarray(vectors, dtype=np.float64) - query
    return np.asarray(np.sqrt(np.sum(apart * apart, axis=1)))


def nearest(base: NDArray[Any], query: NDArray[Any], k: int) -> NDArray[np.int64]:
    """The k rows of `base` (n, d) nearest to each query (m, d), by (distance, position).

    Candidates are found in float32; a query of which they might lack one is compared with all.
    """
    if not 0 < k <= len(base):
        raise InputError(f"the {k} nearest of {len(base)} rows were asked for: use a smaller k")
    found = np.empty((len(query), k), dtype=np.int64)
    wide = min(k + SPARE, len(base))
    for part, squared, errors in _rough_blocks(base, query, ROWS):
        candidates = np.sort(np.argpartition(squared, wide - 1, axis=1)[:, :wide], axis=1)
        for row, rows, rough, error in zip(
            range(part.start, part.stop), candidates, squared, errors, strict=True
        ):
            order, last = _ranked(query[row], base[rows], k)
            if wide < len(base) and not rough[rows].max() - 2.0 * error > last:
                rows, (order, _) = np.arange(len(base)), _ranked(query[row], base, k)
            found[row] = rows[order]
    return found


def _ranked(query: NDArray[Any], rows: NDArray[Any], k: int) -> tuple[NDArray[np.intp], float]:
    """Positions of the k nearest rows, and the squared distance of the last of them."""
    exact = distance_matrix(query[None], rows)[0]
    order = np.argsort(exact, kind="stable")[:k]
    return order, float(exact[order[-1]]) ** 2


def rough_squared_blocks(
    base: NDArray[Any], query: NDArray[Any], rows: int = ROWS
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Squared distances of a block of queries to all of `base`, in float32, block by block."""
    for part, squared, _ in _rough_blocks(base, query, rows):
        yield part, squared


def _rough_blocks(
    base: NDArray[Any], query: NDArray[Any], rows: int
) -> Iterator[tuple[slice, NDArray[np.float32], Float64]]:
    """The blocks of `rough_squared_blocks`, with a bound of each query's rounding errors."""
    wide = np.result_type(base, query, np.float32)
    center = base.mean(axis=0, dtype=np.float64).astype(wide)
    y = (base.astype(wide, copy=False) - center).astype(np.float32, copy=False)
    norms = np.einsum("ij,ij->i", y, y)
    # d products summed in any order (Higham 2002, section 3.1), and a few roundings more.
    unit = (y.shape[1] + 6) * float(np.finfo(np.float32).eps)
    for start in range(0, len(query), rows):
        part = slice(start, min(start + rows, len(query)))
        x = (query[part].astype(wide, copy=False) - center).astype(np.float32, copy=False)
        own = np.einsum("ij,ij->i", x, x)
        squared = x @ y.T
        squared *= np.float32(-2.0)
        squared += norms
        squared += own[:, None]
        reach = np.sqrt(own.astype(np.float64)) + float(np.sqrt(norms.max()))
        yield part, np.maximum(squared, np.float32(0.0), out=squared), unit * reach * reach
