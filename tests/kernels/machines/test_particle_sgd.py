"""Particle descent on frequencies: its gradient, its direction, its limits."""

from __future__ import annotations

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.kernels.machines.particle_sgd import ParticleSGDSVM, descend, risk_gradient
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import RandomFeatures
from isohash.kernels.target_alignment import LabelledPairs


def risk(frequencies, phases, x, other, agreement, alpha):
    first, second = np.cos(frequencies @ x + phases), np.cos(frequencies @ other + phases)
    kernel = np.mean(2.0 * first * second)
    return (alpha * agreement - kernel) ** 2 / (2.0 * alpha)


@pytest.mark.parametrize("agreement", [-1.0, 1.0])
@pytest.mark.parametrize("alpha", [0.3, 1.0, 100.0])
def test_the_gradient_equals_finite_differences(agreement, alpha, rng):
    features = RandomFeatures.draw(RadialKernel([0.5]), 4, 3, rng)
    x, other, h = rng.standard_normal(3), rng.standard_normal(3), 1e-6
    slopes = np.zeros((4, 3))
    for k, c in np.ndindex(4, 3):
        step = np.zeros((4, 3))
        step[k, c] = h
        up, down = (
            risk(features.frequencies + s * step, features.phases, x, other, agreement, alpha)
            for s in (1, -1)
        )
        slopes[k, c] = (up - down) / (2 * h)
    gradient = risk_gradient(features, x, other, agreement, alpha)
    np.testing.assert_allclose(gradient, slopes, atol=1e-8, rtol=1e-5)


def test_descent_raises_the_alignment(two_classes, rng):
    points, labels = two_classes
    points = points / 3.0
    source = LabelledPairs(points, labels)
    first = RandomFeatures.draw(RadialKernel([1.0]), 50, 5, rng)
    last = descend(first, source, 3000, 10.0, 1.0, rng)
    i, j, agreements = source.indices(20_000, rng)

    def alignment(features):
        z = features(points)
        return np.mean(agreements * np.einsum("ij,ij->i", z[i], z[j]))

    assert alignment(last) > alignment(first) + 0.05


@pytest.mark.parametrize("settings", [{"n_steps": 0}, {"step_size": 0.0}, {"alpha": -1.0}])
def test_bad_settings_are_named(settings):
    with pytest.raises(InputError, match="must be positive"):
        ParticleSGDSVM(10, **settings).fit(np.eye(6), np.arange(6) % 2)
