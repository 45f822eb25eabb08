"""The heart in ten lines: what a comparison answers, by loops over cases and monotone paths."""

from __future__ import annotations

import math

import numpy as np

from isohash.retrieval.slices import SliceTable


def aligned(costs: np.ndarray, reach: int) -> tuple[float, list[int]]:
    """The least total cost of matching each row with a column, and these; ties to lower columns.

    A column never runs backwards, and advances by at most `reach` from one row to the next.
    """
    best = [[(float(cost), [j]) for j, cost in enumerate(costs[0])]]
    for row in costs[1:]:
        before = best[-1]
        steps = [before[max(0, j - reach) : j + 1] for j in range(len(row))]
        nearest = [min(step, key=lambda one: one[0]) for step in steps]
        best.append(
            [(total + float(row[j]), [*path, j]) for j, (total, path) in enumerate(nearest)]
        )
    return min(best[-1], key=lambda one: one[0])


def reach_of(query: SliceTable, stored: SliceTable) -> int:
    """How far a match may advance: twice the query's spacing in slices of the stored case."""

    def spacing(table: SliceTable) -> float:
        steps = np.abs(np.diff(table.z_mm))
        return float(np.median(steps)) if len(steps) else math.nan

    reach = 2.0 * spacing(query) / spacing(stored) if spacing(stored) != 0 else math.inf
    return max(1, math.ceil(reach)) if math.isfinite(reach) else 1


def ranked_cases(
    query: SliceTable,
    stored: SliceTable,
    cost: dict[str, np.ndarray],
    weights: dict[str, float],
    allowed: np.ndarray,
) -> list[tuple[float, int, list[tuple[int, int]]]]:
    """Cases that compare, best first: mean cost, position, and the matched (query, stored) rows.

    `cost[view]` says how far each of the query's codes is from each stored code of that view.
    """
    found = []
    own = [q for q in range(len(query.index)) if all(query.row[v][q] >= 0 for v in weights)]
    for case in np.flatnonzero(allowed).tolist():
        rows = range(stored.start[case], stored.start[case + 1])
        usable = [r for r in rows if all(stored.row[v][r] >= 0 for v in weights)]
        if not usable:
            continue
        table = np.array([[_cost(query, stored, cost, weights, q, r) for r in usable] for q in own])
        total, path = aligned(table, reach_of(query, _one_case(stored, case)))
        pairs = [(q, usable[column]) for q, column in zip(own, path, strict=True)]
        found.append((total / len(own), case, pairs))
    return sorted(found, key=lambda one: one[:2])


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


def _one_case(table: SliceTable, case: int) -> SliceTable:
    rows = slice(table.start[case], table.start[case + 1])
    return SliceTable(np.array([0, 1]), table.index[rows], table.z_mm[rows], {})
