"""Transport on the line against exact matching, POT and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from isohash.errors import InputError
from isohash.kernels.transport import sinkhorn, sorted_transport, transport


def test_sorting_is_the_best_matching(rng):
    x, y = rng.standard_normal(30), rng.uniform(-3, 3, 30)
    cost = np.square(np.subtract.outer(x, y))
    rows, columns = linear_sum_assignment(cost)
    plan = sorted_transport(x, y)
    assert plan.squared_distance == pytest.approx(cost[rows, columns].mean(), abs=1e-12)
    np.testing.assert_allclose(plan.target, y[columns])


def test_ties_are_matched_too():
    plan = sorted_transport(np.array([1.0, 1.0, 0.0]), np.array([2.0, 3.0, 1.0]))
    assert plan.squared_distance == pytest.approx((1 + 1 + 4) / 3)


@pytest.mark.parametrize("epsilon", [0.05, 1.0])
def test_the_plan_agrees_with_pot(epsilon, rng, monkeypatch):
    monkeypatch.setenv("POT_BACKEND_DISABLE_PYTORCH", "1")  # its import takes seconds
    ot = pytest.importorskip("ot")
    x, y = rng.standard_normal(25), rng.uniform(-2, 2, 40)
    cost = np.square(np.subtract.outer(x, y))
    a, b = np.full(25, 1 / 25), np.full(40, 1 / 40)
    theirs = ot.sinkhorn(
        a, b, cost, epsilon, method="sinkhorn_log", numItermax=20_000, stopThr=1e-12
    )
    ours = sinkhorn(x, y, epsilon, tolerance=1e-10, max_iterations=20_000)
    assert ours.converged
    np.testing.assert_allclose(ours.target, 25 * theirs @ y, atol=1e-8)
    entropy = np.sum(theirs * np.log(theirs * 1000))
    assert ours.squared_distance == pytest.approx(np.sum(theirs * cost) + epsilon * entropy)


def test_the_entropic_gradient_equals_finite_differences(rng):
    x, y, h = rng.standard_normal(12), rng.standard_normal(15), 1e-5

    def value(z):
        return sinkhorn(z, y, 0.3, tolerance=1e-12, max_iterations=50_000).squared_distance

    slopes = [(value(x + h * e) - value(x - h * e)) / (2 * h) for e in np.eye(12)]
    gradient = sinkhorn(x, y, 0.3, tolerance=1e-12, max_iterations=50_000).gradient
    np.testing.assert_allclose(gradient, slopes, atol=1e-7)


def test_the_entropic_gradient_tends_to_the_sorted_one(rng):
    """Particles at least 0.4 apart: the plan leaves the matching by exp(-0.4^2 / eps)."""
    x = np.cumsum(rng.uniform(0.4, 1.0, 20))
    y = x + rng.uniform(-0.15, 0.15, 20)
    x, y = rng.permutation(x), rng.permutation(y)
    exact = sorted_transport(x, y)
    errors = []
    for epsilon in (1.0, 0.1, 0.01):
        plan = sinkhorn(x, y, epsilon, tolerance=1e-9, max_iterations=50_000)
        errors.append(np.abs(plan.gradient - exact.gradient).max())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-6
    assert plan.squared_distance == pytest.approx(
        exact.squared_distance + 0.01 * np.log(20), rel=1e-6
    )  # KL(matching | uniform) = log N


def test_far_apart_particles_do_not_underflow(rng):
    x = np.concatenate([rng.standard_normal(20), 200.0 + rng.standard_normal(20)])
    y = np.concatenate([rng.standard_normal(30), 200.0 + rng.standard_normal(30)])
    near, far = (
        sinkhorn(x[s], y[t], 0.5)
        for s, t in ((slice(20), slice(30)), (slice(20, 40), slice(30, 60)))
    )
    plan = sinkhorn(x, y, epsilon=0.5)
    assert plan.converged
    halves = 0.5 * (near.squared_distance + far.squared_distance)
    assert plan.squared_distance == pytest.approx(halves + 0.5 * np.log(2), rel=1e-5)


def test_a_warm_start_saves_iterations_and_changes_nothing(rng):
    x, y = rng.standard_normal(50), rng.standard_normal(50)
    cold = transport(x, y, 0.1, tolerance=1e-9)
    moved = x + 1e-3 * rng.standard_normal(50)
    warm = transport(moved, y, 0.1, cold.potentials, tolerance=1e-9)
    fresh = transport(moved, y, 0.1, tolerance=1e-9)
    assert warm.n_iterations < fresh.n_iterations
    np.testing.assert_allclose(warm.target, fresh.target, atol=1e-6)


def test_stopping_early_is_told(rng):
    plan = transport(rng.standard_normal(50), rng.standard_normal(50), 0.01, max_iterations=2)
    assert not plan.converged
    assert plan.residual > 1e-6


@pytest.mark.parametrize("epsilon", [-1.0, np.nan, np.inf])
def test_epsilon_must_be_finite_and_not_negative(epsilon):
    with pytest.raises(InputError, match="epsilon"):
        transport(np.zeros(2), np.zeros(2), epsilon)


def test_exact_transport_needs_equal_numbers():
    with pytest.raises(InputError, match="equally many"):
        transport(np.zeros(2), np.zeros(3))
