"""Langevin steps: boundaries, the noiseless case and the law of the discrete chain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isohash.errors import InputError
from isohash.kernels.learning.langevin import Interval, Langevin

REALS = arrays(np.float64, st.integers(1, 20), elements=st.floats(-100, 100))


@given(REALS)
def test_projection_is_idempotent_and_reaches_the_nearest_point(xi):
    interval = Interval(-1.5, 3.0)
    once = interval.project(xi)
    assert interval.outside(once) == 0
    np.testing.assert_array_equal(interval.project(once), once)
    grid = np.linspace(-1.5, 3.0, 46)
    assert (np.abs(xi - once) <= np.abs(np.subtract.outer(xi, grid)).min(axis=1) + 1e-12).all()


@given(REALS)
def test_reflection_stays_inside_and_leaves_inner_points_alone(xi):
    interval = Interval(-1.5, 3.0)
    mirrored = interval.reflect(xi)
    assert interval.outside(mirrored) == 0
    inner = (xi >= -1.5) & (xi <= 3.0)
    np.testing.assert_allclose(mirrored[inner], xi[inner], atol=1e-12)


def test_reflection_mirrors_at_each_end():
    interval = Interval(0.0, 2.0)
    np.testing.assert_allclose(
        interval.reflect(np.array([-0.5, 2.5, 4.5, -2.25])), [0.5, 1.5, 0.5, 1.75]
    )


def test_infinite_beta_draws_no_noise(rng):
    before = rng.bit_generator.state
    xi, hits = Langevin(Interval(0.0, 9.0)).step(
        np.array([1.0, 2.0]), np.array([0.5, -1.0]), 0.1, rng
    )
    np.testing.assert_array_equal(xi, [0.95, 2.1])
    assert hits == 0
    assert rng.bit_generator.state == before


def test_hits_count_the_particles_sent_beyond_an_end(rng):
    xi, hits = Langevin(Interval(0.0, 1.0)).step(
        np.full(3, 0.5), np.array([9.0, -9.0, 0.0]), 0.1, rng
    )
    np.testing.assert_array_equal(xi, [0.0, 1.0, 0.5])
    assert hits == 2


@pytest.mark.parametrize("eta", [0.1, 0.5])
def test_the_chain_of_a_quadratic_potential_has_its_own_variance(eta, rng):
    """xi <- (1 - eta) xi + sqrt(2 eta / beta) zeta rests at variance 1 / (beta (1 - eta / 2))."""
    beta, n = 4.0, 20_000
    method = Langevin(Interval(-50.0, 50.0), eta, beta)
    xi = np.zeros(n)
    for _ in range(math.ceil(math.log(1e-8) / math.log(1 - eta))):
        xi, _ = method.step(xi, xi, eta, rng)
    expected = 1 / (beta * (1 - eta / 2))
    # Chains are independent normals: the sample variance has relative deviation sqrt(2 / n).
    assert abs(xi.var() / expected - 1) <= 6.1 * math.sqrt(2 / n)
    assert abs(xi.mean()) <= 6.1 * math.sqrt(expected / n)
    # The band is narrow enough to tell the discrete law from the continuous one at eta = 0.5.
    assert eta < 0.2 or abs(xi.var() * beta - 1) > 6.1 * math.sqrt(2 / n)


def test_step_sizes_follow_the_schedule():
    method = Langevin(Interval(0.0, 1.0), 2.0, half_life=10.0, power=1.0)
    assert [method.eta(m) for m in (0, 10, 30)] == [2.0, 1.0, 0.5]
    assert Langevin(Interval(0.0, 1.0), 2.0).eta(10**6) == 2.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_size": 0.0}, "step_size"),
        ({"step_size": math.inf}, "step_size"),
        ({"beta": 0.0}, "beta"),
        ({"beta": math.nan}, "beta"),
        ({"half_life": 0.0}, "half_life"),
        ({"power": -1.0}, "power"),
        ({"boundary": "wrap"}, "boundary"),
    ],
)
def test_settings_that_make_no_chain_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Langevin(Interval(0.0, 1.0), **settings)


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_bounds_must_be_finite_and_in_order(bounds):
    with pytest.raises(InputError, match="bounds"):
        Interval(*bounds)
