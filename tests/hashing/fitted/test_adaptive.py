"""Adaptive codes are exact everywhere, searchable as they are, and rank better than bits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from isohash import FlatIndex, KernelHasher, make_hasher
from isohash.errors import InputError
from isohash.hashing import projection
from isohash.hashing.adaptive_hasher import AdaptiveHasher
from isohash.hashing.drawn import load_hash
from isohash.hashing.fitted.adaptive_fit import (
    fit_levels,
    largest_symbol,
    lloyd,
    midpoints,
    water_fill,
)


def spread(rng, n: int, d: int = 24) -> np.ndarray:
    """Clustered rows whose axes differ tenfold in deviation, turned at random."""
    turn, _ = np.linalg.qr(rng.standard_normal((d, d)))
    scale = np.geomspace(3.0, 0.3, d)
    centers = rng.standard_normal((30, d))[rng.integers(0, 30, n)]
    return ((centers + 0.6 * rng.standard_normal((n, d))) * scale) @ turn + 5.0


def nearest(distances, k=20):
    return np.argsort(distances, axis=1, kind="stable")[:, :k]


def dice(a, b) -> float:
    pairs = zip(a, b, strict=True)
    return float(np.mean([len(np.intersect1d(x, y)) / a.shape[1] for x, y in pairs]))


def euclid(a, b):
    return np.linalg.norm(a[:, None] - b[None], axis=2)


def squared(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(axis=2)


@parametrize_with_checks([AdaptiveHasher(stored_bits=32)])
def test_scikit_learn_accepts_the_estimator(estimator, check) -> None:
    check(estimator)


def test_bits_go_to_the_largest_step() -> None:
    widths = water_fill(np.array([8.0, 4.0, 1.0, 1.0]), 12)
    np.testing.assert_array_equal(widths, [5, 4, 2, 1])


def test_lloyd_levels_are_the_means_of_their_cells(rng) -> None:
    x = rng.standard_normal(5000)
    (levels,) = lloyd(x[None], 4)
    cells = np.searchsorted(midpoints(levels), x)
    np.testing.assert_allclose(levels, [x[cells == i].mean() for i in range(4)], atol=2e-2)
    # the optimal 4-level quantiser of a Gaussian (Max 1960) has levels 0.4528 and 1.510
    np.testing.assert_allclose(levels, [-1.510, -0.4528, 0.4528, 1.510], atol=0.1)


def test_few_rows_get_equal_steps_over_their_range() -> None:
    (levels,) = fit_levels(np.linspace(-1, 1, 20)[:, None], np.array([4]))
    np.testing.assert_allclose(np.diff(levels), np.diff(levels)[0])
    assert levels[0] > -1.2
    assert levels[-1] < 1.2


@pytest.mark.parametrize("stored_bits", [16, 64, 200, 2048])
def test_the_code_takes_no_more_bits_than_asked_for(rng, stored_bits) -> None:
    X = spread(rng, 600)
    codes = make_hasher(stored_bits).fit(X).transform(X)
    assert codes.stored_bits <= stored_bits
    assert codes.stored_bits == 8 * codes.packed.shape[1]


@pytest.mark.parametrize("stored_bits", [32, 64, 128])
def test_codes_rank_better_than_kernel_bits_of_the_same_size(rng, stored_bits) -> None:
    X = spread(rng, 1300)
    rows, queries = X[:1200], X[1200:]
    true = nearest(euclid(queries, rows))
    hasher = make_hasher(stored_bits).fit(rows)
    symbols = hasher.transform(rows).symbols()
    ours = dice(nearest(squared(hasher.transform(queries).symbols(), symbols)), true)
    plain = KernelHasher(stored_bits, dither=False).fit(rows)
    bits = plain.transform(rows).symbols()
    assert ours > dice(nearest(squared(plain.transform(queries).symbols(), bits)), true) + 0.1
    codes = hasher.transform(rows)
    assert dice(nearest(hasher.asymmetric(queries, codes)), true) > ours


def test_more_bits_rank_better_and_many_bits_rank_right(rng) -> None:
    X = spread(rng, 1300)
    true = nearest(euclid(X[1200:], X[:1200]))
    scores = []
    for stored_bits in (24, 48, 96, 192, 384):
        hasher = make_hasher(stored_bits).fit(X[:1200])
        symbols = hasher.transform(X).symbols()
        scores.append(dice(nearest(squared(symbols[1200:], symbols[:1200])), true))
    assert scores == sorted(scores)
    assert scores[-1] > 0.98


@pytest.mark.parametrize("stored_bits", [64, 4096])
def test_code_distances_are_the_distances_of_the_reconstructions(rng, stored_bits) -> None:
    X = spread(rng, 300)
    hasher = make_hasher(stored_bits).fit(X)
    codes = hasher.transform(X)
    y = hasher.hash_.reconstruct(codes)
    units = np.sqrt(squared(codes.symbols()[:20], codes.symbols())) * hasher.hash_.unit
    np.testing.assert_allclose(units, euclid(y[:20], y), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        np.sqrt((hasher.asymmetric(X, codes).diagonal()) ** 2),
        np.linalg.norm(_on_axes(hasher, X) - y - hasher.hash_.origin, axis=1),
        rtol=1e-3,
        atol=1e-3,
    )


def _on_axes(hasher, X):
    return (X - hasher.hash_.center) @ hasher.hash_.axes.astype(float)


@pytest.mark.parametrize("stored_bits", [64, 300, 4096])
def test_a_flat_index_finds_the_nearest_codes(rng, stored_bits) -> None:
    X = spread(rng, 400)
    codes = make_hasher(stored_bits).fit(X).transform(X)
    hits = FlatIndex.of(codes).search(codes[:30], 15)
    expected = squared(codes.symbols()[:30], codes.symbols())
    np.testing.assert_array_equal(hits.ids, nearest(expected, 15))
    np.testing.assert_array_equal(hits.distances, np.take_along_axis(expected, hits.ids, axis=1))
    assert (hits.distances[:, 0] == 0).all()


@pytest.mark.parametrize("d", [1, 2, 128, 700])
def test_distances_fit_32_bits_whatever_the_dimension(rng, d) -> None:
    X = rng.standard_normal((60, d))
    codes = make_hasher(100_000).fit(X).transform(1e6 * X)
    largest = codes.symbols().max(axis=0) - codes.symbols().min(axis=0)
    assert (largest**2).sum() < 2**30
    assert codes.length * (codes.q // 2) ** 2 < 2**30
    assert largest_symbol(d) ** 2 * d < 2**30


def test_codes_are_those_of_rational_arithmetic(rng) -> None:
    X = spread(rng, 100, 4)
    hash_ = make_hasher(12).fit(X).hash_
    x = np.asarray(X, np.float32) - hash_.center
    indices = hash_.alphabets.unpack(hash_.encode(X).packed)
    for i in range(0, 100, 7):
        for j in range(hash_.length):
            pairs = zip(x[i].tolist(), hash_.axes[:, j].tolist(), strict=True)
            u = float(sum(Fraction(a) * Fraction(b) for a, b in pairs))
            assert indices[i, j] == int((hash_._of_axis[j].astype(float) <= u).sum())


def test_codes_do_not_depend_on_batch_layout_or_order_of_summation(rng, monkeypatch) -> None:
    X = spread(rng, 500, 64)
    hasher = make_hasher(256).fit(X)
    far = (1e5 * X).astype(np.float32)
    for data in (X.astype(np.float32), far):
        expected = hasher.transform(data).packed
        single = np.vstack([hasher.transform(data[i : i + 1]).packed for i in range(40)])
        np.testing.assert_array_equal(single, expected[:40])
        np.testing.assert_array_equal(hasher.transform(np.asfortranarray(data)).packed, expected)

    plain = projection.product
    for sign in (-1.0, 1.0):

        def worst(x, w, sign=sign):
            m = len(w) * projection.UNIT32
            size = np.abs(x).astype(float) @ np.abs(w).astype(float)
            exact = x.astype(float) @ w.astype(float)
            return np.asarray(exact + sign * m / (1 - m) * size, np.float32)

        monkeypatch.setattr(projection, "product", worst)
        off = hasher.transform(X).packed
        monkeypatch.setattr(projection, "product", plain)
        np.testing.assert_array_equal(off, hasher.transform(X).packed)


def test_the_same_seed_fits_the_same_hash_and_saving_keeps_it(rng, tmp_path) -> None:
    X = spread(rng, 300)
    first, again = (make_hasher(96, random_state=5).fit(X).hash_ for _ in range(2))
    assert first.to_bytes() == again.to_bytes()
    first.save(tmp_path / "hash")
    loaded = load_hash(tmp_path / "hash")
    assert loaded.to_bytes() == first.to_bytes()
    codes = loaded.encode(X)
    np.testing.assert_array_equal(codes.packed, first.encode(X).packed)
    np.testing.assert_array_equal(loaded.codes(codes.packed).symbols(), codes.symbols())


def test_constant_columns_duplicates_and_two_rows_are_fine(rng) -> None:
    X = np.column_stack([np.full(40, 7.0), np.arange(40.0), np.zeros(40), np.arange(40.0)])
    symbols = make_hasher(64).fit(X).transform(X).symbols()
    assert symbols.shape[1] == 1  # the two moving columns move together
    assert (np.diff(symbols[:, 0]) > 0).all() or (np.diff(symbols[:, 0]) < 0).all()
    pair = make_hasher(8).fit(X[:2]).transform(X[:2]).symbols()
    assert (pair[0] != pair[1]).any()


@pytest.mark.parametrize(
    ("stored_bits", "X", "word"),
    [
        (0, [[1.0], [2.0]], "stored_bits"),
        (7.5, [[1.0], [2.0]], "stored_bits"),
        (8, [[1.0, np.nan], [2.0, 1.0]], "NaN"),
        (8, [[1.0, 2.0]], "n_samples = 1"),
        (8, [[1.0, 2.0]] * 5, "all rows are equal"),
        (8, [1.0, 2.0], "Reshape"),
    ],
)
def test_bad_input_is_refused_by_name(stored_bits, X, word) -> None:
    with pytest.raises(InputError, match=word):
        make_hasher(stored_bits).fit(X)


def test_transform_before_fit_is_refused() -> None:
    with pytest.raises(NotFittedError):
        make_hasher().transform([[1.0]])


@pytest.mark.parametrize("bits", [48, 120])
def test_queries_in_units_give_the_asymmetric_distances(rng, bits: int) -> None:
    X = spread(rng, 900)
    hasher = make_hasher(bits).fit(X[:800])
    hash_ = hasher.hash_
    codes, queries = hasher.transform(X[:800]), X[800:]
    x = hash_.project(queries) / hash_.unit
    inside = ((x >= 0) & (x <= hash_.alphabets.values.max())).all(axis=1)
    assert inside.mean() > 0.1
    hits = FlatIndex.of(codes).search(hasher.encode_queries(queries[inside]), 800)
    expected = hasher.asymmetric(queries[inside], codes)
    found = np.sqrt(hits.distances) * hash_.unit
    rounding = np.sqrt(hash_.length) / 2 * hash_.unit  # half a unit on every axis, at most
    sorted_ids = np.take_along_axis(expected, hits.ids, axis=1)
    assert (np.abs(found - sorted_ids) <= rounding * 1.001).all()


def test_queries_in_units_rank_better_than_codes(rng) -> None:
    X = spread(rng, 3000)
    hasher = make_hasher(64).fit(X[:2500])
    index = FlatIndex.of(hasher.transform(X[:2500]))
    true = nearest(euclid(X[2500:], X[:2500]))
    fine = index.search(hasher.encode_queries(X[2500:]), 20).ids
    plain = index.search(hasher.transform(X[2500:]), 20).ids
    assert dice(fine, true) > dice(plain, true) + 0.01


def test_queries_in_units_do_not_depend_on_the_batch_or_the_sum(rng, monkeypatch) -> None:
    X = spread(rng, 700)
    hash_ = make_hasher(160).fit(X).hash_
    whole = hash_.encode_queries(X[:60]).packed
    parts = [hash_.encode_queries(row[None]).packed for row in X[:60]]
    np.testing.assert_array_equal(np.vstack(parts), whole)
    exact = lambda x, w: (x.astype(float) @ w.astype(float)).astype(np.float32)  # noqa: E731
    monkeypatch.setattr(projection, "product", exact)
    np.testing.assert_array_equal(hash_.encode_queries(X[:60]).packed, whole)
