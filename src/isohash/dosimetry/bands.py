"""Bands around a predicted histogram that hold what they promise: split-conformal calibration.

A band is centre +- factor * spread, entry by entry. The factor is the smallest that would have
held the wanted share of calibration cases, one more counted for the new case (Vovk et al. 2005; Lei
et al., JASA 113 (2018) 1094-1111): for exchangeable cases the coverage of an entry is at least
nominal, and at most 1 / (n + 1) above it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doses = NDArray[np.floating]  # (n, structures, dose_volumes) in Gy, NaN where absent

LEAST_SPREAD_GY = 1.0  # added to the spread of the nearest plans: few may agree by chance


def nearest_bands(
    order: NDArray[np.int64], planned: Doses, k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and spread (n_queries, structures, dose_volumes) from the k nearest that have each.

    `order` (n_queries, n_past) lists past cases, nearest first, -1 for none.
    """
    shape = (len(order), *planned.shape[1:])
    centre, spread = np.full(shape, np.nan), np.full(shape, np.nan)
    for row, ranked in enumerate(order):
        ranked = ranked[ranked >= 0]
        for s in range(planned.shape[1]):
            having = ranked[~np.isnan(planned[ranked, s, 0])][:k]
            if len(having):
                centre[row, s] = planned[having, s].mean(axis=0)
                spread[row, s] = planned[having, s].std(axis=0) + LEAST_SPREAD_GY
    return centre, spread


def conformal_factor(misses: Doses, nominal: float) -> NDArray[np.float64]:
    """The factor of each entry (structures, dose_volumes), from |true - centre| / spread (n, ...).

    Infinite where too few cases have the structure for the nominal coverage.
    """
    factor = np.full(misses.shape[1:], np.inf)
    for s in range(misses.shape[1]):
        seen = np.sort(misses[~np.isnan(misses[:, s, 0]), s], axis=0)
        rank = int(np.ceil((len(seen) + 1) * nominal))
        if 1 <= rank <= len(seen):
            factor[s] = seen[rank - 1]
    return factor


def coverage(misses: Doses, factor: NDArray[np.float64]) -> tuple[int, int]:
    """How many entries the bands hold, and of how many."""
    known = ~np.isnan(misses)
    return int((misses <= factor)[known].sum()), int(known.sum())
