"""Average precision, precision of the first k and of the first, of many queries at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scores:
    """`named` scores (m,) of the `answerable` (n_queries,) queries: those with a find."""

    answerable: Mask
    named: Mapping[str, NDArray[np.float64]]


def scores_of(distances: NDArray[Any], relevant: Mask, hidden: Mask, k: int) -> Scores:
    """Scores of tables (n_queries, n), without what is hidden from each query.

    Equal distances are ordered by position. InputError if no query has anything to find.
    """
    answerable: Mask = np.any(relevant & ~hidden, axis=1)
    if not answerable.any():
        raise InputError("no image has another of its class to find; index more, or fewer classes")
    found = [
        _of_one(row[~gone], wanted[~gone], k)
        for row, wanted, gone in zip(
            distances[answerable], relevant[answerable], hidden[answerable], strict=True
        )
    ]
    columns = np.array(found).T
    return Scores(answerable, dict(zip(("map", f"p_at_{k}", "p_at_1"), columns, strict=True)))


def _of_one(distances: NDArray[Any], relevant: Mask, k: int) -> tuple[float, float, float]:
    hits = relevant[np.argsort(distances, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean()), float(hits[:k].mean()), float(hits[0])
