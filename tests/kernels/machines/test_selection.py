"""Choosing features of a kernel by residuals: what is taken, and what it is good for."""

from __future__ import annotations

import numpy as np
import pytest

from isohash import RadialKernel, RandomFeatureSVM
from isohash.errors import InputError
from isohash.kernels.machines import selection as module
from isohash.kernels.machines.importance import ImportanceSampledSVM
from isohash.kernels.machines.selection import FeatureSelection, SelectedFeatureSVM


def drawn(X, y, rng, n_candidates=1000, xi=0.02):
    return FeatureSelection.of(RadialKernel([xi]), X, y, n_candidates, 1.0, rng)


def informative_direction(rng, n=400, dim=20):
    """One column of twenty tells the two classes apart."""
    X, y = rng.standard_normal((n, dim)), np.arange(n) % 2
    X[:, 0] += 3.0 * y
    return X, y


def test_directions_that_tell_are_preferred(rng):
    X, y = informative_direction(rng)
    chosen = drawn(X, y, rng, n_candidates=4000).draw(10, rng)
    share = chosen.frequencies[:, 0] ** 2 / np.sum(chosen.frequencies**2, axis=1)
    assert np.mean(share) > 2 / 20  # a random direction has a twentieth
    assert len(np.unique(chosen.phases)) == 10


@pytest.mark.parametrize("n", [1, 3, 10, 47, 200])
def test_it_takes_as_many_different_features_as_asked(n, rng):
    X, y = informative_direction(rng, 60)
    assert len(np.unique(drawn(X, y, rng).draw(n, rng).phases)) == n


def test_all_candidates_are_taken_where_they_are_not_more(rng):
    X, y = informative_direction(rng, 60)
    assert len(np.unique(drawn(X, y, rng, n_candidates=30).draw(50, rng).phases)) == 30


def test_residuals_are_those_of_least_squares(rng):
    X, y = rng.standard_normal((50, 4)), np.arange(50) % 3
    selection = drawn(X, y, rng, 100, xi=0.5)
    taken = np.array([3, 50, 7])
    z = np.cos(
        X @ selection.candidates.frequencies[taken].T + selection.candidates.phases[taken]
    ) * np.sqrt(2 / 3)
    a = np.hstack([z, np.ones((50, 1))])
    signs = np.where(y[:, None] == np.arange(3), 1.0, -1.0)
    w = np.linalg.solve(a.T @ a + np.diag([0.5, 0.5, 0.5, 0.0]), a.T @ signs)
    np.testing.assert_allclose(selection._residuals(taken), signs - a @ w, atol=1e-5)


def test_a_second_round_looks_where_the_first_did_not(rng):
    """Two columns tell equally much; features of one leave residuals that only the other lowers."""
    X = rng.standard_normal((600, 6))
    y = ((X[:, 0] > 0).astype(int) + 2 * (X[:, 1] > 0)).astype(int)
    selection = drawn(X, y, rng, 4000, xi=0.1)
    w = selection.candidates.frequencies
    along = [np.argsort(-(w[:, c] ** 2) / np.sum(w**2, axis=1))[:20] for c in (0, 1)]
    residuals = selection._residuals(along[0])
    again = [
        float(np.mean((residuals.T.astype(np.float32) @ selection.z[:, rows]) ** 2))
        for rows in along
    ]
    assert again[1] > 10 * again[0]


def test_many_points_are_thinned(rng, monkeypatch):
    monkeypatch.setattr(module, "MOST_POINTS", 100)
    X, y = informative_direction(rng)
    assert drawn(X, y, rng, 50).z.shape == (100, 50)


def test_selected_features_beat_plain_and_importance_sampled_ones(rng):
    X, y = informative_direction(rng, n=1600)
    kernel = RadialKernel([0.05])
    rivals = (
        RandomFeatureSVM(kernel, 10), ImportanceSampledSVM(10, base_kernel=kernel),
        SelectedFeatureSVM(10, kernel=kernel),
    )  # fmt: skip
    plain, sampled, selected = (m.fit(X[:400], y[:400]).score(X[400:], y[400:]) for m in rivals)
    # 1200 test points: three binomial deviations of a difference at 10 per cent error.
    band = 3 * (2 * 0.1 * 0.9 / 1200) ** 0.5
    assert selected > plain + band
    assert selected > sampled - band


def test_too_few_candidates_are_named():
    with pytest.raises(InputError, match="n_candidates"):
        SelectedFeatureSVM(5, n_candidates=1).fit(np.eye(6), np.arange(6) % 2)
