"""Monotone alignment of the slices of a query with those of many cases: which matches which.

The slices of a query run from one end to the other; so do those of every stored case. Heights are
counted in steps of the query: a case is laid on rungs so far apart, each with its nearest slice. A
query slice is matched to a rung, the rungs never run backwards, and between neighbours they advance
by at most twice and at least half of what the query does (one rung may serve two slices running).
Where a case is shorter than the query, the query may run out beyond its ends, by no more than it is
longer.

What has no counterpart costs: rungs of the query that are repeated, squeezed or beyond the case's
ends, and rungs of the case that are skipped, stretched over or outside the matched run. Among all
matchings the one with the least total is taken (dynamic programming: dynamic time warping with the
slope constraint and the free ends of Sakoe and Chiba 1978). All cases are aligned at once.

So at least half of the rungs that both extents allow are matched, whatever the images are like: two
slices running share a rung at most, and a run that leaves one end has reached the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash import native
from isohash.retrieval.ranked import Covered
from isohash.retrieval.rungs import Rungs

Table = NDArray[np.float64]
Places = NDArray[np.int64]

# Cases aligned in one go: enough to amortise the loop over query slices, few enough that what is
# kept of each (for the way back: of every query slice) stays small whatever the archive's size.
CASES_AT_ONCE = 256
WAYS_BACK_AT_ONCE = 16
OUTSIDE = -1  # the rung of a query slice beyond a case's ends


@dataclass(frozen=True, eq=False)
class Segmented:
    """Costs (n_query, n_stored) of slices, the rungs of many cases, and the price of a rung.

    `price` (n_cases,) is what each rung without a counterpart costs, of query and case alike; but
    with `free_ends` those of a case before and after the query's first and last cost nothing.
    """

    costs: NDArray[Any]
    rungs: Rungs
    price: Table
    free_ends: bool = False

    def of_cases(self, cases: NDArray[np.int64]) -> Segmented:
        """Some cases only, in the order given."""
        rungs = self.rungs.of_cases(cases)
        return Segmented(self.costs, rungs, self.price[cases], self.free_ends)


@dataclass(frozen=True, eq=False)
class Matched:
    """Matchings of cases: least totals (n_cases,) and matched rungs (n_cases, n_query).

    A rung counts from its case's first; `OUTSIDE` marks slices beyond the case's ends.
    """

    totals: Table
    rungs: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _State:
    """The least totals of matching the query up to one of its slices.

    `moved` (n_cases, longest) where that slice moved on to its rung, `stayed` where it shares that
    of the slice before; `out` (n_cases,) where it lies beyond the case's end.
    """

    moved: Table
    stayed: Table
    out: Table

    @property
    def inside(self) -> Table:
        """Whichever way the rung was reached."""
        return np.minimum(self.moved, self.stayed)


def alignment_totals(problem: Segmented) -> Table:
    """The least total cost of each case, shape (n_cases,); infinite for a case without slices."""
    if native.available():
        return native.align(*_arrays(problem), with_paths=False)[0]
    totals = np.full(len(problem.price), np.inf)
    for block in _blocks(problem, CASES_AT_ONCE):
        for state in block.states():
            final = state
        totals[block.cases] = np.minimum(block.ends(final).min(axis=1), final.out)
    return totals


def paths(problem: Segmented) -> Matched:
    """The best matching of each case; every case must have slices.

    Ties go to the lower rung at the end, then to the shorter step.
    """
    if native.available():
        return Matched(*native.align(*_arrays(problem), with_paths=True))
    totals = np.empty(len(problem.price))
    rungs = np.empty((len(totals), len(problem.costs)), dtype=np.int64)
    for block in _blocks(problem, WAYS_BACK_AT_ONCE):
        states = list(block.states())
        for at in range(len(block.price)):
            walk = _Walk(block, states, at)
            totals[block.cases.start + at], rungs[block.cases.start + at] = walk.total, walk.rungs()
    return Matched(totals, rungs)


def _arrays(
    problem: Segmented,
) -> tuple[Table, tuple[Places, Places, Places], Table, bool]:
    """What the compiled form takes, which does the same sums in the same order."""
    rungs = problem.rungs
    return problem.costs, (rungs.slice, rungs.start, rungs.query), problem.price, problem.free_ends


def _blocks(problem: Segmented, at_once: int) -> Iterator[_Block]:
    for first in range(0, len(problem.price), at_once):
        block = _Block.of(problem, slice(first, min(first + at_once, len(problem.price))))
        if block.slices.size:
            yield block


@dataclass(frozen=True, eq=False)
class _Block:
    """Cases that are aligned together; `over` (n_cases,) is by how many rungs each is too short."""

    cases: slice
    all_costs: Table
    slices: NDArray[np.int64]
    lengths: NDArray[np.int64]
    price: Table
    at: NDArray[np.int64]
    over: NDArray[np.int64]
    free_ends: bool

    @classmethod
    def of(cls, problem: Segmented, cases: slice) -> _Block:
        """Some cases of a problem; what lies past a case's last rung repeats that."""
        lengths, at = problem.rungs.lengths[cases], problem.rungs.query
        longest = int(lengths.max(initial=0))
        rung = np.minimum(np.arange(longest), (lengths[:, None] - 1).clip(0))
        rung += problem.rungs.start[:-1][cases][:, None]
        rung = rung.clip(max=max(0, len(problem.rungs.slice) - 1))  # of cases that have none
        slices = problem.rungs.slice[rung] if longest else np.empty((0, 0), dtype=np.int64)
        over = (at[-1] + 1 - lengths).clip(0)
        price, free = problem.price[cases], problem.free_ends
        return cls(cases, problem.costs, slices, lengths, price, at, over, free)

    def costs(self, row: int) -> Table:
        """Of a query slice against each rung, (n_cases, longest), infinite past a case's last."""
        inside = np.arange(self.slices.shape[1]) < self.lengths[:, None]
        return np.where(inside, self.all_costs[row][self.slices], np.inf)

    def states(self) -> Iterator[_State]:
        """After the first slice of the query, after the second, and so on."""
        cost = self.costs(0)
        nothing, before = np.full_like(cost, np.inf), np.arange(cost.shape[1])
        state = _State(cost + self._end_price * before, nothing, nothing[:, 0])
        yield state
        spent = cost[:, 0]  # of the slices before the case's first
        for row in range(1, len(self.all_costs)):
            cost = self.costs(row)
            state = self._next(state, row, cost, spent + self.price * self.at[row])
            spent = spent + cost[:, 0]
            yield state

    def _next(self, state: _State, row: int, cost: Table, outside: Table) -> _State:
        gap, inside = self.gap(row), state.inside
        moved = np.full_like(inside, np.inf)
        for step in steps(gap):
            if step < moved.shape[1]:
                priced = inside[:, : moved.shape[1] - step] + self._warp(step, gap)[:, None]
                np.minimum(moved[:, step:], priced, out=moved[:, step:])
        enters = self.at[row - 1] < self.over
        np.minimum(moved[:, 0], np.where(enters, outside, np.inf), out=moved[:, 0])
        stayed = state.moved + self.price[:, None] if gap == 1 else np.full_like(moved, np.inf)
        return _State(moved + cost, stayed + cost, self._out(state, row, cost, inside))

    def _out(self, state: _State, row: int, cost: Table, inside: Table) -> Table:
        """Beyond the last rung: from there, or from beyond it."""
        case, end = np.arange(len(self.lengths)), self.lengths - 1
        leaves = np.where(self.leaves(row), inside[case, end], np.inf)
        spent = cost[case, end] + self.price * self.gap(row)
        return np.asarray(np.minimum(state.out, leaves) + spent)

    def gap(self, row: int) -> int:
        """How many rungs a slice lies beyond the one before."""
        return int(self.at[row] - self.at[row - 1])

    def leaves(self, row: int) -> NDArray[np.bool_]:
        """Of which cases a slice may be the first beyond the end."""
        return np.asarray(self.at[-1] - self.at[row] < self.over)

    def _warp(self, step: int, gap: int) -> Table:
        return self.price * abs(step - gap)

    def ends(self, state: _State) -> Table:
        """With what the rungs beyond the last matched one cost, (n_cases, longest)."""
        beyond = self.lengths[:, None] - 1 - np.arange(self.slices.shape[1])
        return state.inside + self._end_price * beyond.clip(0)

    @property
    def _end_price(self) -> Table:
        """What each rung before or after the matched ones costs, (n_cases, 1)."""
        return np.zeros((len(self.price), 1)) if self.free_ends else self.price[:, None]


def covered_by(path: NDArray[np.int64], query: NDArray[np.int64], n_rungs: int) -> Covered:
    """What a matching covers of a query, whose slices lie on rungs `query`, and of a case."""
    inside = np.flatnonzero(path != OUTSIDE)
    own, taken = np.diff(query[inside]), np.diff(path[inside])
    lacking = int(query[-1] - own.sum() + (own - taken).clip(0).sum())
    unused = int(n_rungs - 1 - taken.sum() + (taken - own).clip(0).sum())
    return Covered(1.0 - lacking / (int(query[-1]) + 1), 1.0 - unused / n_rungs)


def steps(gap: int) -> range:
    """By how many rungs a match may move on where the query does by `gap`, but for staying."""
    return range(max(1, (gap + 1) // 2), 2 * gap + 1)


@dataclass(frozen=True, eq=False)
class _Walk:
    """The way back through the states of one case: which rung each query slice took."""

    block: _Block
    states: Sequence[_State]
    case: int

    @property
    def total(self) -> float:
        """The least total."""
        return min(float(self._ends.min()), float(self.states[-1].out[self.case]))

    @property
    def _ends(self) -> Table:
        return self.block.ends(self.states[-1])[self.case]

    def rungs(self) -> list[int]:
        """From the first slice of the query to the last."""
        row, found = len(self.states) - 1, []
        at = int(self._ends.argmin())
        if self._ends[at] > self.states[row].out[self.case]:
            tail = self._tail()
            found, row, at = [OUTSIDE] * tail, row - tail, int(self.block.lengths[self.case]) - 1
        return [*self._inside(row, at), *found]

    def _tail(self) -> int:
        """How many slices at the end lie beyond the last rung."""
        row, end = len(self.states) - 1, int(self.block.lengths[self.case]) - 1
        while not self._left_here(row, end):
            row -= 1
        return len(self.states) - row

    def _left_here(self, row: int, end: int) -> bool:
        before = self.states[row - 1]
        leaves = bool(self.block.leaves(row)[self.case])
        return leaves and before.inside[self.case, end] <= before.out[self.case]

    def _inside(self, row: int, at: int) -> list[int]:
        """The rungs up to a row that took rung `at`."""
        found, free = [at], True
        while row > 0:
            state = self.states[row]
            if free and state.stayed[self.case, at] < state.moved[self.case, at]:
                free = False  # the slice before has moved here
            elif at == 0:
                return [OUTSIDE] * row + found[::-1]
            else:
                at, free = self._before(row, at), True
            found.append(at)
            row -= 1
        return found[::-1]

    def _before(self, row: int, at: int) -> int:
        """The rung from which a match moved on to `at`."""
        gap, inside = self.block.gap(row), self.states[row - 1].inside[self.case]
        price = self.block.price[self.case]
        priced = {step: inside[at - step] + price * abs(step - gap)
                  for step in steps(gap) if step <= at}  # fmt: skip
        return at - min(priced, key=lambda step: (priced[step], step))
