"""From code distances to an ordered answer: at slice level, at case level, by CT, dose or both.

A query is compared with the archive once per view (`Comparison`): the code distances of its slices
to all stored slices are additive integer counts, so any weight alpha, level, filter or k is then
answered without reading the codes again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.retrieval.alignment import Segmented, align, alignment_totals

View = str  # "ct", "dose" and "plan" of a case, "vector" of plain vectors
By = Literal["ct", "dose", "joint", "plan"]
Level = Literal["slice", "case"]
Weights = dict[View, float]
Measure = Callable[[NDArray[Any]], NDArray[np.float64]]  # code distances -> addable distances
VIEWS: tuple[View, ...] = ("ct", "dose")

# Weight of CT against dose in a joint query: the most that costs no agreement with plans on the
# training patients (docs/validity.md).
DEFAULT_ALPHA = 0.25

# A stored slice position may advance at most this many times as fast (in mm) as the query's:
# patients differ in length, but not by more than a factor of two.
MOST_STRETCH = 2.0


@dataclass(frozen=True, eq=False)
class SliceTable:
    """Slices of one or many cases: case c owns rows start[c]:start[c+1].

    `index` is the slice's position in its volume, `z_mm` its height in the patient, and
    `row[view]` its row among the codes of that view, -1 where the slice has none.
    """

    start: NDArray[np.int64]
    index: NDArray[np.int64]
    z_mm: NDArray[np.float64]
    row: dict[View, NDArray[np.int64]]

    def usable(self, views: Sequence[View]) -> NDArray[np.bool_]:
        """Which slices have codes in all of `views`."""
        return np.logical_and.reduce([self.row[view] >= 0 for view in views])

    def spacing_mm(self) -> NDArray[np.float64]:
        """Median distance between neighbouring slices of each case; nan for fewer than two."""
        spacing = np.full(len(self.start) - 1, np.nan)
        case = np.repeat(np.arange(len(spacing)), np.diff(self.start))
        inside = case[1:] == case[:-1]
        steps, case = np.abs(np.diff(self.z_mm))[inside], case[1:][inside]
        steps = steps[np.lexsort((steps, case))]
        n = np.bincount(case, minlength=len(spacing))
        first, some = np.cumsum(n) - n, n > 0
        lower, upper = ((first + half)[some] for half in ((n - 1) // 2, n // 2))
        spacing[some] = (steps[lower] + steps[upper]) / 2.0
        return spacing


@dataclass(frozen=True)
class Pair:
    """One matched pair of slices: the evidence for a distance. `counts` are code distances."""

    query_slice: int
    slice: int
    query_z_mm: float
    z_mm: float
    counts: dict[View, int]
    distance: float


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of a comparison: the k nearest of the `allowed` (n_cases,) cases.

    For level "slice" the nearest slices, to the query's slice `query_slice` (None: its middle one).
    """

    weights: Weights
    k: int
    allowed: NDArray[np.bool_]
    level: Level = "case"
    query_slice: int | None = None


@dataclass(frozen=True)
class Ranked:
    """A case (or a slice of it) in the order of an answer; `distance` is its pairs' mean."""

    case: int
    distance: float
    pairs: tuple[Pair, ...]


def views_of(by: By, alpha: float) -> Weights:
    """The weight of each view that takes part in a query by `by`."""
    if by not in get_args(By):
        raise InputError(f"--by must be ct, dose, joint or plan, got {by!r}")
    if not 0.0 <= alpha <= 1.0:
        raise InputError(f"--alpha is the weight of CT against dose in 0..1, got {alpha}")
    weights: Weights = {"ct": alpha, "dose": 1.0 - alpha} if by == "joint" else {by: 1.0}
    return {view: weight for view, weight in weights.items() if weight > 0}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Code distances of a query's slices (rows) to all stored slices, per view.

    `counts[view]` int32 (query rows of that view, stored rows of that view); `measure[view]` makes
    of them distances that may be averaged and added over views. Where `exact[view]` is given, of
    the same shape, it ranks instead, and the counts are only told.
    """

    query: SliceTable
    stored: SliceTable
    counts: dict[View, NDArray[np.int32]]
    measure: Mapping[View, Measure]
    exact: dict[View, NDArray[np.float64]] = field(default_factory=dict)
    _joined: dict[tuple[View, ...], _Joined] = field(default_factory=dict, init=False)

    def rank(self, question: Question) -> list[Ranked]:
        """The k nearest cases by their best monotone alignment, or the k nearest slices."""
        joined, weights = self._join(tuple(question.weights)), question.weights
        costs = joined.costs(weights, question.allowed)
        if question.level == "case":
            order = joined.nearest_cases(costs, question.k)
            return [joined.evidence(case, weights, costs) for case in order]
        row = joined.query_row(question.query_slice)
        order = _finite_first(costs[row], question.k)
        return [joined.single(row, column, weights, float(costs[row, column])) for column in order]

    def matched(self, weights: Weights, cases: Sequence[int]) -> dict[int, tuple[Pair, ...]]:
        """The slices of some cases matched with the query's, whatever these are ranked by."""
        allowed = np.zeros(len(self.stored.start) - 1, dtype=bool)
        allowed[list(cases)] = True
        return {one.case: one.pairs for one in self.rank(Question(weights, len(cases), allowed))}

    def candidates(self, question: Question) -> NDArray[np.int64]:
        """Ascending positions of the cases that `rank` finds, or finds slices of."""
        joined = self._join(tuple(question.weights))
        costs = joined.costs(question.weights, question.allowed)
        if question.level == "case":
            return np.sort(np.array(joined.nearest_cases(costs, question.k), dtype=np.int64))
        nearest = _finite_first(costs[joined.query_row(question.query_slice)], question.k)
        return np.unique(joined.case[nearest])

    def of_cases(self, cases: NDArray[np.int64]) -> Comparison:
        """The comparison with some cases only, given by ascending positions."""
        lengths = np.diff(self.stored.start)[cases]
        inside = np.zeros(len(self.stored.start) - 1, dtype=bool)
        inside[cases] = True
        kept = np.repeat(inside, np.diff(self.stored.start))
        rows, counts = {}, {}
        for view, table in self.stored.row.items():
            own = table[kept]
            rows[view] = np.where(own >= 0, np.cumsum(own >= 0) - 1, -1)
            if view in self.counts:
                counts[view] = self.counts[view][:, own[own >= 0]]
        stored = SliceTable(
            np.concatenate([[0], np.cumsum(lengths)]),
            self.stored.index[kept],
            self.stored.z_mm[kept],
            rows,
        )
        return Comparison(self.query, stored, counts, self.measure)

    def _join(self, views: tuple[View, ...]) -> _Joined:
        if views not in self._joined:
            self._joined[views] = _Joined.of(self, views)
        return self._joined[views]


@dataclass(frozen=True, eq=False)
class _Joined:
    """The comparison restricted to the slices that have all of the views asked for."""

    query: SliceTable
    stored: SliceTable
    query_rows: NDArray[np.int64]
    stored_rows: NDArray[np.int64]
    start: NDArray[np.int64]
    case: NDArray[np.int64]
    reach: NDArray[np.int64]
    counts: dict[View, NDArray[np.int32]]
    exact: dict[View, NDArray[np.float64]]
    measure: Mapping[View, Measure]

    @classmethod
    def of(cls, comparison: Comparison, views: tuple[View, ...]) -> _Joined:
        query, stored = comparison.query, comparison.stored
        query_rows = np.flatnonzero(query.usable(views))
        usable = stored.usable(views)
        stored_rows = np.flatnonzero(usable)
        if not len(query_rows):
            raise InputError(f"the query has no slice with {' and '.join(views)}: try another --by")
        start = np.concatenate([[0], np.cumsum(usable)])[stored.start]
        cells = {
            view: np.ix_(query.row[view][query_rows], stored.row[view][stored_rows])
            for view in views
        }
        return cls(
            query=query,
            stored=stored,
            query_rows=query_rows,
            stored_rows=stored_rows,
            start=start,
            case=np.repeat(np.arange(len(start) - 1), np.diff(start)),
            reach=_reach(query, stored),
            counts={v: m[cells[v]] for v, m in comparison.counts.items() if v in cells},
            exact={v: m[cells[v]] for v, m in comparison.exact.items() if v in cells},
            measure=comparison.measure,
        )

    def costs(self, weights: Weights, allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Weighted distance of every query slice to every stored one; infinite if not allowed."""
        costs = np.zeros((len(self.query_rows), len(self.stored_rows)))
        for view, weight in weights.items():
            exact = self.exact.get(view)
            costs += weight * (self.measure[view](self.counts[view]) if exact is None else exact)
        costs[:, ~allowed[self.case]] = np.inf
        return costs

    def nearest_cases(self, costs: NDArray[np.float64], k: int) -> list[int]:
        """The k cases with the least total cost, best first, ties by position."""
        return _finite_first(alignment_totals(Segmented(costs, self.start, self.reach)), k)

    def evidence(self, case: int, weights: Weights, costs: NDArray[np.float64]) -> Ranked:
        """The matched slice pairs of one case, and their mean distance."""
        first, last = self.start[case], self.start[case + 1]
        total, path = align(costs[:, first:last], int(self.reach[case]))
        pairs = tuple(
            self._pair(row, column, weights, float(costs[row, column]))
            for row, column in enumerate((first + path).tolist())
        )
        return Ranked(case, total / len(pairs), pairs)

    def single(self, row: int, column: int, weights: Weights, distance: float) -> Ranked:
        """One stored slice as an answer of its own."""
        pair = self._pair(row, column, weights, distance)
        return Ranked(int(self.case[column]), distance, (pair,))

    def query_row(self, query_slice: int | None) -> int:
        """The row of a slice given by its index in the volume; None is the middle one."""
        if query_slice is None:
            return len(self.query_rows) // 2
        found = np.flatnonzero(self.query.index[self.query_rows] == query_slice)
        if not len(found):
            index = self.query.index[self.query_rows]
            raise InputError(
                f"slice {query_slice} of the query has nothing to compare; "
                f"usable slices lie in {index.min()}..{index.max()}"
            )
        return int(found[0])

    def _pair(self, row: int, column: int, weights: Weights, distance: float) -> Pair:
        q, c = self.query_rows[row], self.stored_rows[column]
        return Pair(
            query_slice=int(self.query.index[q]),
            slice=int(self.stored.index[c]),
            query_z_mm=float(self.query.z_mm[q]),
            z_mm=float(self.stored.z_mm[c]),
            counts={view: int(self.counts[view][row, column]) for view in weights},
            distance=distance,
        )


def _finite_first(costs: NDArray[np.float64], k: int) -> list[int]:
    """Positions of the k least finite costs, least first, ties by position."""
    order = np.argsort(costs, kind="stable")[:k]
    return [int(i) for i in order if np.isfinite(costs[i])]


def _reach(query: SliceTable, stored: SliceTable) -> NDArray[np.int64]:
    step = query.spacing_mm()[0]
    with np.errstate(invalid="ignore"):
        reach = np.ceil(MOST_STRETCH * step / stored.spacing_mm())
    return np.where(np.isfinite(reach), reach, 1).clip(1).astype(np.int64)
