"""Precision against recall, query by query: exact at every integer distance, block by block.

Everything within a distance is retrieved, so tied items enter together. A query's precision at a
recall is that within the least distance at which it has found so much; the curve is the mean over
queries. One distance for all queries would be another curve, of the few that retrieve anything at
first, with a dip where queries of dense regions have found more than all they should.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.distances import rough_squared_blocks
from isohash.errors import InputError
from isohash.index.flat import distances
from isohash.records import Codes

QUERIES = 250  # queries compared with the whole database at a time
RECALLS = np.linspace(0.0, 1.0, 51)
ROUNDING = 1e-9
EUCLIDEAN_LEVELS = 4096  # steps into which Euclidean distances are cut for their own curve
Block = tuple[slice, NDArray[Any]]  # which queries, and their integer distances (b, n)


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean over queries of the precision at each of `RECALLS`, and of the average precision."""

    precision: NDArray[np.float64]
    average_precision: float

    def to_json(self) -> dict[str, list[float]]:
        """For a drawing."""
        return {
            "recall": [round(float(v), 3) for v in RECALLS],
            "precision": [round(float(v), 5) for v in self.precision],
        }


class CurveSums:
    """Sums over queries of the precision at `RECALLS` and of the average precision."""

    def __init__(self) -> None:
        self._precision = np.zeros(len(RECALLS))
        self._average = 0.0
        self._n = 0

    def add(self, retrieved: NDArray[np.int64], found: NDArray[np.int64]) -> None:
        """Counts (b, n_levels) of items and of relevant items at each distance, per query."""
        retrieved, found = np.cumsum(retrieved, axis=1), np.cumsum(found, axis=1)
        precision, total = found / np.maximum(retrieved, 1), found[:, -1:]
        gain = np.diff(found, axis=1, prepend=0) / total
        wanted = np.maximum(1, np.ceil(RECALLS * total - ROUNDING))  # at recall 0 the first one
        for share, count, least in zip(precision, found, wanted, strict=True):
            self._precision += share[np.searchsorted(count, least)]
        self._average += float((precision * gain).sum())
        self._n += len(found)

    def curve(self) -> Curve:
        """The curve of all queries added so far."""
        return Curve(self._precision / self._n, self._average / self._n)


def counts_by_level(d: NDArray[Any], n_levels: int) -> NDArray[np.int64]:
    """How many entries of each row of d (b, n) have each value, shape (b, n_levels)."""
    shifted = d + n_levels * np.arange(len(d), dtype=np.int64)[:, None]
    return np.bincount(shifted.ravel(), minlength=n_levels * len(d)).reshape(len(d), n_levels)


def label_curve(
    blocks: Iterable[Block],
    n_levels: int,
    base_labels: NDArray[np.int64],
    query_labels: NDArray[np.int64],
) -> Curve:
    """Items of the query's class are relevant. The database must be sorted by its labels."""
    if (np.diff(base_labels) < 0).any():
        raise InputError("sort the database by label first")
    sums = CurveSums()
    for part, d in blocks:
        labels = query_labels[part]
        retrieved, found = counts_by_level(d, n_levels), np.zeros((len(d), n_levels), np.int64)
        for label in np.unique(labels):
            start, end = np.searchsorted(base_labels, [label, label + 1])
            rows = labels == label
            found[rows] = counts_by_level(d[rows, start:end], n_levels)
        some = found.any(axis=1)  # a query without a relevant item is left out
        sums.add(retrieved[some], found[some])
    return sums.curve()


def truth_curve(blocks: Iterable[Block], n_levels: int, truth: NDArray[np.int64]) -> Curve:
    """The items `truth` (n_queries, k) are relevant: each query's Euclidean nearest."""
    sums = CurveSums()
    for part, d in blocks:
        relevant = np.take_along_axis(d, truth[part], axis=1)
        sums.add(counts_by_level(d, n_levels), counts_by_level(relevant, n_levels))
    return sums.curve()


def code_blocks(base: Codes, query: Codes) -> Iterator[Block]:
    """Code distances of all queries to all of the database."""
    for start in range(0, len(query), QUERIES):
        part = slice(start, min(start + QUERIES, len(query)))
        yield part, distances(query[part], base)


def code_levels(codes: Codes) -> int:
    """One more than the largest distance of two codes."""
    step = codes.q // 2
    return 1 + codes.length * (step * step if codes.metric == "squared_lee" else step)


def euclidean_blocks(base: NDArray[np.float32], query: NDArray[np.float32]) -> Iterator[Block]:
    """Euclidean distances cut into `EUCLIDEAN_LEVELS` equal steps."""
    reach = 2.0 * float(np.linalg.norm(base - base.mean(axis=0), axis=1).max())
    for part, squared in rough_squared_blocks(base, query, QUERIES):
        steps = np.sqrt(squared) * (EUCLIDEAN_LEVELS / reach)
        yield part, np.minimum(steps, EUCLIDEAN_LEVELS - 1).astype(np.int64)
