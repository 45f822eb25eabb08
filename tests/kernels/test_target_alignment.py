"""The alignment objective: its gradient, its limits, and balanced pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohash.errors import InputError
from isohash.kernels.learning.langevin import Interval, Langevin
from isohash.kernels.target_alignment import Alignment, LabelledPairs, Pairs
from kernel_oracles import mean_alignment


@pytest.mark.parametrize("gamma", [0.2, 1.0, 50.0, math.inf])
def test_the_gradient_equals_finite_differences(gamma, pairs, rng):
    xi, h, objective = rng.uniform(0.05, 3.0, 9), 1e-6, Alignment(gamma)
    steps = h * np.eye(9)
    slopes = [
        9 * (objective.value(xi + e, pairs) - objective.value(xi - e, pairs)) / (2 * h)
        for e in steps
    ]
    np.testing.assert_allclose(objective.gradient(xi, pairs), slopes, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("gamma", [1.0, math.inf])
def test_the_gradient_belongs_to_the_measure_and_not_to_the_number_of_particles(gamma, pairs, rng):
    xi, objective = rng.uniform(0.05, 3.0, 9), Alignment(gamma)
    many = objective.gradient(np.repeat(xi, 100), pairs)
    np.testing.assert_allclose(many, np.repeat(objective.gradient(xi, pairs), 100), rtol=1e-9)


def test_the_value_is_the_squared_risk_without_its_constant(pairs, rng):
    gamma, xi = 0.7, rng.uniform(0.1, 2.0, 6)
    k = np.array([np.mean(np.exp(-xi * s)) for s in pairs.squared_distances])
    risk = np.mean((gamma * pairs.agreements - k) ** 2) / (2 * gamma)
    assert Alignment(gamma).value(xi, pairs) == pytest.approx(risk - gamma / 2, abs=1e-12)


def test_a_close_pair_of_equal_labels_widens_the_kernel():
    pair = Pairs(np.array([4.0]), np.array([1.0]))
    assert Alignment().gradient(np.array([0.5]), pair)[0] > 0  # descent lowers xi


def test_blocks_of_pairs_change_nothing(monkeypatch, pairs, rng):
    xi, objective = rng.uniform(0.05, 3.0, 9), Alignment(1.0)
    whole = objective.gradient(xi, pairs), objective.value(xi, pairs)
    monkeypatch.setattr("isohash.kernels.target_alignment.BLOCK_ELEMENTS", 70)
    np.testing.assert_allclose(objective.gradient(xi, pairs), whole[0], rtol=1e-12)
    assert objective.value(xi, pairs) == pytest.approx(whole[1], rel=1e-12)


def test_without_noise_and_ball_the_alignment_never_falls(pairs, rng):
    method, objective = Langevin(Interval(0.0, 8.0), step_size=0.1), Alignment()
    xi, trace = rng.uniform(0.0, 8.0, 30), []
    for _ in range(300):
        trace.append(mean_alignment(xi, pairs))
        xi, _ = method.step(xi, objective.gradient(xi, pairs), 0.1, rng)
    assert np.diff(trace).min() >= 0.0
    assert trace[-1] > trace[0] + 0.01


def test_pure_alignment_is_best_at_one_bandwidth(pairs, rng):
    """It is linear in the measure, so no mixture beats the best of its own members."""
    grid = np.linspace(0.0, 8.0, 400)
    single = max(mean_alignment(np.array([g]), pairs) for g in grid)
    mixtures = [mean_alignment(rng.choice(grid, 5), pairs) for _ in range(200)]
    assert max(mixtures) <= single
    xi, method = rng.uniform(0.0, 3.0, 20), Langevin(Interval(0.0, 8.0))
    for _ in range(4000):
        xi, _ = method.step(xi, Alignment().gradient(xi, pairs), 5.0, rng)
    assert np.ptp(xi) < 1e-3
    assert mean_alignment(xi, pairs) == pytest.approx(single, abs=1e-4)


def test_the_square_can_prefer_a_mixture():
    """Labels agree at two scales: the risk of the right two bandwidths is the least possible."""
    squared = np.geomspace(0.01, 100.0, 20)
    pairs = Pairs(squared, 0.5 * np.exp(-0.01 * squared) + 0.5 * np.exp(-5.0 * squared))
    objective = Alignment(1.0)
    single = min(objective.value(np.array([g]), pairs) for g in np.geomspace(1e-4, 100.0, 200))
    double = objective.value(np.array([0.01, 5.0]), pairs)
    assert double == pytest.approx(-0.5 * np.mean(pairs.agreements**2))
    assert double < single - 0.01


@given(st.lists(st.integers(0, 4), min_size=3, max_size=40), st.integers(0, 2**32))
def test_pairs_join_distinct_rows_and_know_whether_labels_agree(labels, seed):
    labels = np.array(labels)
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        return
    source = LabelledPairs(np.zeros((len(labels), 1)), labels)
    i, j, agreements = source.indices(50, np.random.default_rng(seed))
    assert (i != j).all()
    np.testing.assert_array_equal(labels[i] == labels[j], agreements > 0)


def test_pairs_are_balanced_whatever_the_class_sizes(rng):
    labels = np.repeat([0, 1, 2], [950, 40, 10])
    n = 40_000
    i, j, agreements = LabelledPairs(np.zeros((1000, 1)), labels).indices(n, rng)
    band = math.sqrt(math.log(2 / 1e-9) / (2 * n))
    assert abs(np.mean(agreements > 0) - 0.5) <= band
    for end in (i, j):
        for c in range(3):
            assert abs(np.mean(labels[end] == c) - 1 / 3) <= band


def test_every_other_point_can_be_a_partner(rng):
    labels = np.array([0, 0, 0, 1, 1])
    i, j, _ = LabelledPairs(np.zeros((5, 1)), labels).indices(2000, rng)
    assert len(set(zip(i.tolist(), j.tolist(), strict=True))) == 20


@pytest.mark.parametrize(
    ("labels", "message"), [([1, 1, 1], "all labels are equal"), ([0, 1, 2], "one point only")]
)
def test_labels_that_make_no_pairs_are_named(labels, message):
    with pytest.raises(InputError, match=message):
        LabelledPairs(np.zeros((3, 2)), np.array(labels))


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.nan])
def test_gamma_must_be_positive(gamma):
    with pytest.raises(InputError, match="gamma"):
        Alignment(gamma)
