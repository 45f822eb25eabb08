"""KernelHasher is a scikit-learn estimator whose bandwidth fits the neighbours of the data."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from isohash import KernelHasher, LeeHasher, RadialKernel, make_hasher
from isohash.errors import InputError
from isohash.hashing.bandwidth import neighbour_distance


@parametrize_with_checks([KernelHasher(n_bits=16)])
def test_scikit_learn_accepts_the_estimator(estimator, check) -> None:
    check(estimator)


@pytest.mark.parametrize(
    "hasher",
    [KernelHasher(n_bits=24), LeeHasher(n_symbols=12, q=5), make_hasher(32)],
    ids=lambda one: type(one).__name__,
)
def test_codes_go_on_through_scikit_learn(hasher, rng) -> None:
    """As tables with names, within a ColumnTransformer, and before a search for neighbours."""
    pandas = pytest.importorskip("pandas")
    X = rng.standard_normal((200, 6)).astype(np.float32)
    codes = hasher.fit(X).transform(X)
    names = [f"{type(hasher).__name__.lower()}{i}" for i in range(codes.length)]
    assert hasher.get_feature_names_out().tolist() == names
    both = ColumnTransformer([("code", hasher, [*range(6)]), ("as it is", "passthrough", [0])])
    assert (both.fit_transform(X)[:, :-1] == codes.symbols()).all()
    table = clone(hasher).set_output(transform="pandas").fit_transform(X)
    assert isinstance(table, pandas.DataFrame)
    assert table.columns.tolist() == names
    assert (table.to_numpy() == codes.symbols()).all()
    side = X[:, 0] > 0
    model = make_pipeline(clone(hasher), KNeighborsClassifier(1)).fit(X, side)
    assert model.score(X, side) > 0.9  # each row is nearest to itself, unless codes are equal


def test_neighbour_distance_is_the_median_distance_to_the_neighbour(rng) -> None:
    X = rng.standard_normal((200, 6)).astype(np.float32)
    distances = np.sort(np.linalg.norm(X[:, None] - X[None], axis=2), axis=1)
    assert neighbour_distance(X, rng, k=7) == pytest.approx(np.median(distances[:, 7]), rel=1e-5)


def test_neighbour_distance_of_a_sample_estimates_that_of_the_whole(rng) -> None:
    X = rng.standard_normal((20_000, 4)).astype(np.float32)
    squared = ((X[:400, None] - X[None]) ** 2).sum(axis=2)
    whole = np.median(np.sqrt(np.partition(squared, 50, axis=1)[:, 50]))
    assert neighbour_distance(X, rng) == pytest.approx(whole, rel=0.1)


def test_duplicates_do_not_break_the_bandwidth(rng) -> None:
    X = np.repeat(rng.standard_normal((5, 3)).astype(np.float32), 100, axis=0)
    assert neighbour_distance(X, rng) > 0.01


@pytest.mark.parametrize(("dither", "least"), [(True, 0.40), (False, 0.45)])
def test_codes_find_the_euclidean_neighbours(rng, dither, least) -> None:
    """20 clusters of 50: the 50 nearest are mostly the cluster; chance is 50/1000."""
    X = np.repeat(rng.standard_normal((20, 16)), 50, axis=0) + 0.3 * rng.standard_normal((1000, 16))
    symbols = KernelHasher(512, dither=dither).fit_transform(X).symbols()
    hamming = np.count_nonzero(symbols[:40, None] != symbols[None], axis=2)
    euclid = np.linalg.norm(X[:40, None] - X[None], axis=2)
    near = [set(np.argsort(d, kind="stable")[:10]) for d in hamming]
    true = [set(np.argsort(d)[:10]) for d in euclid]
    assert np.mean([len(a & b) / 10 for a, b in zip(near, true, strict=True)]) > least


def test_the_kernel_given_is_the_kernel_used(rng) -> None:
    kernel = RadialKernel([0.1, 2.0])
    hasher = KernelHasher(32, kernel=kernel).fit(rng.standard_normal((1, 3)))
    assert hasher.kernel_ is kernel
    expected = 1 - hasher.expected_distance(1.3) / 32
    assert hasher.collision_probability(1.3) == pytest.approx(expected)


def test_the_seed_used_is_recorded_and_repeats_the_hash(rng) -> None:
    X = rng.standard_normal((30, 4))
    first = KernelHasher(64, random_state=None).fit(X).hash_
    again = KernelHasher(64, random_state=first.metadata["seed"]).fit(X).hash_
    assert again.to_bytes() == first.to_bytes()


def test_one_dimension_and_constant_columns_are_fine(rng) -> None:
    X = np.column_stack([np.full(50, 7.0), np.arange(50.0), np.zeros(50)])
    for data in (X, X[:, 1:2]):
        symbols = KernelHasher(256).fit_transform(data).symbols()
        near, far = (np.count_nonzero(symbols[0] != symbols[i]) for i in (1, 8))
        assert 0 < near < far


@pytest.mark.parametrize(
    ("options", "X", "word"),
    [
        ({}, [[np.nan, 1.0], [1.0, 2.0]], "NaN"),
        ({}, [[np.inf, 1.0], [1.0, 2.0]], "infinity"),
        ({}, [[1.0, 2.0]], "n_samples = 1"),
        ({}, [[1.0, 2.0]] * 9, "all rows are equal"),
        ({}, [["a", "b"], ["c", "d"]], "could not convert"),
        ({"n_bits": 0}, [[1.0], [2.0]], "n_bits"),
        ({"n_bits": 2.5}, [[1.0], [2.0]], "n_bits"),
        ({"n_bits": 10**13}, [[1.0], [2.0]], "GB"),
        ({"dither": "maybe"}, [[1.0], [2.0]], "dither"),
        ({"kernel": 0.5}, [[1.0], [2.0]], "RadialKernel"),
    ],
)
def test_bad_input_is_refused_by_name(options, X, word) -> None:
    with pytest.raises(InputError, match=word):
        KernelHasher(**{"n_bits": 8, **options}).fit(X)


def test_transform_before_fit_is_refused() -> None:
    with pytest.raises(NotFittedError):
        KernelHasher().transform([[1.0]])
    with pytest.raises(NotFittedError):
        KernelHasher().collision_probability(1.0)


def test_querying_needs_neither_scikit_learn_nor_scipy_nor_torch() -> None:
    script = (
        "import sys, isohash.hashing.drawn\n"
        "heavy = {'sklearn', 'scipy', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
