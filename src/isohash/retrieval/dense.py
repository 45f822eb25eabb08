"""All distances between a query's slices and those of some cases: the plain form of an answer.

Every cell is there, so what is nearest can be read off. `comparison` gives the same answers from
fewer cells, and compares whole archives that would not fit here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.retrieval.alignment import OUTSIDE, Segmented, alignment_totals, covered_by, paths
from isohash.retrieval.ranked import Covered, Pair, Question, Ranked
from isohash.retrieval.request import Weights
from isohash.retrieval.rungs import Rungs, rungs_of
from isohash.retrieval.slices import SliceTable

Measure = Callable[[NDArray[Any]], NDArray[np.float64]]  # code distances -> addable distances
Table = NDArray[np.float64]
Places = NDArray[np.int64]

# How much farther a case is if nothing of its length and the query's is matched, in distances of
# near neighbours (docs/validity.md: chosen by left-out patients).
UNCOVERED = 0.5


@dataclass(frozen=True, eq=False)
class Dense:
    """A query against some cases: `cases` (n,) are their ascending positions in the archive.

    `counts[view]` int32 (query rows of that view, stored rows of that view); `measure[view]` makes
    of them distances that may be averaged and added over views. Where `exact[view]` is given, of
    the same shape, it ranks instead, and the counts are only told. `unit[view]` is the distance of
    a near neighbour; what is not covered costs up to `uncovered` of them, of a case beyond
    the query nothing if this is a `part_only` of a body.
    """

    query: SliceTable
    stored: SliceTable
    cases: NDArray[np.int64]
    counts: Mapping[str, NDArray[np.int32]]
    measure: Mapping[str, Measure]
    exact: Mapping[str, Table] = field(default_factory=dict)
    unit: Mapping[str, float] = field(default_factory=dict)
    uncovered: float = UNCOVERED
    part_only: bool = False

    def rank(self, question: Question) -> list[Ranked]:
        """The k nearest cases by their best monotone alignment, or the k nearest slices."""
        joined = Joined.of(self, tuple(question.weights))
        costs = joined.costs(question.weights, question.allowed[self.cases])
        if question.level == "case":
            totals = joined.totals(question.weights, costs, question.covered)
            return joined.evidence(nearest(totals, question.k), question.weights, costs)
        row = query_row(self.query, joined.query_rows, question.query_slice)
        return [joined.single(row, at, costs) for at in nearest(costs[row], question.k)]

    def totals(self, weights: Weights, covered: float = 0.0) -> Table:
        """The least total cost of aligning each case, (n,).

        Infinite where nothing compares, and where less than a share of the query is `covered`.
        """
        joined = Joined.of(self, tuple(weights))
        return joined.totals(weights, joined.costs(weights), covered)


@dataclass(frozen=True, eq=False)
class Joined:
    """The slices that have all of the views asked for; `start` says which case owns which.

    `counts` and `measured` are, by view, code distances and distances that may be added, of every
    query slice to every stored one. `dense` tells all else, and holds no tables of its own.
    """

    dense: Dense
    counts: Mapping[str, NDArray[np.int32]]
    measured: Mapping[str, Table]
    query_rows: Places
    stored_rows: Places
    start: Places

    @classmethod
    def of(cls, dense: Dense, views: tuple[str, ...]) -> Joined:
        """What of a comparison has all of the views."""
        usable = dense.stored.usable(views)
        start = np.concatenate([[0], np.cumsum(usable)])[dense.stored.start]
        rows, columns = query_rows(dense.query, views), np.flatnonzero(usable)
        counts, measured = {}, {}
        for view in views:
            cells = np.ix_(dense.query.row[view][rows], dense.stored.row[view][columns])
            if view in dense.counts:  # a study of distances has no codes
                counts[view] = dense.counts[view][cells]
            exact = dense.exact.get(view)
            measured[view] = dense.measure[view](counts[view]) if exact is None else exact[cells]
        return cls(replace(dense, counts={}, exact={}), counts, measured, rows, columns, start)

    def exactly(self, exact: Mapping[str, Table]) -> Joined:
        """The same measured otherwise, by tables as wide as those of codes."""
        query, stored = self.dense.query.row, self.dense.stored.row
        measured = {
            view: exact[view][np.ix_(query[view][self.query_rows], stored[view][self.stored_rows])]
            for view in self.measured
        }
        return replace(self, measured=measured)

    @property
    def n_bytes(self) -> int:
        """What its tables take."""
        codes = sum(table.nbytes for table in self.counts.values())
        return codes + sum(table.nbytes for table in self.measured.values())

    def costs(self, weights: Weights, allowed: NDArray[np.bool_] | None = None) -> Table:
        """Weighted distance of every query slice to every stored one; infinite if not allowed."""
        costs: Table | None = None
        for view, table in self.measured.items():
            part = weights[view] * table
            costs = part if costs is None else np.add(costs, part, out=costs)
        assert costs is not None  # as a question has weights
        if allowed is not None and not allowed.all():
            costs[:, ~np.repeat(allowed, np.diff(self.start))] = np.inf
        return costs

    def totals(self, weights: Weights, costs: Table, covered: float) -> Table:
        """The least total of each case; infinite where it covers less than a share of the query."""
        problem = self.problem(weights, costs)
        totals = alignment_totals(problem)
        if covered > 0 and len(some := np.flatnonzero(np.isfinite(totals))):
            found = paths(problem.of_cases(some)).rungs
            told = [self._covered(at, path) for at, path in zip(some.tolist(), found, strict=True)]
            totals[some[[one.query < covered for one in told]]] = np.inf
        return totals

    def problem(self, weights: Weights, costs: Table) -> Segmented:
        """The alignment of the query with all cases."""
        unit = unit_of(weights, self.dense.unit) * self.dense.uncovered
        part_only, n = self.dense.part_only, self.rungs.n_query
        asked = self.rungs.lengths.clip(max=n) if part_only else self.rungs.lengths
        cost = price(unit, len(self.query_rows), n, asked)
        return Segmented(costs, self.rungs, cost, part_only)

    @cached_property
    def rungs(self) -> Rungs:
        """The slices of the cases on the rungs of the query."""
        own, stored = self.dense.query.z_mm[self.query_rows], self.dense.stored.z_mm
        return rungs_of(own, stored[self.stored_rows], self.start)

    def evidence(self, order: list[int], weights: Weights, costs: Table) -> list[Ranked]:
        """Some cases in that order, each with its matched pairs of slices and its distance."""
        if not order:
            return []
        problem = self.problem(weights, costs).of_cases(np.array(order, dtype=np.int64))
        found = paths(problem)
        return [
            self._aligned(*one, costs)
            for one in zip(order, found.totals.tolist(), found.rungs, strict=True)
        ]

    def _aligned(self, at: int, total: float, path: Places, costs: Table) -> Ranked:
        inside = np.flatnonzero(path != OUTSIDE)
        columns = self.rungs.slice[self.rungs.start[at] + path[inside]]
        distance = total / len(self.query_rows)
        pairs = self._pairs(inside, columns, costs)
        return Ranked(int(self.dense.cases[at]), distance, pairs, covered=self._covered(at, path))

    def _covered(self, at: int, path: Places) -> Covered:
        return covered_by(path, self.rungs.query, int(self.rungs.lengths[at]))

    def single(self, row: int, column: int, costs: Table) -> Ranked:
        """One stored slice as an answer of its own."""
        case = int(np.searchsorted(self.start, column, side="right")) - 1
        pairs = self._pairs(np.array([row]), np.array([column]), costs)
        return Ranked(int(self.dense.cases[case]), pairs[0].distance, pairs)

    def _pairs(self, rows: Places, columns: Places, costs: Table) -> tuple[Pair, ...]:
        query, stored = self.dense.query, self.dense.stored
        q, c = self.query_rows[rows], self.stored_rows[columns]
        counts = {view: table[rows, columns].tolist() for view, table in self.counts.items()}
        told = zip(
            query.index[q].tolist(),
            stored.index[c].tolist(),
            query.z_mm[q].tolist(),
            stored.z_mm[c].tolist(),
            [dict(zip(counts, row, strict=True)) for row in zip(*counts.values(), strict=True)],
            costs[rows, columns].tolist(),
            strict=True,
        )
        return tuple(Pair(*one) for one in told)


def query_rows(query: SliceTable, views: tuple[str, ...]) -> NDArray[np.int64]:
    """The query's slices that have all of the views; InputError if there is none."""
    rows = np.flatnonzero(query.usable(views))
    if not len(rows):
        raise InputError(f"the query has no slice with {' and '.join(views)}: try another --by")
    return rows


def query_row(query: SliceTable, usable: NDArray[np.int64], query_slice: int | None) -> int:
    """The place among the usable rows of a slice given by its index in the volume.

    None is the middle one.
    """
    if query_slice is None:
        return len(usable) // 2
    index = query.index[usable]
    found = np.flatnonzero(index == query_slice)
    if not len(found):
        raise InputError(
            f"slice {query_slice} of the query has nothing to compare; {usable_text(index)}"
        )
    return int(found[0])


def usable_text(index: Places) -> str:
    """Which slices can be asked with, by their index in the volume."""
    return f"usable slices lie in {index.min()}..{index.max()}"


def nearest(costs: Table, k: int) -> list[int]:
    """Positions of the k least finite costs, least first, ties by position."""
    order = np.argsort(costs, kind="stable")[:k]
    return [int(i) for i in order if np.isfinite(costs[i])]


def unit_of(weights: Weights, units: Mapping[str, float]) -> float:
    """The joint distance of two that are near neighbours in every view; 1 by view if not given."""
    return sum(weight * units.get(view, 1.0) for view, weight in weights.items())


def price(unit: float, n_slices: int, n_query: int, lengths: Places) -> Table:
    """What each rung without a counterpart adds to a total over so many query slices, by case.

    All rungs of a query of `n_query` and a case together cost `unit` a query slice.
    """
    return unit * n_slices / (n_query + lengths)
