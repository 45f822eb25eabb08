"""How true distances between plans spread where predicted ones lie: 95 % intervals from past pairs.

Those of the nearest are widened until they hold on cases that they were not measured on, as for
codes (`hashing.measured`): what is chosen because it is told near errs otherwise than a random
pair.
"""

from __future__ import annotations

import numpy as np

from isohash.dosimetry.plan_distance import Matrix
from isohash.errors import InputError

EXPECTED_BINS = 16
RANKS = (1, 5, 10)  # the intervals hold among so many of the nearest
HELD = 0.95
NEAR_SHARE = 0.9  # of the nearest: up to their predicted distance all widening is needed
SHORTEST_GY = 0.01  # an arm of an interval, at least


def spread_of(at: Matrix, true: Matrix) -> Matrix:
    """How true distances (n, m) of cases spread where predicted ones lie (4, bins).

    Quantiles of pairs that have both; the intervals of the nearest are widened until they hold
    among the first `RANKS` of cases that they were not measured on. See `PlanEncoder`.
    """
    known = ~np.isnan(at) & ~np.isnan(true)
    if known.sum() < EXPECTED_BINS:
        raise InputError("too few cases have the same structures to learn from their plans")
    at, true = np.where(known, at, np.nan), np.where(known, true, np.nan)
    order = np.argsort(at, axis=1, kind="stable")[:, : max(RANKS)]  # NaN last
    near, near_true = (np.take_along_axis(one, order, axis=1) for one in (at, true))
    errors = np.full(near.shape, np.nan)
    for left in (slice(0, None, 2), slice(1, None, 2)):
        used = np.ones(len(at), bool)
        used[left] = False
        if known[used].sum() >= EXPECTED_BINS:
            errors[left] = _errors(_spread(at[used], true[used]), near[left], near_true[left])
    curves, widest = _spread(at, true), 1.0
    for rank in RANKS:
        some = errors[:, :rank][np.isfinite(errors[:, :rank])]
        widest = max(widest, float(np.quantile(some, HELD))) if len(some) else widest
    x, low, middle, high = curves
    ends = np.nanquantile(near, (NEAR_SHARE, 1.0))
    factor = 1.0 + (widest - 1.0) * np.interp(x, ends, (1.0, 0.0))
    low = np.maximum(0.0, middle - factor * (middle - low))
    told = np.array([x, low, middle, middle + factor * (high - middle)])
    return np.asarray(np.maximum.accumulate(told, axis=1))


def _spread(at: Matrix, true: Matrix) -> Matrix:
    """Percentiles (4, bins) of the true distances of known pairs, in bins of the predicted ones."""
    known = np.isfinite(at)
    bins = np.array_split(np.argsort(at[known], kind="stable"), EXPECTED_BINS)
    percents = [np.percentile(true[known][own], (2.5, 50.0, 97.5)) for own in bins]
    curves = np.column_stack([[np.median(at[known][own]) for own in bins], percents]).T
    return np.maximum.accumulate(curves, axis=1)  # further predicted, further expected


def _errors(curves: Matrix, at: Matrix, true: Matrix) -> Matrix:
    """How far off the median true distances lie, in arms of the interval."""
    low, middle, high = (np.interp(at, curves[0], one) for one in curves[1:])
    above = (true - middle) / np.maximum(high - middle, SHORTEST_GY)
    return np.maximum(above, (middle - true) / np.maximum(middle - low, SHORTEST_GY))
