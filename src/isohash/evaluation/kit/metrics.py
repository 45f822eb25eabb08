"""Retrieval scores of the literature, with their rule for ties stated.

Dice and Jaccard compare two retrieved sets, for example the 50 nearest by code with the 50 nearest
by Euclidean distance. For sets of equal size k, Dice is the overlap divided by k (precision and
recall at once) and Jaccard is D / (2 - D). Integer code distances tie often; a score of one
arbitrary order among ties would depend on the order of the archive, so `expected_overlap` takes
the mean over all orders of the tied items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError

Score = Callable[[int, int, int], float]


def dice(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64] | float:
    """2 |A and B| / (|A| + |B|) of two sets of ids; row by row where both are 2-D.

    Two empty sets agree: 1.

    Example:
        >>> import isohash
        >>> isohash.dice([3, 1], [1, 7])
        0.5
    """
    return _by_rows(a, b, lambda both, n_a, n_b: 2.0 * both / (n_a + n_b))


def jaccard(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64] | float:
    """|A and B| / |A or B| of two sets of ids; row by row where both are 2-D.

    Two empty sets agree: 1.

    Example:
        >>> import isohash
        >>> isohash.jaccard([3, 1], [1, 7])
        0.3333333333333333
    """
    return _by_rows(a, b, lambda both, n_a, n_b: both / (n_a + n_b - both))


def _by_rows(a: ArrayLike, b: ArrayLike, score: Score) -> NDArray[np.float64] | float:
    first, second = np.asarray(a), np.asarray(b)
    if first.ndim == 1 and second.ndim == 1:
        return _score_of_sets(first, second, score)
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second):
        raise InputError(
            "dice and jaccard compare two vectors of ids, or two tables with one row per query; "
            f"got shapes {first.shape} and {second.shape}"
        )
    return np.array([_score_of_sets(x, y, score) for x, y in zip(first, second, strict=True)])


def _score_of_sets(a: NDArray[Any], b: NDArray[Any], score: Score) -> float:
    unique_a, unique_b = np.unique(a), np.unique(b)
    if not unique_a.size and not unique_b.size:
        return 1.0
    both = np.intersect1d(unique_a, unique_b, assume_unique=True).size
    return float(score(both, unique_a.size, unique_b.size))


def expected_overlap(distances: ArrayLike, truth: ArrayLike, k: int) -> NDArray[np.float64]:
    """Dice of the k nearest by `distances` with the k true ids, averaged over the order of ties.

    `distances` (n_queries, n) to every item, `truth` (n_queries, k) true ids.
    """
    d, true_ids = np.atleast_2d(np.asarray(distances)), np.atleast_2d(np.asarray(truth))
    if true_ids.shape != (len(d), k) or not 0 < k <= d.shape[1]:
        raise InputError(
            f"truth must have shape ({len(d)}, {k}) with 0 < k <= {d.shape[1]}, "
            f"got {true_ids.shape}"
        )
    return expected_recall(d, true_ids, k)


def expected_recall(distances: ArrayLike, truth: ArrayLike, k: int) -> NDArray[np.float64]:
    """Share of the true ids (n_queries, m) among the k nearest, averaged over the order of ties.

    Items nearer than the k-th distance count fully; items at it count (places left) / (items tied
    there).
    """
    d, true_ids = np.atleast_2d(np.asarray(distances)), np.atleast_2d(np.asarray(truth))
    kth = np.partition(d, k - 1, axis=1)[:, k - 1 : k]
    places_left = k - (d < kth).sum(axis=1)
    tied = (d == kth).sum(axis=1)
    d_true = np.take_along_axis(d, true_ids, axis=1)
    sure = (d_true < kth).sum(axis=1)
    perhaps = (d_true == kth).sum(axis=1) * (places_left / tied)
    return np.asarray((sure + perhaps) / true_ids.shape[1])


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Mean precision and recall over queries, when everything within a distance is retrieved.

    All arrays have shape (n_thresholds,). A query that retrieves nothing at a threshold does not
    enter that threshold's precision; where no query retrieves anything it is nan.
    """

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @property
    def average_precision(self) -> float:
        """Area under the curve by steps: sum of precision times the gain in recall."""
        gain = np.diff(self.recall, prepend=0.0)
        return float(np.nansum(self.precision * gain))


def precision_recall(
    distances: ArrayLike, relevant: ArrayLike, thresholds: ArrayLike | None = None
) -> PrecisionRecall:
    """Precision and recall as the retrieval radius grows: tied items enter together.

    `distances` (n_queries, n) and `relevant` bool of the same shape; `thresholds` None takes every
    distinct distance (at most 512 of them, evenly by rank). Queries without a relevant item are
    left out.

    Example:
        >>> import isohash
        >>> curve = isohash.precision_recall([[1.0, 2.0, 3.0]], [[True, False, True]])
        >>> curve.recall.tolist(), curve.precision.round(2).tolist()
        ([0.5, 0.5, 1.0], [1.0, 0.5, 0.67])
    """
    d = np.atleast_2d(np.asarray(distances))
    wanted = np.atleast_2d(np.asarray(relevant, dtype=bool))
    if d.shape != wanted.shape:
        raise InputError(f"distances {d.shape} and relevant {wanted.shape} must have one shape")
    answerable = wanted.any(axis=1)
    if not answerable.any():
        raise InputError("no query has a relevant item: precision and recall are undefined")
    d, wanted = d[answerable], wanted[answerable]
    levels = _levels(d) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    retrieved, found = np.empty((2, len(d), len(levels)))
    for row, (values, mask) in enumerate(zip(d, wanted, strict=True)):
        retrieved[row] = np.searchsorted(np.sort(values), levels, side="right")
        found[row] = np.searchsorted(np.sort(values[mask]), levels, side="right")
    counted = retrieved > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(counted, found / retrieved, 0.0)
        precision = share.sum(axis=0) / counted.sum(axis=0)
    recall = (found / wanted.sum(axis=1)[:, None]).mean(axis=0)
    return PrecisionRecall(levels, precision, recall)


def _levels(distances: NDArray[np.generic], most: int = 512) -> NDArray[np.float64]:
    distinct = np.unique(distances).astype(np.float64)
    if len(distinct) <= most:
        return distinct
    return distinct[np.linspace(0, len(distinct) - 1, most).round().astype(int)]
