"""The retrieval objective: probabilities, gradient, and when a mixture of bandwidths helps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import cdist

from isohash.errors import InputError
from isohash.kernels.learning.isometry import Isometry, NeighbourPairs, bit_difference_probability
from isohash.kernels.target_alignment import Pairs


def distances(squared) -> Pairs:
    squared = np.atleast_1d(np.asarray(squared, dtype=float))
    return Pairs(squared, np.zeros(len(squared)))


@pytest.mark.parametrize("dither", [True, False])
def test_bits_differ_as_often_as_the_formula_says(dither, rng):
    n = 200_000
    threshold = rng.uniform(-1, 1, n) if dither else np.zeros(n)
    phase = rng.uniform(0, 2 * np.pi, n)
    for s in (0.003, 0.04, 0.3, 2.0, 30.0):
        moved = phase + math.sqrt(2 * s) * rng.standard_normal(n)
        differ = (np.cos(phase) + threshold > 0) != (np.cos(moved) + threshold > 0)
        band = math.sqrt(math.log(2 / 1e-9) / (2 * n))
        assert abs(differ.mean() - bit_difference_probability(s, dither)) <= band


@pytest.mark.parametrize("dither", [True, False])
def test_series_and_integral_meet(dither):
    below, above = bit_difference_probability([0.05 - 1e-12, 0.05], dither)
    assert below == pytest.approx(above, abs=1e-10)


@pytest.mark.parametrize("n_bits", [30, 1024, math.inf])
@pytest.mark.parametrize("dither", [True, False])
def test_the_gradient_equals_finite_differences(dither, n_bits, rng):
    pairs, xi, h = distances(np.exp(rng.uniform(-1, 1, 60))), rng.uniform(0.1, 4.0, 7), 1e-4
    objective = Isometry(dither, n_bits)
    slopes = [
        7 * (objective.value(xi + e, pairs) - objective.value(xi - e, pairs)) / (2 * h)
        for e in h * np.eye(7)
    ]
    # Looked-up derivatives are right to 1e-4 of the largest.
    np.testing.assert_allclose(
        objective.gradient(xi, pairs), slopes, atol=1e-3 * np.abs(slopes).max()
    )


def test_the_gradient_belongs_to_the_measure_and_not_to_the_number_of_particles(rng):
    pairs, xi = distances(np.exp(rng.uniform(-1, 1, 60))), rng.uniform(0.1, 4.0, 7)
    many = Isometry().gradient(np.repeat(xi, 50), pairs)
    np.testing.assert_allclose(many, np.repeat(Isometry().gradient(xi, pairs), 50), rtol=1e-9)


def test_distances_that_no_code_can_read_count_for_nothing(rng):
    near, xi, objective = np.exp(rng.uniform(-1, 1, 60)), rng.uniform(0.1, 4.0, 7), Isometry()
    half = distances(np.concatenate([near, np.full(60, 1e6)]))
    np.testing.assert_allclose(
        2.0 * objective.gradient(xi, half), objective.gradient(xi, distances(near)), rtol=1e-6
    )
    nothing = objective.value(xi, distances(1e6))
    assert nothing == pytest.approx(math.log(objective.n_bits), abs=1e-6)


def test_n_bits_must_be_positive():
    with pytest.raises(InputError, match="n_bits"):
        Isometry(n_bits=0)


@pytest.mark.parametrize(
    ("dither", "best", "information"), [(True, 0.65, 0.218), (False, 0.9, 0.395)]
)
def test_at_one_distance_the_known_bandwidth_is_best(dither, best, information):
    """Information per bit about log r: .218 with random thresholds, .395 without."""
    found = minimize_scalar(
        lambda u: Isometry(dither, math.inf).value(np.array([math.exp(u)]), distances(1.0)),
        (-2.0, 1.0),
    )
    assert math.exp(found.x) == pytest.approx(best, rel=0.05)
    assert math.exp(-found.fun) == pytest.approx(information, abs=1e-3)


@pytest.mark.parametrize(("decades", "helps"), [(1.0, False), (4.0, True)])
def test_a_mixture_helps_only_over_a_wide_range_of_distances(decades, helps):
    pairs = distances(10.0 ** np.linspace(-decades, decades, 60))
    objective, grid = Isometry(), np.geomspace(1e-4, 10.0, 24)
    fine = np.geomspace(1e-4, 10.0, 240)
    single = min(objective.value(np.array([g]), pairs) for g in fine)
    mixtures = [
        objective.value(np.repeat([a, b], [k, 4 - k]), pairs)
        for i, a in enumerate(grid)
        for b in grid[i + 1 :]
        for k in (1, 2, 3)
    ]
    assert (min(mixtures) < single - 0.05) is helps


def test_neighbour_distances_are_those_of_the_ranks(rng):
    points = rng.standard_normal((80, 3))
    near = NeighbourPairs(points, k=4, rng=rng, n_queries=80, span=5.0)
    exact = np.sort(cdist(points, points), axis=1)[:, 1:21]
    np.testing.assert_allclose(np.sort(near.squared[:, 3]), np.sort(exact[:, 3] ** 2), atol=1e-10)
    assert near.squared.shape == (80, 20)
    assert near.reference == pytest.approx(np.median(exact[:, 3]))


def test_ranks_are_spread_evenly_on_a_logarithmic_scale(rng):
    """From k = 3 to 15, rank j has probability log(1 + 1/j) / log(16/3)."""
    near = NeighbourPairs(rng.standard_normal((40, 2)), k=3, rng=rng, n_queries=40, span=5.0)
    near.squared = np.tile(np.arange(1.0, 16.0), (40, 1))  # each distance tells its rank
    n = 40_000
    ranks = near.draw(n, rng).squared_distances
    band = math.sqrt(math.log(2 / 1e-9) / (2 * n))
    assert (ranks.min(), ranks.max()) == (3, 15)
    for j in (3, 5, 15):
        assert abs(np.mean(ranks == j) - math.log1p(1 / j) / math.log(16 / 3)) <= band


def test_duplicates_leave_nothing_to_measure(rng):
    with pytest.raises(InputError, match="duplicates"):
        NeighbourPairs(np.ones((30, 2)), k=5, rng=rng)


@pytest.mark.parametrize("k", [0, 30])
def test_there_must_be_as_many_neighbours(k, rng):
    with pytest.raises(InputError, match="n_neighbours"):
        NeighbourPairs(rng.standard_normal((30, 2)), k=k, rng=rng)
