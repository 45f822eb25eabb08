"""A query compared with an archive: the nearest cases without looking at every pair of slices.

The alignment of a case picks one of its slices for each of the query's, and adds the price of what
is not covered. So the sum, over the query's slices, of the least code distance to any slice of the
case bounds its total from below, also with the price of what one length exceeds the other by.
That least is what the engine finds in one pass over the codes (`index.least_per_case`), a table as
wide as there are cases, not slices. Cases are then aligned in the order of their bounds until no
bound is below the k-th total: the answer is that of all cases (`Comparison.reference`), ties
included.

Code distances are additive integer counts, so any weight, level, filter or k is answered without
reading the codes of the archive again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.index.flat import distances
from isohash.index.segments import NO_DISTANCE, distances_to_cases, least_per_case
from isohash.records import Codes
from isohash.retrieval.dense import (
    UNCOVERED,
    Dense,
    Joined,
    Measure,
    Table,
    nearest,
    price,
    query_row,
    query_rows,
    unit_of,
    usable_text,
)
from isohash.retrieval.kept_cells import Kept
from isohash.retrieval.ranked import Question, Ranked
from isohash.retrieval.refined import Span
from isohash.retrieval.request import Weights
from isohash.retrieval.rungs import lengths_of
from isohash.retrieval.slices import SliceTable

# A bound is a sum of the very numbers that a total is a sum of, in another order: it may exceed the
# total by the rounding of some hundred additions, far less than this share.
ROUNDING = 1e-9
# Cases aligned at first beyond the k that are wanted; then as many again, and so on.
ALIGNED_MORE = 16

Places = NDArray[np.int64]
# By case, distances (query rows, rows of the case) of a view.
Measured = Callable[[str, Sequence[int]], Mapping[int, Table]]


@dataclass(frozen=True, eq=False)
class ViewCodes:
    """One view of a comparison: the query's codes and all stored ones.

    `start` (n_cases + 1,) says which case owns which stored codes; `unit` is the distance of a near
    neighbour under `measure`.
    """

    query: Codes
    stored: Codes
    start: NDArray[np.int64]
    measure: Measure
    unit: float = 1.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """A query's slices and all stored ones, with their codes by view.

    With `part_only` the query is a part of a body: what a case has beyond it costs nothing.
    """

    query: SliceTable
    stored: SliceTable
    views: Mapping[str, ViewCodes]
    part_only: bool = False
    kept: Kept = field(default_factory=Kept)

    def within(self, span: Span | None, views: Sequence[str]) -> Comparison:
        """Only the query's slices of a span count; one that holds all is no refinement.

        InputError where none of them has the views.
        """
        if span is None:
            return self
        usable, index = self.query.usable(views), self.query.index
        inside = (index >= span[0]) & (index <= span[1])
        if not (usable & inside).any():
            raise InputError(
                f"--span {span[0]} {span[1]}: the query has nothing to compare there; "
                f"{usable_text(index[usable])}"
            )
        if inside[usable].all():
            return self
        return replace(self, query=self.query.some(inside), part_only=True)

    def rank(self, question: Question) -> list[Ranked]:
        """The k nearest cases by their best monotone alignment, or the k nearest slices."""
        if question.level == "slice":
            return self._one_slice(question).rank(question)
        cases = self._nearest_cases(question)
        return evidence(self._cells(question.weights, cases), question.weights)

    def candidates(self, question: Question) -> Places:
        """Ascending positions of the cases that `rank` finds, or finds slices of."""
        if question.level == "slice":
            found = self._one_slice(question).rank(question)
            return _ascending(one.case for one in found)
        return np.sort(self._nearest_cases(question))

    def matched(self, weights: Weights, cases: Sequence[int]) -> dict[int, Ranked]:
        """The slices of some cases matched with the query's, whatever these are ranked by."""
        cells = self._cells(weights, _ascending(cases))
        totals = totals_of(cells, weights)
        some = [one for one, total in zip(cells, totals, strict=True) if np.isfinite(total)]
        return {one.case: one for one in evidence(some, weights)}

    def exactly(self, question: Question, cases: Places, measured: Measured) -> list[Ranked]:
        """The k nearest of some cases, given by ascending positions, by other distances.

        `measured(view, cases)` gives these: (query rows, rows) by case.
        """
        weights = question.weights
        make = partial(self._make_exact, tuple(weights), measured)
        cells = self.kept.cells("exact", tuple(weights), cases.tolist(), make)
        totals = totals_of(cells, weights, question.covered)
        return evidence([cells[at] for at in nearest(totals, question.k)], weights)

    def part(self, cases: Places) -> Dense:
        """The query against some cases, given by ascending positions."""
        counts = {v: np.concatenate([_no_columns(c), *self._counts(v, cases.tolist())], axis=1)
                  for v, c in self.views.items()}  # fmt: skip
        return self._dense(self.stored.of_cases(cases), cases, counts)

    def _dense(
        self, stored: SliceTable, cases: Places, counts: Mapping[str, NDArray[np.int32]]
    ) -> Dense:
        return Dense(
            self.query, stored, cases, counts, self._measure, unit=self._unit,
            part_only=self.part_only,
        )  # fmt: skip

    def reference(self) -> Dense:
        """The query against every case: what `rank` must equal, in all the memory it takes."""
        counts = {v: distances(codes.query, codes.stored) for v, codes in self.views.items()}
        everyone = np.arange(self.stored.n_cases)
        return self._dense(self.stored, everyone, counts)

    @property
    def _unit(self) -> dict[str, float]:
        return {view: codes.unit for view, codes in self.views.items()}

    @property
    def _measure(self) -> dict[str, Measure]:
        return {view: codes.measure for view, codes in self.views.items()}

    # -- cases -----------------------------------------------------------------------------------

    def _nearest_cases(self, question: Question) -> Places:
        """The k cases with the least totals, nearest first; ties go to lower positions."""
        bounds = np.where(question.allowed, self.bounds(question.weights), np.inf)
        order = np.argsort(bounds, kind="stable")
        order = order[: int(np.isfinite(bounds).sum())]
        cases, totals = np.empty(0, dtype=np.int64), np.empty(0)
        while len(order) > (done := len(cases)):
            farthest = np.sort(totals)[question.k - 1] if done >= question.k else np.inf
            if bounds[order[done]] > farthest:
                break
            more = np.sort(order[done : 2 * done + question.k + ALIGNED_MORE])
            cases = np.concatenate([cases, more])
            cells = self._cells(question.weights, more)
            found = totals_of(cells, question.weights, question.covered)
            totals = np.concatenate([totals, found])
        by_position = np.argsort(cases)
        return cases[by_position][nearest(totals[by_position], question.k)]

    def bounds(self, weights: Weights) -> Table:
        """A number for every case that its total cannot be below; infinite where none compares.

        The least distances of the query's slices, and the price of what one of two lengths is
        longer by.
        """
        return (self.least(weights) + self._longer(weights)) * (1.0 - ROUNDING)

    def least(self, weights: Weights) -> Table:
        """The sum, over the query's slices, of the least distance to any slice of each case."""
        rows = query_rows(self.query, tuple(weights))
        total = np.zeros(self.stored.n_cases)
        for view, weight in weights.items():
            least = self._least[view][self.query.row[view][rows]]
            nothing = (least == NO_DISTANCE).any(axis=0)
            measured = self.views[view].measure(least).sum(axis=0)
            total += np.where(nothing, np.inf, weight * measured)
        return total

    def _longer(self, weights: Weights) -> Table:
        usable = self.stored.usable(tuple(weights))
        start = np.concatenate([[0], np.cumsum(usable)])[self.stored.start]
        rows = query_rows(self.query, tuple(weights))
        n, lengths = lengths_of(self.query.z_mm[rows], self.stored.z_mm[usable], start)
        unit = UNCOVERED * unit_of(weights, self._unit)
        asked = lengths.clip(max=n) if self.part_only else lengths
        return price(unit, len(rows), n, asked) * np.abs(n - asked)

    def nearest_case(self, view: str, others: NDArray[np.bool_]) -> float:
        """How near the nearest of the `others` (n_cases,) can be by one view, per query slice.

        NaN where none compares.
        """
        rows = query_rows(self.query, (view,))
        least = np.where(others, self.least({view: 1.0}), np.inf).min(initial=np.inf)
        return float(least) * (1.0 - ROUNDING) / len(rows) if np.isfinite(least) else float("nan")

    @property
    def _least(self) -> dict[str, NDArray[np.int32]]:
        """The least code distance of each query slice (rows) to any slice of each case."""
        for view, codes in self.views.items():
            if view not in self.kept.least:
                found = least_per_case(codes.query, codes.stored, codes.start)
                self.kept.least[view] = found
        return self.kept.least

    def _cells(self, weights: Weights, cases: Places) -> list[Joined]:
        """The query's slices and those of single cases, measured by their codes."""
        views = tuple(weights)
        make = partial(self._make, views)
        return self.kept.cells("codes", views, cases.tolist(), make)

    def _make(self, views: tuple[str, ...], cases: Sequence[int]) -> list[Joined]:
        counts = {view: self._counts(view, cases) for view in views}
        return [
            Joined.of(self._one(case, {view: counts[view][at] for view in views}), views)
            for at, case in enumerate(cases)
        ]

    def _make_exact(
        self, views: tuple[str, ...], measured: Measured, cases: Sequence[int]
    ) -> list[Joined]:
        exact = {view: measured(view, cases) for view in views}
        by_code = self._cells(dict.fromkeys(views, 1.0), np.array(cases, dtype=np.int64))
        return [
            one.exactly({view: exact[view][case] for view in views})
            for case, one in zip(cases, by_code, strict=True)
        ]

    def _one(self, case: int, counts: Mapping[str, NDArray[np.int32]]) -> Dense:
        position = np.array([case])
        return self._dense(self.stored.of_cases(position), position, counts)

    def _counts(self, view: str, cases: Sequence[int]) -> list[NDArray[np.int32]]:
        """Code distances of the query's slices to those of some cases, by case."""
        codes, asked = self.views[view], np.array(cases, dtype=np.int64)
        if not len(asked):
            return []
        found = distances_to_cases(codes.query, codes.stored, codes.start, asked)
        ends = np.cumsum(np.diff(codes.start)[asked])
        return [np.ascontiguousarray(one) for one in np.split(found, ends[:-1], axis=1)]

    # -- slices ----------------------------------------------------------------------------------

    def _one_slice(self, question: Question) -> Dense:
        """One slice of the query against every stored slice."""
        rows = query_rows(self.query, tuple(question.weights))
        query = self.query.one(int(rows[query_row(self.query, rows, question.query_slice)]))
        counts, row = {}, dict(query.row)
        for view in question.weights:
            own = self.views[view].query[query.row[view]]
            counts[view] = distances(own, self.views[view].stored)
            row[view] = np.zeros(1, dtype=np.int64)
        query = SliceTable(query.start, query.index, query.z_mm, row)
        everyone = np.arange(self.stored.n_cases)
        return Dense(query, self.stored, everyone, counts, self._measure)


def totals_of(cells: Sequence[Joined], weights: Weights, covered: float = 0.0) -> Table:
    """The least total of each of some single cases, (n,)."""
    found = [one.totals(weights, one.costs(weights), covered) for one in cells]
    return np.concatenate([np.empty(0), *found])


def evidence(cells: Sequence[Joined], weights: Weights) -> list[Ranked]:
    """Single cases in the order given, each with its matched slices and its distance."""
    return [one.evidence([0], weights, one.costs(weights))[0] for one in cells]


def _no_columns(codes: ViewCodes) -> NDArray[np.int32]:
    return np.empty((len(codes.query), 0), dtype=np.int32)


def _ascending(cases: Iterable[int]) -> NDArray[np.int64]:
    """Each position once; np.unique would first import numpy.ma, for longer than a query takes."""
    return np.array(sorted(set(cases)), dtype=np.int64)
