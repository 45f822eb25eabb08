"""Cases laid on rungs as far apart as the slices of a query: heights become whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.index.segments import rows_of_cases

# A gap counts for at most so many rungs: more than spacings in use differ by, and few enough that
# no height in a file makes a table of any size.
MOST_RUNGS = 32
# Heights are whole numbers of such parts of a rung: their sums are the same whatever is summed with
# them, so that ties fall alike among few cases and among many.
PARTS = 1 << 20

Heights = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rungs:
    """Rungs of many cases: case c owns start[c]:start[c+1].

    `slice` (n_rungs,) is the stored slice nearest to each, `query` (n_query,) the rung of each
    query slice, from 0 on, and `step_mm` their distance (nan for a query of one slice).
    """

    slice: Places
    start: Places
    query: Places
    step_mm: float

    @property
    def lengths(self) -> Places:
        """How many rungs each case has."""
        return np.diff(self.start)

    @property
    def n_query(self) -> int:
        """How many the query spans."""
        return int(self.query[-1]) + 1

    def of_cases(self, cases: Places) -> Rungs:
        """Some cases only, in the order given."""
        start = np.concatenate([[0], np.cumsum(self.lengths[cases])])
        return Rungs(self.slice[rows_of_cases(self.start, cases)], start, self.query, self.step_mm)


def rungs_of(query_mm: Heights, stored_mm: Heights, start: Places) -> Rungs:
    """Cases on the rungs of a query, from heights in mm.

    Case c owns stored_mm[start[c]:start[c+1]], where neighbours differ. A query of one slice takes
    each stored slice for a rung.
    """
    gaps, step = _gaps(query_mm)
    query = np.concatenate([[0], np.cumsum(_whole(_parts(gaps, step)).clip(1))])
    at, lengths = _heights(stored_mm, start, step)
    first = np.concatenate([[0], np.cumsum(lengths)])
    # Cases one above the other, three rungs apart, so that none is nearest to another's.
    lift = first[:-1] + 3 * np.arange(len(lengths))
    case = np.repeat(np.arange(len(lengths)), lengths)
    wanted = np.arange(first[-1]) - first[case] + lift[case]
    at = at + PARTS * np.repeat(lift, np.diff(start))
    return Rungs(_nearest(at, PARTS * wanted), first, query, step)


def lengths_of(query_mm: Heights, stored_mm: Heights, start: Places) -> tuple[int, Places]:
    """How many rungs query and cases have, without laying these out."""
    gaps, step = _gaps(query_mm)
    n_query = 1 + int(_whole(_parts(gaps, step)).clip(1).sum())
    return n_query, _heights(stored_mm, start, step)[1]


def _gaps(mm: Heights) -> tuple[Heights, float]:
    """How far neighbours are apart, and typically; nan for fewer than two."""
    with np.errstate(over="ignore"):
        gaps = np.abs(np.diff(mm))
        if not len(gaps):
            return gaps, float("nan")
        ordered = np.sort(gaps)  # not np.median, which imports numpy.ma: part of a cold start
        return gaps, float((ordered[(len(gaps) - 1) // 2] + ordered[len(gaps) // 2]) / 2.0)


def _heights(stored_mm: Heights, start: Places, step: float) -> tuple[Places, Places]:
    """Each slice's height above its case's first, in parts, and how many rungs each case has."""
    climbed = np.concatenate([[0], np.cumsum(_parts(_gaps(stored_mm)[0], step))])
    lengths, some = np.zeros(len(start) - 1, dtype=np.int64), np.diff(start) > 0
    first, last = start[:-1][some], start[1:][some] - 1
    lengths[some] = _whole(climbed[last] - climbed[first]) + 1
    bottom = np.repeat(climbed[first], np.diff(start)[some])
    return climbed[: len(stored_mm)] - bottom, lengths


def _parts(mm: Heights, step: float) -> Places:
    """Distances in parts of a rung, each at most `MOST_RUNGS`; a rung where nothing is known."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        found = mm / step
    steps = np.where(np.isnan(found), 1.0, found).clip(0.0, MOST_RUNGS)
    return np.rint(steps * PARTS).astype(np.int64)


def _whole(parts: Places) -> Places:
    return (parts + PARTS // 2) // PARTS


def _nearest(heights: Places, wanted: Places) -> Places:
    """The place of the nearest of ascending heights to each wanted one; ties to the lower."""
    if not len(heights):
        return np.empty(0, dtype=np.int64)
    above = np.searchsorted(heights, wanted).clip(0, len(heights) - 1)
    below = (above - 1).clip(0)
    nearer = wanted - heights[below] <= heights[above] - wanted
    return np.where(nearer, below, above)
