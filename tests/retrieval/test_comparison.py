"""The heart as a unit: every comparison against loops over cases and monotone paths."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isohash.errors import InputError
from isohash.index.flat import distances
from isohash.records import Codes
from isohash.retrieval import comparison as module
from isohash.retrieval.comparison import Comparison, ViewCodes
from isohash.retrieval.dense import UNCOVERED
from isohash.retrieval.kept_cells import Kept
from isohash.retrieval.ranked import Question, Ranked
from isohash.retrieval.slices import SliceTable
from oracle import ranked_cases, ranked_slices

VIEWS = ("ct", "dose")
BITS = 7  # few, so that ties are many
STEP = 0.1  # a measure under which sums are rounded


@dataclass(frozen=True, eq=False)
class Problem:
    comparison: Comparison
    question: Question

    @property
    def cost(self) -> dict[str, np.ndarray]:
        views = self.comparison.views
        return {v: STEP * distances(c.query, c.stored) for v, c in views.items()}

    @property
    def given(self) -> tuple:
        comparison, question = self.comparison, self.question
        return comparison.query, comparison.stored, self.cost, question.weights, question.allowed

    @property
    def ranked(self) -> list[tuple[float, int]]:
        return ranked_cases(*self.given, UNCOVERED)


def slices(rng: np.random.Generator, lengths: list[int], share: float) -> tuple[SliceTable, dict]:
    """A table of cases, and where each view's codes begin; some slices lack a view."""
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    n, rows, starts = int(start[-1]), {}, {}
    z_mm = np.concatenate([[], *(rng.uniform(1, 4) * np.arange(m) for m in lengths)])
    for view in VIEWS:
        has = rng.random(n) < share
        rows[view] = np.where(has, np.cumsum(has) - 1, -1)
        starts[view] = np.concatenate([[0], np.cumsum(has)])[start]
    index = rng.permutation(100)[:n].astype(np.int64)
    return SliceTable(start, index, z_mm, rows), starts


@st.composite
def problems(draw: st.DrawFn, level: str = "case") -> Problem:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = draw(st.lists(st.integers(0, 5), max_size=7))
    query, _ = slices(rng, [draw(st.integers(1, 5))], 1.0)
    stored, starts = slices(rng, lengths, draw(st.sampled_from([0.5, 0.9, 1.0])))
    views = {}
    for view in VIEWS:
        own, others = query.row[view].max() + 1, stored.row[view].max(initial=-1) + 1
        bits = rng.integers(0, 2, (own + others, BITS))
        codes = Codes.from_symbols(bits, 2)
        views[view] = ViewCodes(
            codes[:own], codes[own:], starts[view], lambda counts: STEP * np.asarray(counts)
        )
    weights = draw(st.sampled_from([{"ct": 1.0}, {"dose": 1.0}, {"ct": 0.3, "dose": 0.7}]))
    allowed = rng.random(len(lengths)) < 0.8
    question = Question(weights, draw(st.integers(1, 9)), allowed, level)
    return Problem(Comparison(query, stored, views), question)


def rows_of(found: Ranked, table: SliceTable, query: SliceTable) -> list[tuple[int, int]]:
    """The matched rows; indices of slices are unique in these problems."""
    own = {int(i): row for row, i in enumerate(query.index)}
    stored = {int(i): row for row, i in enumerate(table.index)}
    return [(own[pair.query_slice], stored[pair.slice]) for pair in found.pairs]


@given(problems())
def test_cases_come_as_loops_over_all_of_them_say(problem: Problem) -> None:
    comparison, question = problem.comparison, problem.question
    found, wanted = comparison.rank(question), problem.ranked
    costs = {case: mean for mean, case in wanted}
    assert [one.distance for one in found] == pytest.approx(
        [mean for mean, _ in wanted[: question.k]], abs=1e-12
    )
    for one in found:
        assert one.distance == pytest.approx(costs[one.case], abs=1e-12)
        spent = [_pair_cost(problem, pair) for pair in one.pairs]
        assert [pair.distance for pair in one.pairs] == pytest.approx(spent, abs=1e-12)
        n = len(comparison.query.index)
        assert len(spent) <= n
        assert one.distance >= sum(spent) / n - 1e-12
        if (one.covered.query, one.covered.case) == (1.0, 1.0):
            assert one.distance == pytest.approx(np.mean(spent), abs=1e-12)
        rows = [row for _, row in rows_of(one, comparison.stored, comparison.query)]
        assert rows == sorted(rows)
        assert all(comparison.stored.start[one.case] <= row for row in rows)
        assert all(row < comparison.stored.start[one.case + 1] for row in rows)


def _pair_cost(problem: Problem, pair) -> float:
    return sum(w * STEP * pair.counts[view] for view, w in problem.question.weights.items())


@given(problems())
def test_few_cells_give_the_very_answer_of_all_of_them(problem: Problem) -> None:
    comparison, question = problem.comparison, problem.question
    assert comparison.rank(question) == comparison.reference().rank(question)
    assert sorted(one.case for one in comparison.rank(question)) == (
        comparison.candidates(question).tolist()
    )


@given(problems())
@settings(max_examples=50)
def test_however_few_are_aligned_at_a_time_the_answer_is_the_same(problem: Problem) -> None:
    comparison, question = problem.comparison, problem.question
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ALIGNED_MORE", 0)
        fresh = replace(comparison, kept=Kept(most_bytes=0))
        assert fresh.rank(question) == comparison.reference().rank(question)


@given(problems())
@settings(max_examples=50)
def test_bounds_are_below_the_totals_of_every_case(problem: Problem) -> None:
    comparison, weights = problem.comparison, problem.question.weights
    bounds, totals = comparison.bounds(weights), comparison.reference().totals(weights)
    assert (bounds <= totals).all()
    finite = np.isfinite(totals)
    one_slice = (np.diff(comparison.stored.start) == 1) & (len(comparison.query.index) == 1)
    np.testing.assert_allclose(bounds[finite & one_slice], totals[finite & one_slice], rtol=1e-8)


@given(problems(), st.floats(0, 1))
@settings(max_examples=50)
def test_cases_that_cover_less_than_is_asked_for_are_passed_over(problem, share) -> None:
    comparison, question = problem.comparison, problem.question
    everyone = comparison.rank(replace(question, k=99))
    wanted = [one for one in everyone if one.covered.query >= share]
    asked = replace(question, covered=share)
    assert comparison.rank(asked) == wanted[: question.k]
    assert comparison.reference().rank(asked) == wanted[: question.k]


@given(problems("slice"))
def test_slices_come_as_loops_over_all_of_them_say(problem: Problem) -> None:
    comparison, question = problem.comparison, problem.question
    middle = len(comparison.query.index) // 2
    wanted = ranked_slices(*problem.given, middle)
    found = comparison.rank(question)
    assert [one.distance for one in found] == pytest.approx(
        [cost for cost, _ in wanted][: question.k]
    )
    told = [rows_of(one, comparison.stored, comparison.query)[0] for one in found]
    assert all(own == middle for own, _ in told)
    first = comparison.rank(replace(question, query_slice=int(comparison.query.index[0])))
    assert [one.distance for one in first] == pytest.approx(
        [cost for cost, _ in ranked_slices(*problem.given, 0)][: question.k]
    )
    assert [one.case for one in found] == [
        int(np.searchsorted(comparison.stored.start, row, side="right")) - 1 for _, row in told
    ]


@given(problems())
@settings(max_examples=50)
def test_matched_slices_of_named_cases_are_those_of_an_answer(problem: Problem) -> None:
    comparison, question = problem.comparison, problem.question
    everyone = replace(question, k=99, allowed=np.ones_like(question.allowed))
    answered = {one.case: one for one in comparison.rank(everyone)}
    asked = [case for case in answered if case % 2 == 0]
    assert comparison.matched(question.weights, asked) == {case: answered[case] for case in asked}


@given(problems())
@settings(max_examples=50)
def test_equal_cases_are_ordered_by_their_position(problem: Problem) -> None:
    comparison, question = problem.comparison, problem.question
    n = comparison.stored.n_cases
    twice = comparison.stored.of_cases(np.tile(np.arange(n), 2))
    views = {
        view: replace(
            codes,
            stored=codes.stored[np.tile(np.arange(len(codes.stored)), 2)],
            start=np.concatenate([codes.start, len(codes.stored) + codes.start[1:]]),
        )
        for view, codes in comparison.views.items()
    }
    found = Comparison(comparison.query, twice, views).rank(
        replace(question, k=2 * n + 1, allowed=np.tile(question.allowed, 2))
    )
    order = [one.case for one in found]
    for case in range(n):
        if case in order:
            assert order.index(case) < order.index(case + n)
    assert [one.distance for one in found] == sorted(one.distance for one in found)


def test_a_slice_that_cannot_be_compared_is_refused_with_those_that_can(rng) -> None:
    query, _ = slices(rng, [3], 1.0)
    stored, starts = slices(rng, [2], 1.0)
    query.row["ct"][:] = -1
    codes = Codes.from_symbols(rng.integers(0, 2, (3, BITS)), 2)
    views = {v: ViewCodes(codes, codes[:2], starts[v], np.asarray) for v in VIEWS}
    comparison = Comparison(query, stored, views)
    with pytest.raises(InputError, match="no slice with ct"):
        comparison.rank(Question({"ct": 1.0}, 1, np.ones(1, bool)))
    with pytest.raises(InputError, match=r"slice 1000 .* usable slices lie in"):
        comparison.rank(Question({"dose": 1.0}, 1, np.ones(1, bool), "slice", 1000))
