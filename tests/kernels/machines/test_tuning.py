"""Tuning the scale of a kernel by held-out loss."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_moons

from isohash import KernelLearner, RadialKernel, RandomFeatureSVM
from isohash.errors import InputError
from isohash.kernels.machines.tuning import MOST_FEATURES, TunedKernel, divided, held_out_loss
from isohash.kernels.random_features import RandomFeatures, median_kernel


@pytest.fixture
def moons():
    return make_moons(600, noise=0.2, random_state=0)


def test_a_bad_scale_is_mended(moons):
    """Moons want xi of about 2: from a hundred times too narrow or wide the factor leads back."""
    factors = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
    for start in (0.02, 2.0, 200.0):
        tuned = TunedKernel(RadialKernel([start]), factors, n_features=100).fit(*moons)
        assert 0.2 <= tuned.kernel_.particles[0] <= 20.0
        assert tuned.kernel_.particles[0] == tuned.factor_ * start
        assert tuned.losses_.argmin() == factors.index(tuned.factor_)


def test_every_particle_is_stretched_alike(moons):
    particles = np.array([0.5, 1.0, 4.0])
    tuned = TunedKernel(RadialKernel(particles), (0.1, 3.0), n_features=50).fit(*moons)
    np.testing.assert_array_equal(tuned.kernel_.particles, tuned.factor_ * particles)


def test_the_base_may_be_learned_or_the_median(moons):
    learner = KernelLearner(n_particles=10, n_steps=20)
    learned = TunedKernel(learner, (1.0,), n_features=20).fit(*moons)
    expected = clone(learner).fit(*moons).kernel.particles
    np.testing.assert_array_equal(learned.kernel_.particles, expected)
    median = TunedKernel(factors=(1.0,), n_features=20).fit(*moons).kernel_
    assert median.particles == median_kernel(moons[0], np.random.default_rng(0)).particles


def test_it_tunes_for_as_many_features_as_the_classifier_has():
    assert TunedKernel().sized(30).n_features == 30
    assert TunedKernel().sized(10_000).n_features == MOST_FEATURES
    assert TunedKernel(n_features=7).sized(30).n_features == 7


def test_what_is_tuned_is_what_is_used(moons):
    """With one seed the classifier's frequencies are the judged ones."""
    X, y = moons
    model = RandomFeatureSVM(TunedKernel(factors=(0.3, 3.0)), n_features=40).fit(X, y)
    again = RandomFeatures.draw(model.kernel_, 40, 2, np.random.default_rng(0), orthogonal=True)
    np.testing.assert_array_equal(model.features_.frequencies, again.frequencies)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_loss_is_the_squared_hinge_of_least_squares(n_classes, rng):
    z, y, C = rng.standard_normal((40, 4)), np.arange(40) % n_classes, 0.7
    fold = np.arange(30), np.arange(30, 40)
    total = 0.0
    for k in [1] if n_classes == 2 else range(3):
        signs = np.where(y == k, 1.0, -1.0)
        a = np.hstack([z[:30], np.ones((30, 1))])
        w = np.linalg.solve(a.T @ a + np.diag([0.5 / C] * 4 + [0.0]), a.T @ signs[:30])
        scores = np.hstack([z[30:], np.ones((10, 1))]) @ w
        total += np.mean(np.maximum(0, 1 - signs[30:] * scores) ** 2)
    assert held_out_loss(z, y, fold, C) == pytest.approx(total)


def test_groups_are_never_divided(rng):
    groups = np.repeat(np.arange(12), 5)
    for train, held_out in divided(rng.random((60, 2)), groups % 2, groups, 3, 0):
        assert not set(groups[train]) & set(groups[held_out])


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"factors": ()}, "factors"), ({"factors": (0.0,)}, "factors"), ({"n_folds": 1}, "n_folds")],
)
def test_bad_settings_are_named(settings, message, moons):
    with pytest.raises(InputError, match=message):
        TunedKernel(**settings).fit(*moons)


def test_a_class_with_one_point_cannot_be_held_out(rng):
    with pytest.raises(InputError, match="one point only"):
        TunedKernel().fit(rng.random((9, 2)), np.array([0] * 8 + [1]))


def test_one_class_cannot_be_told_apart(rng):
    with pytest.raises(InputError, match="one class only"):
        TunedKernel().fit(rng.random((9, 2)), np.zeros(9))
