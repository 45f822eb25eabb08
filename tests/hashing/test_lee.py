"""q-ary codes: exact, isometric to thermometers, and as far apart as the closed form says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from isohash import Codes, FlatIndex, LeeHasher, RadialKernel
from isohash.errors import InputError
from isohash.hashing import projection
from isohash.hashing.closed_forms import dithered_table_mean, lee_table
from isohash.hashing.drawn import load_hash
from isohash.hashing.lee import LeeHash, best_deviation


@parametrize_with_checks([LeeHasher(n_symbols=8), LeeHasher(n_symbols=8, q=5, n_features=20)])
def test_scikit_learn_accepts_the_estimator(estimator, check) -> None:
    check(estimator)


@pytest.mark.parametrize("q", range(2, 65))
def test_lee_distance_is_the_hamming_distance_of_thermometers(q) -> None:
    """Even q: q/2 bits, bit j set iff (s - j - 1) mod q < q/2. Odd q: symbol 2s of Z_2q, twice."""
    ring, symbols, times = (q, np.arange(q), 1) if q % 2 == 0 else (2 * q, 2 * np.arange(q), 2)
    j = np.arange(ring // 2)
    bits = (symbols[:, None] - j - 1) % ring < ring // 2
    hamming = np.count_nonzero(bits[:, None] != bits[None], axis=2)
    difference = (np.arange(q)[:, None] - np.arange(q)) % q
    np.testing.assert_array_equal(times * lee_table(q)[difference], hamming)


def test_the_six_symbol_example_is_at_distance_six() -> None:
    a, b = Codes.from_symbols([[3, 1, 4, 0]], 6), Codes.from_symbols([[2, 5, 4, 3]], 6)
    difference = (a.symbols() - b.symbols()) % 6
    assert lee_table(6)[difference].sum() == 6
    assert FlatIndex.of(a).search(b, 1).distances[0, 0] == 6


@pytest.mark.parametrize(
    ("q", "published"), [(2, 0.43), (4, 0.80), (8, 1.43), (10, 1.69), (16, 2.50), (50, 6.5)]
)
def test_the_best_scale_is_that_of_the_efficiency_table(q, published) -> None:
    assert best_deviation(q) == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize(("q", "metric"), [(2, "lee"), (7, "lee"), (10, "lee"), (6, "squared_lee")])
@pytest.mark.parametrize("orthogonal", [True, False])
def test_distances_follow_the_closed_form(rng, q, metric, orthogonal) -> None:
    dim, n_symbols, n_hashes = 12, 48, 200
    x, step = rng.standard_normal((2, dim))
    radii = np.array([0.02, 0.5, 2.0, 30.0])
    X = np.vstack([x, *(x + r * step / np.linalg.norm(step) for r in radii)])
    table = lee_table(q, squared=metric == "squared_lee")
    mean = np.zeros(len(radii))
    for _ in range(n_hashes):
        hash_ = LeeHash.draw(
            dim, n_symbols, q, 1.3, int(rng.integers(2**31)), metric=metric, orthogonal=orthogonal
        )
        symbols = hash_.encode(X).symbols()
        mean += table[(symbols[1:] - symbols[0]) % q].mean(axis=1) / n_hashes
    band = table.max() * math.sqrt(math.log(2e9) / (2 * n_hashes))
    if not orthogonal:
        band /= math.sqrt(n_symbols)
    np.testing.assert_allclose(mean, hash_.expected_distance(radii) / n_symbols, atol=band)


def test_distances_of_features_follow_the_kernel(rng) -> None:
    kernel, q = RadialKernel([0.3, 1.0]), 10
    hasher = LeeHasher(4000, q, kernel, n_features=2000, orthogonal=False)
    x, step = rng.standard_normal((2, 6))
    radii = np.array([0.2, 1.0, 3.0])
    X = np.vstack([x, *(x + r * step / np.linalg.norm(step) for r in radii)])
    hash_ = hasher.fit(rng.standard_normal((100, 6))).hash_
    symbols = hash_.encode(X).symbols()
    mean = lee_table(q)[(symbols[1:] - symbols[0]) % q].mean(axis=1)
    # 4000 symbols given the features, plus the features' own spread: their mean of squares has a
    # relative deviation below sqrt(3 / 2000), the distance half of that; six deviations of both
    expected = hash_.expected_distance(radii) / 4000
    tolerance = q / 2 * math.sqrt(math.log(2e9) / 8000) + 6 * 0.5 * math.sqrt(3 / 2000) * expected
    assert (np.abs(mean - expected) < tolerance).all()


def test_the_printed_scale_of_one_wraps_completely(rng) -> None:
    """w ~ N(0, I) on 500 features: distances say nothing, all near q/4 (the literature's trap)."""
    X = rng.standard_normal((200, 20))
    kernel = RadialKernel([1.0 / 40])
    wrapped = LeeHasher(64, 10, kernel, 500, scale=1.0).fit(X)
    fitted = LeeHasher(64, 10, kernel, 500).fit(X)
    near, far = 3.0, 9.0
    assert wrapped.expected_distance(near) > 0.97 * wrapped.expected_distance(far)
    assert fitted.expected_distance(near) < 0.85 * fitted.expected_distance(far)
    assert fitted.hash_.scale < 0.2


def test_expected_distance_rises_with_distance_to_saturation(rng) -> None:
    hasher = LeeHasher(100, 10).fit(rng.standard_normal((50, 4)))
    expected = hasher.expected_distance(np.linspace(0, 50, 200))
    assert expected[0] == 0
    assert (np.diff(expected) > -1e-9).all()
    assert expected[-1] == pytest.approx(100 * 10 / 4)


@pytest.mark.parametrize("n_features", [None, 60])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_codes_do_not_depend_on_the_batch_or_the_order_of_summation(
    rng, monkeypatch, n_features, sign
) -> None:
    X = (100 * rng.standard_normal((80, 96))).astype(np.float32)
    hash_ = LeeHasher(128, 10, n_features=n_features, scale=50.0).fit(X).hash_
    expected = hash_.encode(X).packed
    single = np.vstack([hash_.encode(X[i : i + 1]).packed for i in range(len(X))])
    np.testing.assert_array_equal(single, expected)
    np.testing.assert_array_equal(hash_.encode(np.asfortranarray(X)).packed, expected)

    def worst(x, w):
        m = len(w) * projection.UNIT32
        size = np.abs(x).astype(float) @ np.abs(w).astype(float)
        exact = x.astype(float) @ w.astype(float)
        return np.asarray(exact + sign * m / (1 - m) * size, np.float32)

    monkeypatch.setattr(projection, "product", worst)
    np.testing.assert_array_equal(hash_.encode(X).packed, expected)


def test_features_are_cosines(rng) -> None:
    X = rng.standard_normal((30, 5)).astype(np.float32)
    hash_ = LeeHasher(4, n_features=50).fit(X).hash_
    features = hash_.features(X, hash_.center)
    angle = (X - hash_.center).astype(float) @ hash_.features.frequencies.astype(float)
    angle += hash_.features.phases
    np.testing.assert_allclose(features, np.cos(2 * np.pi * angle), atol=1e-6)


@pytest.mark.parametrize("n_features", [None, 40])
def test_a_hash_survives_saving_byte_for_byte(rng, tmp_path, n_features) -> None:
    X = rng.standard_normal((60, 7))
    hash_ = LeeHasher(33, 7, n_features=n_features, metric="squared_lee").fit(X).hash_
    hash_.save(tmp_path / "hash")
    again = load_hash(tmp_path / "hash")
    assert again.to_bytes() == hash_.to_bytes()
    codes = again.encode(X)
    np.testing.assert_array_equal(codes.packed, hash_.encode(X).packed)
    assert (codes.q, codes.metric, codes.length) == (7, "squared_lee", 33)
    np.testing.assert_array_equal(again.codes(codes.packed).symbols(), codes.symbols())


@pytest.mark.parametrize("n_features", [None, 400])
def test_codes_find_the_euclidean_neighbours(rng, n_features) -> None:
    X = np.repeat(rng.standard_normal((20, 16)), 50, axis=0) + 0.3 * rng.standard_normal((1000, 16))
    codes = LeeHasher(512, n_features=n_features).fit_transform(X)
    hits = FlatIndex.of(codes).search(codes[:40], 10).ids
    true = np.argsort(np.linalg.norm(X[:40, None] - X[None], axis=2))[:, :10]
    pairs = zip(hits, true, strict=True)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in pairs]) > 0.5


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"q": 1}, "q must"),
        ({"q": 70_000}, "q must"),
        ({"q": 2.5}, "q must"),
        ({"n_symbols": 0}, "n_symbols"),
        ({"n_symbols": 10**13}, "GB"),
        ({"n_features": 0}, "n_features"),
        ({"n_features": 10**13}, "GB"),
        ({"scale": -1.0}, "scale"),
        ({"scale": math.nan}, "scale"),
        ({"metric": "hamming"}, "metric"),
        ({"kernel": RadialKernel([1.0])}, "n_features"),
        ({"kernel": "poly", "n_features": 5}, "RadialKernel"),
    ],
)
def test_bad_options_are_refused_by_name(options, word) -> None:
    with pytest.raises(InputError, match=word):
        LeeHasher(**{"n_symbols": 4, **options}).fit([[1.0, 2.0], [2.0, 3.0], [0.0, 1.0]])


def test_dithered_means_are_zero_only_at_zero() -> None:
    for q in (2, 3, 10):
        assert dithered_table_mean(0.0, lee_table(q)) == 0.0
        assert dithered_table_mean(1e-6, lee_table(q)) > 0.0
