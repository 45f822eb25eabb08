"""The heart in plain loops: what a comparison answers, by loops over cases and monotone paths."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np

from isohash.retrieval.slices import SliceTable


def matchings(at: list[int], n_rungs: int) -> Iterator[list[int | None]]:
    """All ways of matching query slices, which lie on rungs `at`, with the rungs of a case.

    None stands for a slice beyond the case's ends.
    """
    n, over = len(at), max(0, at[-1] + 1 - n_rungs)
    for first in [0, *(i for i in range(1, n) if at[i - 1] < over)]:
        for last in range(first, n):
            if last < n - 1 and at[-1] - at[last + 1] >= over:
                continue
            for inside in _runs(at[first : last + 1], n_rungs, first > 0, last < n - 1):
                yield [None] * first + inside + [None] * (n - 1 - last)


def _runs(at: list[int], n_rungs: int, from_end: bool, to_end: bool) -> Iterator[list[int]]:
    """Runs of rungs: at most twice and at least half as fast as the query, or staying once."""
    whole = [[0]] if from_end else [[j] for j in range(n_rungs)]
    for gap in (b - a for a, b in pairwise(at)):
        whole = [
            [*run, run[-1] + step]
            for run in whole
            for step in range(2 * gap + 1)
            if run[-1] + step < n_rungs
            and (2 * step >= gap if step or gap > 1 else len(run) < 2 or run[-1] > run[-2])
        ]
    return (run for run in whole if not to_end or run[-1] == n_rungs - 1)


def spent(
    costs: np.ndarray, at: list[int], price: float, matching: list[int | None]
) -> tuple[float, int, int]:
    """What a matching costs, and how many rungs of the query and of the case it leaves alone."""
    n_rungs = costs.shape[1]
    inside = [i for i, rung in enumerate(matching) if rung is not None]
    first, last = inside[0], inside[-1]
    steps = [(at[b] - at[a], matching[b] - matching[a]) for a, b in pairwise(inside)]
    query = at[first] + at[-1] - at[last] + sum(max(0, own - taken) for own, taken in steps)
    case = matching[first] + n_rungs - 1 - matching[last]
    case += sum(max(0, taken - own) for own, taken in steps)
    rungs = [0 if i < first else n_rungs - 1 if i > last else matching[i] for i in range(len(at))]
    total = sum(float(costs[i, rung]) for i, rung in enumerate(rungs))
    return total + price * (query + case), query, case


def aligned(costs: np.ndarray, at: list[int], price: float) -> float:
    """The least that a matching costs."""
    (n, m), over = costs.shape, max(0, at[-1] + 1 - costs.shape[1])

    @cache
    def rest(i: int, rung: int, stayed: bool) -> float:
        """Of the slices after the i-th, which took a rung."""
        if i == n - 1:
            return price * (m - 1 - rung)
        gap = at[i + 1] - at[i]
        found = [
            float(costs[i + 1, to]) + price * abs(to - rung - gap) + rest(i + 1, to, to == rung)
            for to in range(rung, min(m, rung + 2 * gap + 1))
            if (2 * (to - rung) >= gap if to > rung or gap > 1 else not stayed)
        ]
        if rung == m - 1 and at[-1] - at[i + 1] < over:
            found.append(float(costs[i + 1 :, -1].sum()) + price * (at[-1] - at[i]))
        return min(found, default=math.inf)

    inside = [float(costs[0, rung]) + price * rung + rest(0, rung, False) for rung in range(m)]
    entering = [i for i in range(1, n) if at[i - 1] < over]
    before = [float(costs[: i + 1, 0].sum()) + price * at[i] + rest(i, 0, False) for i in entering]
    return min(inside + before)


def laid(query_mm: np.ndarray, stored_mm: np.ndarray) -> tuple[list[int], list[int]]:
    """The rungs of a query's slices, and the stored slice nearest to each rung of a case."""
    gaps = [abs(float(b - a)) for a, b in pairwise(query_mm)]
    step = float(np.median(gaps)) if gaps else math.nan
    at = [0]
    for gap in gaps:
        at.append(at[-1] + max(1, math.floor(_fine(gap / step) + Fraction(1, 2))))
    heights = [Fraction(0)]
    for a, b in pairwise(stored_mm):
        heights.append(heights[-1] + _fine(abs(float(b - a)) / step if gaps else 1.0))
    rungs = range(math.floor(heights[-1] + Fraction(1, 2)) + 1)
    apart = [[abs(height - rung) for height in heights] for rung in rungs]
    return at, [row.index(min(row)) for row in apart]


def _fine(rungs: float) -> Fraction:
    return Fraction(round(min(32.0, rungs) * 2**20), 2**20)


def ranked_cases(
    query: SliceTable,
    stored: SliceTable,
    cost: dict[str, np.ndarray],
    weights: dict[str, float],
    allowed: np.ndarray,
    uncovered: float,
) -> list[tuple[float, int]]:
    """Cases that compare, best first: distance and position.

    `cost[view]` says how far each of the query's codes is from each stored code of that view; what
    is not covered costs up to `uncovered` for every unit of weight.
    """
    found = []
    own = [q for q in range(len(query.index)) if all(query.row[v][q] >= 0 for v in weights)]
    for case in np.flatnonzero(allowed).tolist():
        rows = range(stored.start[case], stored.start[case + 1])
        usable = [r for r in rows if all(stored.row[v][r] >= 0 for v in weights)]
        if not usable:
            continue
        table = np.array([[_cost(query, stored, cost, weights, q, r) for r in usable] for q in own])
        at, slices = laid(query.z_mm[own], stored.z_mm[usable])
        price = uncovered * sum(weights.values()) / (at[-1] + 1 + len(slices))
        found.append((aligned(table[:, slices] / len(own), at, price), case))
    return sorted(found)


def ranked_slices(
    query: SliceTable,
    stored: SliceTable,
    cost: dict[str, np.ndarray],
    weights: dict[str, float],
    allowed: np.ndarray,
    query_row: int,
) -> list[tuple[float, int]]:
    """Stored slices that compare with one of the query's, nearest first: cost and row."""
    rows = [
        row
        for case in np.flatnonzero(allowed).tolist()
        for row in range(stored.start[case], stored.start[case + 1])
        if all(stored.row[view][row] >= 0 for view in weights)
    ]
    return sorted((_cost(query, stored, cost, weights, query_row, row), row) for row in rows)


def _cost(
    query: SliceTable, stored: SliceTable, cost: dict, weights: dict, own: int, row: int
) -> float:
    return sum(
        w * float(cost[v][query.row[v][own], stored.row[v][row]]) for v, w in weights.items()
    )
