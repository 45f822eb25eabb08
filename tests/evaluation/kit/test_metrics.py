"""Scores against their definitions, their identities and a brute-force mean over tie orders."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohash.errors import InputError
from isohash.evaluation.kit.metrics import dice, expected_overlap, jaccard, precision_recall


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_jaccard_is_dice_over_two_minus_dice_for_equal_sizes(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.choice(60, k, replace=False) for _ in range(2))
    assert jaccard(a, b) == pytest.approx(dice(a, b) / (2 - dice(a, b)), abs=1e-15)
    assert dice(a, b) * k == pytest.approx(len(set(a) & set(b)))


def test_scores_of_known_sets() -> None:
    assert dice([1, 2, 3], [3, 4]) == pytest.approx(2 / 5)
    assert jaccard([1, 2, 3], [3, 4]) == pytest.approx(1 / 4)
    assert dice([], []) == jaccard([], []) == 1.0
    np.testing.assert_allclose(dice([[1, 2], [3, 4]], [[2, 1], [5, 6]]), [1, 0])


def test_different_numbers_of_queries_are_refused() -> None:
    with pytest.raises(InputError, match="one row per query"):
        dice([[1, 2]], [[1, 2], [3, 4]])


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_expected_overlap_is_the_mean_over_all_orders_of_ties(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    distances = rng.integers(0, 3, (1, 6))
    truth = rng.choice(6, k, replace=False)[None]
    orders = [sorted(p, key=lambda i: distances[0, i]) for p in permutations(range(6))]
    mean = np.mean([len(set(order[:k]) & set(truth[0])) / k for order in orders])
    assert expected_overlap(distances, truth, k)[0] == pytest.approx(mean)


def test_precision_and_recall_of_a_ranking_worked_out_by_hand() -> None:
    curve = precision_recall([[1, 2, 2, 3]], [[True, False, True, False]])
    np.testing.assert_array_equal(curve.thresholds, [1, 2, 3])
    np.testing.assert_allclose(curve.precision, [1, 2 / 3, 1 / 2])
    np.testing.assert_allclose(curve.recall, [1 / 2, 1, 1])
    assert curve.average_precision == pytest.approx(1 / 2 + 1 / 3)


def test_perfect_codes_have_average_precision_one(rng: np.random.Generator) -> None:
    relevant = rng.random((20, 50)) < 0.3
    relevant[:, 0] = True
    distances = np.where(relevant, rng.random((20, 50)), 2 + rng.random((20, 50)))
    thresholds = np.linspace(0, 3, 400)
    assert precision_recall(distances, relevant, thresholds).average_precision == pytest.approx(1)


def test_queries_without_a_relevant_item_are_refused() -> None:
    with pytest.raises(InputError, match="no query has a relevant item"):
        precision_recall([[1, 2]], [[False, False]])
