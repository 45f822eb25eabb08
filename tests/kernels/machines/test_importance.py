"""Importance sampling: projection, the best distribution, and its authors' own example."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from isohash import RandomFeatureSVM
from isohash.errors import InputError
from isohash.kernels.machines import importance
from isohash.kernels.machines.importance import (
    ImportanceSampledSVM,
    alignment_scores,
    best_distribution,
    select_features,
)
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import RandomFeatures

VECTORS = arrays(np.float64, st.integers(1, 12), elements=st.floats(-10, 10))


def project_on_simplex(v: np.ndarray) -> np.ndarray:
    """The nearest point with non-negative entries that sum to 1 (Held, Wolfe and Crowder 1974)."""
    v = v - v.max()
    falling = np.sort(v)[::-1]
    excess = (np.cumsum(falling) - 1.0) / np.arange(1, len(v) + 1)
    return np.maximum(v - excess[falling > excess][-1], 0.0)


@given(VECTORS)
def test_the_projection_is_the_nearest_point_of_the_simplex(v):
    p = project_on_simplex(v)
    assert p.min() >= 0
    assert p.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(project_on_simplex(p), p, atol=1e-12)
    # Variational inequality: <v - p, e_k - p> <= 0 for every corner of the simplex.
    assert (v - p - (v - p) @ p).max() <= 1e-9


def quadratic_programme(scores, radius):
    """The best distribution by a general solver."""
    n = len(scores)
    return minimize(
        lambda p: -p @ scores, np.full(n, 1 / n), jac=lambda p: -scores, bounds=[(0, 1)] * n,
        method="SLSQP", options={"maxiter": 500, "ftol": 1e-12},
        constraints=[
            {"type": "eq", "fun": lambda p: p.sum() - 1},
            {"type": "ineq", "fun": lambda p: radius**2 - np.sum((p - 1 / n) ** 2)},
        ],
    )  # fmt: skip


@pytest.mark.parametrize("n", [2, 5, 11])
@pytest.mark.parametrize("radius", [0.05, 0.3, 0.6])
def test_the_distribution_is_the_best_in_the_ball(n, radius, rng):
    scores = rng.gamma(0.5, size=n)
    q = best_distribution(scores, radius)
    oracle = quadratic_programme(scores, radius)
    assert np.sum((q - 1 / n) ** 2) <= radius**2
    assert q @ scores == pytest.approx(-oracle.fun, abs=1e-5)
    np.testing.assert_allclose(q, oracle.x, atol=2e-3)


@given(st.integers(2, 40).flatmap(lambda n: st.permutations(range(n))), st.floats(0.01, 1.2))
def test_the_ball_is_active(order, radius):
    """The distribution touches the ball unless all mass on the best feature lies within it."""
    scores, n = np.array(order, float), len(order)
    q = best_distribution(scores, radius)
    assert q.min() >= 0
    assert q.sum() == pytest.approx(1.0)
    norm = np.linalg.norm(q - 1 / n)
    assert norm <= radius
    if radius < np.sqrt(1 - 1 / n) - 1e-6:
        assert norm == pytest.approx(radius, rel=1e-5)
    else:
        assert q[scores.argmax()] == pytest.approx(1.0)
    assert (np.diff(q[scores.argsort()]) >= 0).all()  # a better feature never weighs less


def test_the_bisection_ends_at_its_tolerance(rng):
    """The projection's radius falls with lambda: a finer tolerance may only come closer."""
    scores, radius = rng.gamma(0.5, size=400), 0.1
    slack = [
        radius - np.linalg.norm(best_distribution(scores, radius, tolerance) - 1 / 400)
        for tolerance in (1e-2, 1e-5, 1e-11)
    ]
    assert slack[0] >= slack[1] >= slack[2] >= 0
    assert slack[2] <= 1e-9


def test_the_distribution_is_a_projection_of_shifted_scores(rng):
    """Lagrange: for some lambda it is what `project_on_simplex` makes of 1/M + scores / lambda."""
    scores, radius = rng.gamma(0.5, size=50), 0.2
    q = best_distribution(scores, radius, 1e-12)
    first, second = np.argsort(-q)[:2]
    multiplier = (scores[first] - scores[second]) / (q[first] - q[second])
    np.testing.assert_allclose(q, project_on_simplex(1 / 50 + scores / multiplier), atol=1e-9)


def test_a_large_ball_leaves_only_the_best_features():
    q = best_distribution(np.array([1.0, 3.0, 2.0]), radius=1.0)
    np.testing.assert_allclose(q, [0.0, 1.0, 0.0], atol=1e-6)


def test_without_scores_the_distribution_stays_uniform():
    np.testing.assert_allclose(best_distribution(np.zeros(4), 0.1), 0.25)


def test_scores_are_those_of_the_definition(rng, monkeypatch):
    monkeypatch.setattr(importance, "BLOCK_ROWS", 7)
    X, y = rng.standard_normal((50, 3)), rng.integers(0, 2, 50)
    features = RandomFeatures.draw(RadialKernel([0.5]), 20, 3, rng)
    expected = [
        sum((1 if c else -1) * np.cos(w @ x + b) for x, c in zip(X, y, strict=True)) ** 2
        for w, b in zip(features.frequencies, features.phases, strict=True)
    ]
    close = 1e-5 * max(expected)  # single precision
    np.testing.assert_allclose(alignment_scores(features, X, y), expected, atol=close)


def test_several_classes_are_scored_by_the_scatter_of_their_means(rng):
    X, y = rng.standard_normal((60, 3)), np.repeat([0, 1, 2], [10, 20, 30])
    features = RandomFeatures.draw(RadialKernel([0.5]), 20, 3, rng)
    z = np.cos(X @ features.frequencies.T + features.phases)
    means = np.stack([z[y == c].mean(axis=0) for c in range(3)])
    expected = 3 * means.var(axis=0)
    close = 1e-5 * expected.max()  # single precision
    np.testing.assert_allclose(alignment_scores(features, X, y), expected, atol=close)
    constant = RandomFeatures(np.zeros((1, 3)), np.zeros(1))  # no class can be told by it
    assert alignment_scores(constant, X, y) == pytest.approx(0.0, abs=1e-12)


def test_all_features_left_are_used_once(rng):
    features = RandomFeatures(np.arange(12.0).reshape(6, 2), np.arange(6.0))
    q = np.array([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    np.testing.assert_array_equal(select_features(features, q, None, rng).phases, [1, 3, 4])
    np.testing.assert_array_equal(select_features(features, q, 3, rng).phases, [1, 3, 4])
    assert set(select_features(features, q, 2, rng).phases) <= {1, 3, 4}


def test_the_radius_must_be_positive():
    with pytest.raises(InputError, match="radius"):
        best_distribution(np.ones(3), 0.0)


def test_few_chosen_features_beat_as_many_plain_ones():
    """The authors' problem in 5 dimensions with 20 independent features of the published kernel."""
    gaps = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X, Xt = rng.standard_normal((1000, 5)), rng.standard_normal((2000, 5))
        y, yt = (np.linalg.norm(a, axis=1) > 5**0.5 for a in (X, Xt))
        base = RadialKernel([0.5])
        chosen = ImportanceSampledSVM(20, random_state=seed, n_candidates=2000, base_kernel=base)
        plain = RandomFeatureSVM(base, 20, random_state=seed, orthogonal=False)
        gaps.append(np.subtract(*(m.fit(X, y).score(Xt, yt) for m in (chosen, plain))))
    # Three deviations of the mean of eight paired differences.
    assert np.mean(gaps) > 3 * np.std(gaps, ddof=1) / 8**0.5, gaps
