"""Monotone matching of a query's slices with those of cases, see `retrieval.alignment`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.native.extension import _native

Places = NDArray[np.int64]


def align(
    costs: NDArray[np.float64],
    rungs: tuple[Places, Places, Places],
    price: NDArray[np.float64],
    free_ends: bool,
    with_paths: bool,
) -> tuple[NDArray[np.float64], Places]:
    """Least totals (n_cases,) and matched rungs (n_cases, n_query), or none of these (0, n_query).

    `costs` is (n_query, n_stored), `rungs` the slice of each, where those of each case begin
    (n_cases + 1,) and the rung of each slice of the query.
    """
    slices, start, at = (np.ascontiguousarray(one, dtype=np.int64) for one in rungs)
    totals = np.empty(len(price), dtype=np.float64)
    paths = np.empty((len(price) if with_paths else 0, len(at)), dtype=np.int64)
    table = np.ascontiguousarray(costs, dtype=np.float64)
    out = paths if with_paths else None
    _native.align(
        table, slices, start, at, np.ascontiguousarray(price), int(free_ends), totals, out
    )
    return totals, paths
