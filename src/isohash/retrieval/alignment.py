"""Monotone alignment of the slices of a query with those of many cases: which matches which.

The slices of a query run from one end to the other; so do those of every stored case. Each query
slice is matched to one stored slice, the stored position never runs backwards, and it never
advances by more than `reach` from one query slice to the next. Among all such matchings the one
with the least total distance is taken (dynamic programming: dynamic time warping with a free
start and end, Sakoe and Chiba 1978). All cases are aligned at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.index.segments import rows_of_cases

Table = NDArray[np.float64]

# Cases aligned in one go: enough to amortise the loop over query slices, few enough that the padded
# costs (some 100 x 256 x 200 float64, 40 MB) stay small whatever the size of the archive.
CASES_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Segmented:
    """Costs (n_query, n) against the slices of many cases; case c owns columns start[c]:start[c+1].

    `reach` (n_cases,) is the largest step of the stored position, in slices, at least 1.
    """

    costs: NDArray[Any]
    start: NDArray[np.int64]
    reach: NDArray[np.int64]

    def padded(self, first: int, last: int) -> Table:
        """Costs of cases first..last-1, (n_query, n_cases, longest), infinite past their ends."""
        lengths = np.diff(self.start[first : last + 1])
        inside = np.arange(lengths.max(initial=0)) < lengths[:, None]
        padded = np.full((len(self.costs), *inside.shape), np.inf)
        padded[:, inside] = self.costs[:, self.start[first] : self.start[last]]
        return padded

    def of_cases(self, cases: NDArray[np.int64]) -> Segmented:
        """Some cases only, in the order given."""
        start = np.concatenate([[0], np.cumsum(np.diff(self.start)[cases])])
        columns = rows_of_cases(self.start, cases)
        return Segmented(self.costs[:, columns], start, self.reach[cases])


@dataclass(frozen=True, eq=False)
class Matched:
    """Matchings of cases: least totals (n_cases,) and matched columns (n_cases, n_query)."""

    totals: Table
    columns: NDArray[np.int64]


def alignment_totals(problem: Segmented) -> Table:
    """The least total cost of each case, shape (n_cases,); infinite for a case without slices."""
    n_cases = len(problem.start) - 1
    totals = np.full(n_cases, np.inf)
    for first in range(0, n_cases, CASES_AT_ONCE):
        last = min(first + CASES_AT_ONCE, n_cases)
        costs = problem.padded(first, last)
        if not costs.size:
            continue
        total = costs[0]
        for row in costs[1:]:
            total = row + _least_within_reach(total, problem.reach[first:last])
        totals[first:last] = total.min(axis=1)
    return totals


def paths(problem: Segmented) -> Matched:
    """The best matching of each case; every case must have slices. Ties go to the lower column."""
    costs = problem.padded(0, len(problem.start) - 1)
    totals = [costs[0]]
    for row in costs[1:]:
        totals.append(row + _least_within_reach(totals[-1], problem.reach))
    column = totals[-1].argmin(axis=1)
    path = [column]
    for total in reversed(totals[:-1]):
        column = _best_before(total, column, problem.reach)
        path.append(column)
    return Matched(totals[-1].min(axis=1), np.stack(path[::-1], axis=1))


def _best_before(
    total: Table, column: NDArray[np.int64], reach: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The column with the least total among column[c] - reach[c] .. column[c] of each case."""
    steps = np.arange(-int(reach.max(initial=0)), 1)
    candidates = column[:, None] + steps
    inside = (steps >= -reach[:, None]) & (candidates >= 0)
    found = np.take_along_axis(total, candidates.clip(0), axis=1)
    best = np.where(inside, found, np.inf).argmin(axis=1)
    return np.take_along_axis(candidates, best[:, None], axis=1)[:, 0]


def _least_within_reach(total: Table, reach: NDArray[np.int64]) -> Table:
    """Minimum of total[c, j - reach[c] .. j] for every case c and column j."""
    least = total.copy()
    for step in range(1, min(int(reach.max(initial=0)), total.shape[1] - 1) + 1):
        allowed = reach >= step
        shifted = np.where(allowed[:, None], total[:, :-step], np.inf)
        np.minimum(least[:, step:], shifted, out=least[:, step:])
    return least
