"""Precision against recall for many queries: exact at every integer distance, block by block.

Everything within a distance is retrieved, so tied items enter together. Precision and recall are
means over queries; a query that retrieves nothing within a distance does not enter that distance's
precision. It is the rule of `metrics.precision_recall`, which is the tests' oracle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.distances import rough_squared_blocks
from isohash.errors import InputError
from isohash.evaluation.kit.metrics import PrecisionRecall
from isohash.index.flat import distances
from isohash.records import Codes

QUERIES = 250  # queries compared with the whole database at a time
EUCLIDEAN_LEVELS = 4096  # steps into which Euclidean distances are cut for their own curve
Block = tuple[slice, NDArray[Any]]  # which queries, and their integer distances (b, n)


class CurveSums:
    """Sums over queries of precision and recall at the distances 0 .. n_levels - 1."""

    def __init__(self, n_levels: int) -> None:
        self._precision = np.zeros(n_levels)
        self._recall = np.zeros(n_levels)
        self._counted = np.zeros(n_levels, dtype=np.int64)
        self._n = 0

    def add(self, retrieved: NDArray[np.int64], found: NDArray[np.int64]) -> None:
        """Counts (b, n_levels) of items and of relevant items at each distance, per query."""
        retrieved, found = np.cumsum(retrieved, axis=1), np.cumsum(found, axis=1)
        some = retrieved > 0
        self._precision += np.where(some, found / np.maximum(retrieved, 1), 0.0).sum(axis=0)
        self._recall += (found / found[:, -1:]).sum(axis=0)
        self._counted += some.sum(axis=0)
        self._n += len(found)

    def curve(self) -> PrecisionRecall:
        """The curve of all queries added so far."""
        with np.errstate(invalid="ignore"):
            precision = self._precision / self._counted
        levels = np.arange(len(precision), dtype=np.float64)
        return PrecisionRecall(levels, precision, self._recall / self._n)


def counts_by_level(d: NDArray[Any], n_levels: int) -> NDArray[np.int64]:
    """How many entries of each row of d (b, n) have each value, shape (b, n_levels)."""
    shifted = d + n_levels * np.arange(len(d), dtype=np.int64)[:, None]
    return np.bincount(shifted.ravel(), minlength=n_levels * len(d)).reshape(len(d), n_levels)


def label_curve(
    blocks: Iterable[Block],
    n_levels: int,
    base_labels: NDArray[np.int64],
    query_labels: NDArray[np.int64],
) -> PrecisionRecall:
    """Items of the query's class are relevant. The database must be sorted by its labels."""
    if (np.diff(base_labels) < 0).any():
        raise InputError("sort the database by label first")
    sums = CurveSums(n_levels)
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


def truth_curve(
    blocks: Iterable[Block], n_levels: int, truth: NDArray[np.int64]
) -> PrecisionRecall:
    """The items `truth` (n_queries, k) are relevant: each query's Euclidean nearest."""
    sums = CurveSums(n_levels)
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


def thinned(curve: PrecisionRecall, n: int = 60) -> dict[str, list[float]]:
    """The curve at about n recalls, evenly spaced, for a drawing.

    It begins beyond recall 0, where few queries retrieve anything and precision is that of a few.
    """
    known = np.flatnonzero(np.isfinite(curve.precision))
    recall = curve.recall[known]
    at = known[np.unique(np.searchsorted(recall, np.linspace(0, recall[-1], n)))]
    return {
        "recall": [round(float(v), 5) for v in curve.recall[at]],
        "precision": [round(float(v), 5) for v in curve.precision[at]],
    }
