"""Alignment against brute force over all matchings, and what it promises whatever the costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isohash import native
from isohash.retrieval.alignment import OUTSIDE, Segmented, alignment_totals, covered_by, paths
from isohash.retrieval.rungs import MOST_RUNGS, Rungs, lengths_of, rungs_of
from oracle import aligned, laid, matchings, spent

SEEDS = st.integers(0, 2**32 - 1)


def heights(rng: np.random.Generator, n: int, gaps: list[float]) -> np.ndarray:
    return rng.uniform(-50, 50) + np.cumsum(rng.choice(gaps, n))


def one_case(costs: np.ndarray, price: float = 0.0) -> Segmented:
    n, m = costs.shape
    rungs = rungs_of(np.arange(n) * 3.0, np.arange(m) * 3.0, np.array([0, m]))
    return Segmented(costs, rungs, np.array([price]))


def told(found: np.ndarray) -> list[int | None]:
    return [None if rung == OUTSIDE else int(rung) for rung in found]


@given(st.integers(1, 5), st.lists(st.integers(0, 6), min_size=1, max_size=4), SEEDS)
def test_alignment_is_the_best_of_all_matchings(n, lengths, seed) -> None:
    rng = np.random.default_rng(seed)
    query = heights(rng, n, [1, 1, 1, 2.4, 3])
    stored = np.concatenate([heights(rng, m, [0.5, 1, 1, 1.3, 3]) for m in lengths])
    start = np.concatenate([[0], np.cumsum(lengths)])
    costs = rng.integers(0, 6, (n, len(stored))).astype(float)
    problem = Segmented(
        costs, rungs_of(query, stored, start), rng.integers(0, 3, len(lengths)).astype(float)
    )
    totals = alignment_totals(problem)
    for case in np.flatnonzero(lengths).tolist():
        at, slices = laid(query, stored[start[case] : start[case + 1]])
        own, price = costs[:, start[case] + np.array(slices)], float(problem.price[case])
        all_of_them = [spent(own, at, price, one)[0] for one in matchings(at, len(slices))]
        assert totals[case] == min(all_of_them) == aligned(own, at, price)
        found = paths(problem.of_cases(np.array([case])))
        path = told(found.rungs[0])
        assert path in list(matchings(at, len(slices)))
        total, query_left, case_left = spent(own, at, price, path)
        assert found.totals[0] == total == totals[case]
        covered = covered_by(found.rungs[0], problem.rungs.query, len(slices))
        assert covered.query == pytest.approx(1 - query_left / (at[-1] + 1))
        assert covered.case == pytest.approx(1 - case_left / len(slices))
    assert np.isinf(totals[np.array(lengths) == 0]).all()


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6), st.integers(1, 5), SEEDS)
def test_cases_are_laid_as_one_at_a_time(lengths, n, seed) -> None:
    rng = np.random.default_rng(seed)
    query, start = heights(rng, n, [1, 2, 7, 90]), np.concatenate([[0], np.cumsum(lengths)])
    stored = np.concatenate([heights(rng, m, [0.1, 1, 2, 1e6]) for m in lengths])
    found = rungs_of(query, stored, start)
    assert lengths_of(query, stored, start)[0] == found.n_query
    np.testing.assert_array_equal(lengths_of(query, stored, start)[1], found.lengths)
    for case in np.flatnonzero(lengths).tolist():
        at, slices = laid(query, stored[start[case] : start[case + 1]])
        assert found.query.tolist() == at
        own = found.slice[found.start[case] : found.start[case + 1]] - start[case]
        assert own.tolist() == slices
        assert len(own) <= MOST_RUNGS * lengths[case]


@given(st.sampled_from([(1, 1), (1, 2.5), (2.5, 1), (3, 5)]), st.data())
@settings(max_examples=200)
def test_half_of_the_slices_that_the_lengths_allow_are_matched(spacing, data) -> None:
    n, m = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    query, stored = spacing[0] * np.arange(n), spacing[1] * np.arange(m)
    rungs = rungs_of(query, stored, np.array([0, m]))
    tempting = np.abs(np.arange(m) - data.draw(st.integers(0, m - 1)))  # one slice draws them all
    problem = Segmented(np.tile(tempting, (n, 1)).astype(float), rungs, np.zeros(1))
    path = paths(problem).rungs[0]
    distinct = len(set(rungs.slice[path[path != OUTSIDE]].tolist()))
    allowed = 1 + int(min(np.ptp(query), np.ptp(stored)) / max(spacing) + 1e-9)
    rounding = 0 if spacing[0] == spacing[1] else 1
    assert 2 * distinct + rounding >= allowed


def test_many_cases_are_aligned_in_blocks(monkeypatch, rng) -> None:
    lengths = [4, 0, 7, 1, 5]
    start = np.concatenate([[0], np.cumsum(lengths)])
    rungs = rungs_of(np.arange(4.0), np.arange(17.0), start)
    problem = Segmented(rng.random((4, 17)), rungs, np.full(5, 0.1))
    whole = alignment_totals(problem)
    monkeypatch.setattr("isohash.retrieval.alignment.CASES_AT_ONCE", 2)
    np.testing.assert_array_equal(alignment_totals(problem), whole)


def test_a_case_finds_itself_at_no_cost() -> None:
    found = paths(one_case(1 - np.eye(8), price=1.0))
    assert found.totals[0] == 0
    np.testing.assert_array_equal(found.rungs[0], np.arange(8))
    covered = covered_by(found.rungs[0], np.arange(8), 8)
    assert (covered.query, covered.case) == (1.0, 1.0)


def test_what_is_longer_costs_both_ways() -> None:
    longer, shorter = (paths(one_case(np.zeros(shape), price=1.0)) for shape in ((9, 6), (6, 9)))
    assert longer.totals.tolist() == shorter.totals.tolist() == [3.0]
    over = covered_by(longer.rungs[0], np.arange(9), 6)
    assert (over.query, over.case) == (pytest.approx(6 / 9), 1.0)
    under = covered_by(shorter.rungs[0], np.arange(6), 9)
    assert (under.query, under.case) == (1.0, pytest.approx(6 / 9))


def test_heights_of_any_size_make_no_table_of_any_size() -> None:
    far = np.array([0.0, 1e308, -1e308])
    rungs = rungs_of(np.array([0.0, 1e-300, 1.0]), far, np.array([0, 3]))
    assert rungs.lengths.tolist() == [2 * MOST_RUNGS + 1]
    assert isinstance(rungs, Rungs)


@given(st.integers(1, 6), st.lists(st.integers(0, 7), min_size=1, max_size=5), SEEDS, st.booleans())
@settings(max_examples=200)
def test_the_compiled_matching_is_that_of_arrays_to_the_last_bit(n, lengths, seed, free) -> None:
    if not native.available():
        pytest.skip("no compiled kernels")
    rng = np.random.default_rng(seed)
    start = np.concatenate([[0], np.cumsum(lengths)])
    stored = np.concatenate([heights(rng, m, [0.5, 1, 1, 1.3, 3]) for m in lengths])
    costs = rng.uniform(0, 1, (n, len(stored)))
    costs = np.where(rng.random() < 0.5, np.round(costs, 1), costs)  # ties
    costs[:, rng.random(len(stored)) < 0.05] = np.inf
    rungs = rungs_of(heights(rng, n, [1, 1, 1, 2.4, 3]), stored, start)
    price = rng.choice([0.0, 0.1, 0.05], len(lengths))
    problem = Segmented(costs, rungs, price, free_ends=free)
    some = problem.of_cases(np.flatnonzero(np.isfinite(alignment_totals(problem))))
    found = alignment_totals(problem), paths(some)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "available", lambda: False)
        wanted = alignment_totals(problem), paths(some)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1].totals, wanted[1].totals)
    np.testing.assert_array_equal(found[1].rungs, wanted[1].rungs)


def test_the_compiled_matching_refuses_what_leads_out_of_its_arrays() -> None:
    if not native.available():
        pytest.skip("no compiled kernels")
    costs, price = np.zeros((2, 3)), np.zeros(1)
    for rungs in (([3], [0, 1], [0, 1]), ([-1], [0, 1], [0, 1]), ([0], [0, 2], [0, 1]),
                  ([0], [0, 1], [0, 0]), ([0], [0, 1], [1, 2])):  # fmt: skip
        with pytest.raises(ValueError, match="rung"):
            native.align(costs, tuple(map(np.array, rungs)), price, False, True)
