"""Alignment against brute force over all monotone matchings."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohash.retrieval.alignment import Segmented, alignment_totals, paths
from oracle import aligned


def best_by_brute_force(costs: np.ndarray, reach: int) -> float:
    columns = range(costs.shape[1])
    return min(
        sum(costs[i, j] for i, j in enumerate(path))
        for path in product(columns, repeat=len(costs))
        if all(0 <= b - a <= reach for a, b in pairwise(path))
    )


def one_case(costs: np.ndarray, reach: int) -> Segmented:
    return Segmented(costs, np.array([0, costs.shape[1]]), np.array([reach]))


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_alignment_is_the_best_of_all_monotone_matchings(n, m, reach, seed) -> None:
    costs = np.random.default_rng(seed).integers(0, 9, (n, m))
    found = paths(one_case(costs, reach))
    path = found.columns[0]
    assert found.totals[0] == best_by_brute_force(costs, reach) == costs[np.arange(n), path].sum()
    assert all(0 <= step <= reach for step in np.diff(path))
    assert aligned(costs, reach) == (found.totals[0], path.tolist())


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6), st.integers(1, 5), st.data())
def test_many_cases_at_once_agree_with_one_at_a_time(lengths, n, data) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    reach = rng.integers(1, 4, len(lengths))
    start = np.concatenate([[0], np.cumsum(lengths)])
    costs = rng.integers(0, 9, (n, start[-1])).astype(float)
    whole = Segmented(costs, start, reach)
    alone = [
        aligned(costs[:, a:b], int(r)) if b > a else (np.inf, [])
        for a, b, r in zip(start, start[1:], reach, strict=False)
    ]
    np.testing.assert_array_equal(alignment_totals(whole), [total for total, _ in alone])
    some = rng.permutation(np.flatnonzero(lengths))
    if len(some):
        found = paths(whole.of_cases(some))
        assert found.columns.tolist() == [alone[case][1] for case in some]
        assert found.totals.tolist() == [alone[case][0] for case in some]


def test_a_case_finds_itself_at_no_cost() -> None:
    found = paths(one_case(1 - np.eye(8), 1))
    assert found.totals[0] == 0
    np.testing.assert_array_equal(found.columns[0], np.arange(8))


def test_a_case_without_slices_is_infinitely_far() -> None:
    totals = alignment_totals(Segmented(np.ones((2, 3)), np.array([0, 3, 3]), np.array([1, 1])))
    assert totals[0] == pytest.approx(2)
    assert np.isinf(totals[1])
