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
from isohash.kernels.importance import (
    ImportanceSampledSVM,
    alignment_scores,
    best_distribution,
    project_on_simplex,
    select_features,
)
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import RandomFeatures

VECTORS = arrays(np.float64, st.integers(1, 12), elements=st.floats(-10, 10))


@given(VECTORS)
def test_the_projection_is_the_nearest_point_of_the_simplex(v):
    p = project_on_simplex(v)
    assert p.min() >= 0
    assert p.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(project_on_simplex(p), p, atol=1e-12)
    # Variational inequality: <v - p, e_k - p> <= 0 for every corner of the simplex.
    assert (v - p - (v - p) @ p).max() <= 1e-9


def test_the_distribution_is_the_best_in_the_ball(rng):
    scores, radius = rng.gamma(0.5, size=6), 0.3
    q = best_distribution(scores, radius)
    oracle = minimize(
        lambda p: -p @ scores, np.full(6, 1 / 6), bounds=[(0, 1)] * 6, method="SLSQP",
        constraints=[
            {"type": "eq", "fun": lambda p: p.sum() - 1},
            {"type": "ineq", "fun": lambda p: radius**2 - np.sum((p - 1 / 6) ** 2)},
        ],
    )  # fmt: skip
    assert np.sum((q - 1 / 6) ** 2) <= radius**2
    assert q @ scores == pytest.approx(-oracle.fun, abs=1e-6)


def test_a_large_ball_leaves_only_the_best_features():
    q = best_distribution(np.array([1.0, 3.0, 2.0]), radius=1.0)
    np.testing.assert_allclose(q, [0.0, 1.0, 0.0], atol=1e-6)


def test_without_scores_the_distribution_stays_uniform():
    np.testing.assert_allclose(best_distribution(np.zeros(4), 0.1), 0.25)


def test_scores_are_those_of_the_definition(rng):
    X, y = rng.standard_normal((50, 3)), rng.integers(0, 2, 50)
    features = RandomFeatures.draw(RadialKernel([0.5]), 20, 3, rng)
    expected = [
        sum((1 if c else -1) * np.cos(w @ x + b) for x, c in zip(X, y, strict=True)) ** 2
        for w, b in zip(features.frequencies, features.phases, strict=True)
    ]
    np.testing.assert_allclose(alignment_scores(features, X, y, block=7), expected)


def test_all_features_left_are_used_once(rng):
    features = RandomFeatures(np.arange(12.0).reshape(6, 2), np.arange(6.0))
    q = np.array([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    np.testing.assert_array_equal(select_features(features, q, None, rng).phases, [1, 3, 4])
    np.testing.assert_array_equal(select_features(features, q, 3, rng).phases, [1, 3, 4])
    assert set(select_features(features, q, 2, rng).phases) <= {1, 3, 4}


def test_the_radius_must_be_positive():
    with pytest.raises(InputError, match="radius"):
        best_distribution(np.ones(3), 0.0)


def ridge_error(features, X, y, Xt, yt):
    z, zt = features(X), features(Xt)
    w = np.linalg.solve(z.T @ z + 0.05 * np.eye(len(features)), z.T @ y)
    return np.mean(np.sign(zt @ w) != yt)


def test_few_chosen_features_beat_as_many_plain_ones():
    """The authors' problem in 5 dimensions with 20 features."""
    errors = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, Xt = rng.standard_normal((2000, 5)), rng.standard_normal((2000, 5))
        y, yt = (np.linalg.norm(a, axis=1) > 5**0.5 for a in (X, Xt))
        chosen = ImportanceSampledSVM(20, random_state=seed, n_candidates=3000).fit(X, y)
        plain = RandomFeatureSVM(n_features=20, random_state=seed).fit(X, y)
        errors.append([1 - model.score(Xt, yt) for model in (plain, chosen)])
    plain, chosen = np.mean(errors, axis=0)
    assert chosen < plain - 0.03, errors


@pytest.mark.slow
def test_the_authors_example_is_reproduced():
    """Label sign(|x| - sqrt(d)): plain features err on .355, importance sampling on .143.

    The printed numbers are one MATLAB draw with 1000 test points. Over five draws here the
    optimised features must come within 2 points; the error of the plain ones depends on the D
    that the selection leaves, so only the gap is asked of them.
    """
    errors = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X, Xt = rng.standard_normal((10_000, 10)), rng.standard_normal((1000, 10))
        y, yt = (np.sign(np.linalg.norm(a, axis=1) - np.sqrt(10)) for a in (X, Xt))
        candidates = RandomFeatures.draw(RadialKernel([0.5]), 20_000, 10, rng)
        scores = alignment_scores(candidates, X, (y > 0).astype(np.int64))
        chosen = select_features(candidates, best_distribution(scores, 0.005**0.5), None, rng)
        plain = RandomFeatures(
            *(a[: len(chosen)] for a in (candidates.frequencies, candidates.phases))
        )
        errors.append([ridge_error(f, X, y, Xt, yt) for f in (plain, chosen)])
    plain, chosen = np.mean(errors, axis=0)
    assert chosen == pytest.approx(0.143, abs=0.02), errors
    assert plain > chosen + 0.1, errors
