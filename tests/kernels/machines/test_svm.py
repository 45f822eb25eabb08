"""The feature classifiers: scikit-learn's own checks, accuracy against exact kernels, errors."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import make_moons
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from isohash import KernelLearner, RadialKernel, RandomFeatureSVM
from isohash.errors import InputError
from isohash.kernels.machines.importance import ImportanceSampledSVM
from isohash.kernels.machines.particle_sgd import ParticleSGDSVM
from isohash.kernels.machines.selection import SelectedFeatureSVM
from isohash.kernels.machines.tuning import TunedKernel
from isohash.kernels.random_features import RandomFeatures, median_kernel

SMALL = {"n_features": 50}


@parametrize_with_checks(
    [
        RandomFeatureSVM(**SMALL),
        RandomFeatureSVM(**SMALL, probability=True),
        ImportanceSampledSVM(**SMALL, n_candidates=200),
        ParticleSGDSVM(**SMALL, n_steps=50),
        SelectedFeatureSVM(**SMALL, n_candidates=300, kernel=RadialKernel([0.5])),
        KernelLearner(n_particles=20, n_steps=20),
        TunedKernel(n_features=20),
    ]
)
def test_scikit_learn_accepts_the_estimators(estimator, check):
    check(estimator)


@pytest.fixture
def moons():
    X, y = make_moons(1200, noise=0.2, random_state=0)
    return X[:800], y[:800], X[800:], y[800:]


@pytest.mark.parametrize(
    "model",
    [
        RandomFeatureSVM(RadialKernel([2.0]), 400),
        RandomFeatureSVM(KernelLearner(n_particles=50, n_steps=300), 400),
        RandomFeatureSVM(TunedKernel(), 400),
        ParticleSGDSVM(200, n_steps=1000),
        SelectedFeatureSVM(400, n_candidates=2000),
    ],
    ids=lambda m: type(m).__name__ + type(getattr(m, "kernel", None)).__name__,
)
def test_moons_are_told_apart_as_well_as_by_the_exact_kernel(model, moons):
    X, y, Xt, yt = moons
    exact = SVC(gamma=2.0).fit(X, y).score(Xt, yt)
    # 400 test points: two binomial deviations of the difference at 3 per cent error.
    assert model.fit(X, y).score(Xt, yt) >= exact - 2 * np.sqrt(2 * 0.03 / 400)


def test_probabilities_are_those_of_the_labels(rng):
    """The label is drawn with a known probability; what is told of new points is near to it."""
    X = rng.uniform(-2, 2, (4000, 1))
    true = 1.0 / (1.0 + np.exp(-3.0 * X[:, 0]))
    y = np.where(rng.random(len(X)) < true, "yes", "no")
    for make in (RandomFeatureSVM, lambda **k: SelectedFeatureSVM(**k, kernel=RadialKernel([0.5]))):
        model = make(n_features=50, probability=True).fit(X[:2000], y[:2000])
        told = model.predict_proba(X[2000:])
        assert told.sum(axis=1) == pytest.approx(np.ones(2000))
        assert np.abs(told[:, 1] - true[2000:]).mean() < 0.05  # 0.31 if it said one half
        assert not hasattr(make(), "predict_proba")
    with pytest.raises(InputError, match="at least 2 rows of each class"):
        RandomFeatureSVM(probability=True).fit(np.eye(3), [0, 0, 1])


def test_many_features_approach_the_exact_kernel(moons):
    X, y, Xt, _ = moons
    exact = SVC(gamma=2.0).fit(X, y).predict(Xt)
    agreement = [
        np.mean(RandomFeatureSVM(RadialKernel([2.0]), d).fit(X, y).predict(Xt) == exact)
        for d in (5, 2000)
    ]
    assert agreement[1] >= 0.97
    assert agreement[0] < agreement[1]


def test_features_estimate_the_kernel(rng):
    kernel, x = RadialKernel([0.3, 1.0]), rng.standard_normal((6, 4))
    n = 40_000
    z = RandomFeatures.draw(kernel, n, 4, rng)(x)
    # Each product lies in [-2, 2]: Hoeffding at 1e-9 over 36 entries.
    assert np.abs(z @ z.T - kernel(x, x)).max() <= np.sqrt(8 * np.log(2 * 36 / 1e-9) / n)


def test_the_median_heuristic_is_the_median(rng):
    x = rng.standard_normal((40, 3))
    i, j = np.triu_indices(40, 1)
    median = np.median(np.sum((x[i] - x[j]) ** 2, axis=1))
    assert median_kernel(x, rng).particles[0] == pytest.approx(1 / median)


def test_several_classes_and_their_names(rng):
    X = rng.standard_normal((300, 2)) * 0.3
    y = np.array(["left", "right", "up"])[np.arange(300) % 3]
    X[y == "right"] += [3, 0]
    X[y == "up"] += [0, 3]
    for model in (
        RandomFeatureSVM(), ImportanceSampledSVM(), SelectedFeatureSVM(100, n_candidates=1000),
        ParticleSGDSVM(100, n_steps=500),
    ):  # fmt: skip
        model.fit(X, y)
        assert model.score(X, y) > 0.97
        assert model.decision_function(X).shape == (300, 3)


def test_it_works_in_a_pipeline_and_a_grid_search(moons):
    X, y, Xt, yt = moons
    kernels = [RadialKernel([g]) for g in (1e-4, 2.0)]
    search = GridSearchCV(
        make_pipeline(StandardScaler(), RandomFeatureSVM(n_features=100)),
        {"randomfeaturesvm__kernel": kernels}, cv=3,
    ).fit(X, y)  # fmt: skip
    assert search.best_params_["randomfeaturesvm__kernel"] is kernels[1]
    assert search.score(Xt, yt) > 0.93


def test_the_same_seed_gives_the_same_bytes(moons):
    X, y, Xt, _ = moons
    for make in (
        RandomFeatureSVM,
        ImportanceSampledSVM,
        lambda **k: ParticleSGDSVM(n_steps=100, **k),
        lambda **k: SelectedFeatureSVM(20, n_candidates=500, kernel=RadialKernel([2.0]), **k),
    ):
        first, second, other = (
            make(random_state=s).fit(X, y).decision_function(Xt) for s in (0, 0, 1)
        )
        assert first.tobytes() == second.tobytes()
        assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize(
    "make", [RandomFeatureSVM, ImportanceSampledSVM, ParticleSGDSVM, SelectedFeatureSVM]
)
@pytest.mark.parametrize(
    ("X", "y", "settings", "message"),
    [
        (np.eye(6), np.zeros(6), {}, "one class only"),
        (np.full((6, 2), np.nan), np.arange(6) % 2, {}, "NaN"),
        (scipy.sparse.eye(6, format="csr"), np.arange(6) % 2, {}, "[Ss]parse"),
        (np.eye(6), np.arange(6) % 2, {"n_features": 0}, "n_features"),
        (np.eye(6), np.arange(6) % 2, {"n_features": 10**13}, "GiB"),
        (np.eye(6), np.arange(6) % 2, {"C": 0.0}, "C must be positive"),
        (np.eye(6), np.arange(5) % 2, {}, "inconsistent"),
    ],
)
def test_bad_input_is_named(make, X, y, settings, message):
    with pytest.raises(InputError, match=message):
        make(**settings).fit(X, y)


@pytest.mark.parametrize("make", [RandomFeatureSVM, SelectedFeatureSVM])
def test_a_kernel_must_be_one(make, moons):
    with pytest.raises(InputError, match="kernel must be"):
        make(kernel="rbf").fit(*moons[:2])
