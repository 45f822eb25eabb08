"""Alignment against brute force over all monotone matchings."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohash.retrieval.alignment import Segmented, align, alignment_totals


def best_by_brute_force(costs: np.ndarray, reach: int) -> float:
    columns = range(costs.shape[1])
    return min(
        sum(costs[i, j] for i, j in enumerate(path))
        for path in product(columns, repeat=len(costs))
        if all(0 <= b - a <= reach for a, b in pairwise(path))
    )


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_alignment_is_the_best_of_all_monotone_matchings(n, m, reach, seed) -> None:
    costs = np.random.default_rng(seed).integers(0, 9, (n, m))
    total, path = align(costs, reach)
    assert total == best_by_brute_force(costs, reach) == costs[np.arange(n), path].sum()
    assert all(0 <= step <= reach for step in np.diff(path))


def test_many_cases_at_once_agree_with_one_at_a_time(rng: np.random.Generator) -> None:
    lengths, reach = np.array([3, 1, 7, 5]), np.array([1, 2, 3, 1])
    start = np.concatenate([[0], np.cumsum(lengths)])
    costs = rng.integers(0, 100, (6, start[-1]))
    alone = [
        align(costs[:, a:b], int(r))[0] for a, b, r in zip(start, start[1:], reach, strict=False)
    ]
    np.testing.assert_array_equal(alignment_totals(Segmented(costs, start, reach)), alone)


def test_a_case_finds_itself_at_no_cost() -> None:
    costs = 1 - np.eye(8)
    total, path = align(costs, 1)
    assert total == 0
    np.testing.assert_array_equal(path, np.arange(8))


def test_a_case_without_slices_is_infinitely_far() -> None:
    totals = alignment_totals(Segmented(np.ones((2, 3)), np.array([0, 3, 3]), np.array([1, 1])))
    assert totals[0] == pytest.approx(2)
    assert np.isinf(totals[1])
