"""Distances read off codes cover the truth as often as they say, and admit what they cannot see."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy.stats import binom

from isohash import Calibration, KernelHasher, LeeHasher, RadialKernel, make_hasher
from isohash.errors import InputError
from isohash.hashing.calibration import range_of_view
from isohash.hashing.cosine import CosineHash
from isohash.hashing.lee import LeeHash
from isohash.hashing.pairs import _table, code_distances, nearest_pairs, sample_pairs
from isohash.hashing.resolution import bits_planner, response

N_HELD_OUT = 100_000


def held_out_pairs(hash_, X, rng):
    """Code distance and distance of 1e5 pairs of rows."""
    i, j = rng.integers(0, len(X), (2, N_HELD_OUT))
    i, j = i[i != j], j[i != j]
    packed = hash_.encode(X)
    table = code_distances(packed, packed)
    return table[i, j], np.linalg.norm(X[i] - X[j], axis=1)


def coverage(found, true) -> float:
    return float(np.mean((found.low <= true) & (true <= found.high)))


@pytest.mark.parametrize("dither", [True, False])
def test_intervals_of_bits_are_exact_binomial(dither) -> None:
    """At the ends of an interval the observed count has exactly the tail probability."""
    hash_ = CosineHash.draw(RadialKernel([0.7]), 4, 200, 0, dither=dither)
    found = Calibration.of(hash_).estimate(np.arange(0, 60))
    for d in range(1, 60):
        low, high = hash_.disagreement(found.low[d]), hash_.disagreement(found.high[d])
        assert binom.sf(d - 1, 200, low) == pytest.approx(0.025, rel=1e-3)
        assert binom.cdf(d, 200, high) == pytest.approx(0.025, rel=1e-3)
        assert hash_.disagreement(found.estimate[d]) == pytest.approx(d / 200, rel=1e-5)


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: CosineHash.draw(RadialKernel([0.2, 0.9]), 6, 256, seed, orthogonal=False),
        lambda seed: CosineHash.draw(
            RadialKernel([0.5]), 6, 256, seed, dither=False, orthogonal=False
        ),
        lambda seed: LeeHash.draw(6, 128, 10, 1.5, seed, orthogonal=False),
        lambda seed: LeeHash.draw(6, 128, 7, 1.0, seed, metric="squared_lee", orthogonal=False),
    ],
)
def test_closed_form_intervals_cover_over_drawn_hashes(rng, draw) -> None:
    """Independent hashes of the same pairs: exact intervals cover at least as often as they say."""
    radii = np.array([0.05, 0.3, 0.8, 1.2])
    x = rng.standard_normal(6)
    X = np.vstack([x, *(x + r * np.eye(6)[0] for r in radii)])
    n_hashes, hits = 500, np.zeros(len(radii))
    calibration = Calibration.of(draw(0))  # depends on the law, not on the draw
    for seed in rng.integers(0, 2**31, n_hashes).tolist():
        hash_ = draw(seed)
        codes = hash_.encode(X)
        found = calibration.estimate(code_distances(codes[:1], codes[1:])[0])
        hits += (found.low <= radii) & (radii <= found.high)
    # the binomial tail of 500 draws at chance 1e-6, and what the central limit may cost
    least = binom.ppf(1e-6, n_hashes, 0.95) - (0 if hash_.family == "cosine" else 10)
    assert (hits >= least).all()


@pytest.mark.parametrize(
    "hasher",
    [
        KernelHasher(256),
        KernelHasher(256, dither=False),
        LeeHasher(128, 10),
        make_hasher(96),
        make_hasher(1024),
    ],
)
def test_fitted_intervals_cover_95_percent_of_held_out_pairs(rng, hasher) -> None:
    scale = np.geomspace(2, 0.2, 16)
    X = (rng.standard_normal((40, 16))[rng.integers(0, 40, 4500)] * 1.5) * scale
    X += 0.7 * rng.standard_normal(X.shape) * scale
    hasher.fit(X[:1500])
    calibration = Calibration.fit(hasher.hash_, X[1500:3500], rng)
    code, true = held_out_pairs(hasher.hash_, X[3500:], rng)
    assert coverage(calibration.estimate(code), true) == pytest.approx(0.95, abs=0.015)


DATA = {
    "lattice": lambda rng, n: (rng.random((n, 48)) < 0.1).astype(np.float32),
    "counts": lambda rng, n: rng.poisson(1.5, (n, 24)).astype(np.float32),
    "heavy tails": lambda rng, n: rng.standard_t(2, (n, 24)),
    "clusters": lambda rng, n: (
        3 * np.random.default_rng(1).standard_normal((40, 24))[rng.integers(0, 40, n)]
        + rng.standard_normal((n, 24))
    ),
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("bits", [96, 256, 512])
def test_intervals_hold_for_what_an_answer_shows(rng, data, bits) -> None:
    """The nearest by code, of queries that are new, at every rank: 95 %, and not much wider."""
    X, queries = DATA[data](rng, 5000), DATA[data](rng, 400)
    hash_ = make_hasher(bits).fit(X[:2000]).hash_
    calibration = Calibration.fit(hash_, X[2000:], rng)
    code = code_distances(hash_.encode(queries), hash_.encode(X))
    order = np.argsort(code, axis=1, kind="stable")[:, :50]
    true = np.linalg.norm(queries[:, None].astype(float) - X[order], axis=2)
    found = calibration.estimate(np.take_along_axis(code, order, axis=1))
    assert ((found.low <= found.estimate) & (found.estimate <= found.high)).all()
    within = (found.low <= true) & (true <= found.high)
    for rank in (1, 10, 50):
        # 400 queries know a share to .011: three of those; answers of one query err alike
        assert within[:, :rank].mean() == pytest.approx(0.96, abs=0.04)


def test_rows_of_one_code_have_an_interval_of_their_own(rng) -> None:
    """Copies are told as near as they are, and what lies next to them blurs nothing."""
    X = DATA["lattice"](rng, 3000)
    hash_ = make_hasher(128).fit(X[:1000]).hash_
    assert np.unique(X[1000:], axis=0).shape[0] < 1950
    copies = Calibration.fit(hash_, X[1000:], rng).estimate([0])
    assert copies.high[0] < 0.05  # others are 1 off at least


def test_neighbours_are_the_nearest_of_other_groups(rng) -> None:
    X = rng.standard_normal((90, 6)).astype(np.float32)
    group = np.arange(90) // 9
    hash_ = LeeHasher(32, 10).fit(X).hash_
    found = nearest_pairs(hash_, X, np.random.default_rng(3), group)
    at = np.random.default_rng(3).permutation(90)
    codes, x, g = hash_.encode(X[at]), X[at].astype(float), group[at]
    table = code_distances(codes, codes).astype(float)
    for own in range(len(found.code)):
        others = np.flatnonzero(g != g[own])
        k = found.code.shape[1]
        assert found.code[own].tolist() == sorted(table[own, others])[:k]
        known = {(table[own, j], round(float(np.linalg.norm(x[own] - x[j])), 6)) for j in others}
        shown = zip(found.code[own].tolist(), found.true[own].tolist(), strict=True)
        assert {(c, round(t, 6)) for c, t in shown} <= known
    alone = nearest_pairs(hash_, X, rng, np.zeros(90))  # one patient: all are neighbours
    assert alone.code.shape == (90, 50)
    with pytest.raises(InputError, match="groups have shape"):
        nearest_pairs(hash_, X, rng, group[:5])


@pytest.mark.parametrize("hasher", [make_hasher(96), make_hasher(768), KernelHasher(64)])
def test_the_table_of_code_distances_is_exact(rng, hasher) -> None:
    X = rng.standard_normal((80, 12))
    codes = hasher.fit(X).hash_.encode(X)
    own = np.array([3, 0, 70])
    np.testing.assert_array_equal(_table(codes, own), code_distances(codes[own], codes))


@pytest.fixture(scope="module")
def real_embeddings(shared_data):
    """Principal components of real slices, by kind; rows in the order of the patients."""
    slices = {"ct": [], "dose": []}
    for path in sorted((shared_data / "openkbp" / "train").glob("pt_*.npz"))[:100]:
        with np.load(path) as case:
            planned = case["dose"].max(axis=(0, 1)) > 500
            for kind, found in slices.items():
                image = case[kind][:, :, planned].astype(np.float32)
                found.append(image.reshape(32, 4, 32, 4, -1).mean(axis=(1, 3)).reshape(1024, -1).T)
    result = {}
    for kind, found in slices.items():
        rows = np.concatenate(found)
        rows -= rows.mean(axis=0)
        _, _, axes = np.linalg.svd(rows[::4], full_matrices=False)
        result[kind] = rows @ axes[:64].T
    return result


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ct", "dose"])
@pytest.mark.parametrize(
    "hasher",
    [KernelHasher(1024), KernelHasher(1024, dither=False), make_hasher(128), make_hasher()],
)
def test_coverage_is_95_percent_on_real_embeddings(rng, real_embeddings, kind, hasher) -> None:
    """Hash, calibration and test each on slices of their own.

    Bounds that hold among the nearest, too, hold slightly more of random pairs.
    """
    X = rng.permutation(real_embeddings[kind])
    quarter = len(X) // 4
    hasher.fit(X[:quarter])
    calibration = Calibration.fit(hasher.hash_, X[quarter : 3 * quarter], rng)
    code, true = held_out_pairs(hasher.hash_, X[3 * quarter :], rng)
    assert 0.94 <= coverage(calibration.estimate(code), true) <= 0.98


def test_codes_say_when_they_cannot_tell() -> None:
    hash_ = CosineHash.draw(RadialKernel([1.0]), 3, 1000, 0)
    found = Calibration.of(hash_).estimate([0, 100, 395, 405, 600])
    np.testing.assert_array_equal(found.beyond_range, [False, False, True, True, True])
    assert np.isinf(found.high[2:]).all()
    assert np.isfinite(found.low).all()
    assert (found.low[2:] > found.high[1]).all()  # "at least so far" still says something
    assert (found.low[0], found.estimate[0]) == (0.0, 0.0)


def test_estimates_invert_the_closed_form_and_stay_in_order(rng) -> None:
    for hash_ in (
        CosineHash.draw(RadialKernel([0.1, 3.0]), 3, 500, 0),
        LeeHash.draw(3, 200, 10, 2.0, 0),
        LeeHash.draw(3, 200, 8, 0.3, 0, kernel=RadialKernel([0.2]), n_features=400),
    ):
        curve = response(hash_)
        r = np.geomspace(0.05, 1.0, 20)
        np.testing.assert_allclose(curve.invert(curve.mean_at(r)), r, rtol=1e-3)
        found = Calibration.of(hash_).estimate(np.arange(0, 150))
        assert (np.diff(found.estimate) >= 0).all()
        assert (found.low <= found.estimate).all()
        assert (found.estimate <= found.high).all()


@pytest.mark.parametrize("fitted", [False, True])
def test_a_calibration_survives_json(rng, fitted) -> None:
    X = rng.standard_normal((500, 4))
    hash_ = KernelHasher(128).fit(X).hash_
    calibration = Calibration.fit(hash_, X, rng) if fitted else Calibration.of(hash_)
    text = calibration.to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    again = Calibration.from_json(text)
    for a, b in zip(calibration.estimate([0, 7, 90]), again.estimate([0, 7, 90]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.to_json() == text
    for bad in ("{}", "[]", "nonsense", text.replace('"version": 1', '"version": 2')):
        with pytest.raises(InputError, match="calibration"):
            Calibration.from_json(bad)


@pytest.mark.parametrize(
    ("q", "dither", "efficiency"),
    [(2, True, 0.218), (2, False, 0.395), (4, True, 0.887), (10, True, 1.459), (16, True, 1.607)],
)
def test_the_bits_planner_follows_the_efficiency_table(q, dither, efficiency) -> None:
    plan = bits_planner(0.05, 2.0, q, dither)
    assert plan.n_symbols == pytest.approx(1 / (efficiency * 0.05**2), rel=0.01)
    assert plan.error <= 0.05
    half = bits_planner(0.025, 2.0, q, dither)
    assert half.n_symbols == pytest.approx(4 * plan.n_symbols, rel=0.01)


@pytest.mark.parametrize(("q", "dither"), [(2, True), (2, False), (8, True)])
def test_a_planned_code_has_the_planned_error(rng, q, dither) -> None:
    plan = bits_planner(0.04, 3.0, q, dither)
    x, step = rng.standard_normal((2, 10))
    pair = np.vstack([x, x + 3.0 * step / np.linalg.norm(step)])
    estimates = []
    for seed in range(400):
        if q == 2:
            hash_ = CosineHash.draw(
                RadialKernel([plan.gamma]),
                10,
                plan.n_symbols,
                seed,
                dither=dither,
                orthogonal=False,
            )
        else:
            hash_ = LeeHash.draw(10, plan.n_symbols, q, plan.scale, seed, orthogonal=False)
        if seed == 0:
            curve = response(hash_)
        codes = hash_.encode(pair)
        distance = code_distances(codes[:1], codes[1:])[0, 0]
        estimates.append(float(curve.invert(distance / plan.n_symbols)))
    # a standard deviation from 400 draws is known to 1/sqrt(800); five of those
    assert np.std(estimates) / 3.0 == pytest.approx(plan.error, rel=5 / math.sqrt(800))
    assert np.mean(estimates) == pytest.approx(3.0, rel=5 * plan.error / math.sqrt(400) + 0.01)


def test_the_range_of_view_tells_a_blind_code_from_a_seeing_one(rng) -> None:
    X = 7.0 * rng.standard_normal((300, 30))
    distances = np.linalg.norm(X[:150] - X[150:], axis=1)
    blind = KernelHasher(512, RadialKernel([1.0])).fit(X)
    seeing = KernelHasher(512, RadialKernel([0.1 / np.median(distances) ** 2])).fit(X)
    assert range_of_view(blind.hash_, distances) == 1.0
    assert range_of_view(seeing.hash_, distances) == 0.0
    assert range_of_view(make_hasher(64).fit(X).hash_, distances) == 0.0


def test_sampled_pairs_are_pairs(rng) -> None:
    X = rng.standard_normal((100, 5)).astype(np.float32)
    hash_ = KernelHasher(64).fit(X).hash_
    code, true = sample_pairs(hash_, X, rng)
    assert (np.diff(code) >= 0).all()
    symbols = hash_.encode(X).symbols()
    Y = X.astype(float)
    known = {
        (int(np.sum(symbols[i] != symbols[j])), round(float(np.linalg.norm(Y[i] - Y[j])), 6))
        for i, j in itertools.combinations(range(100), 2)
    }
    found = [(int(c), round(float(t), 6)) for c, t in zip(code, true, strict=True)]
    assert set(found) <= known
    assert len(set(found)) == len(found) > 40 * 100


@pytest.mark.parametrize(
    ("action", "word"),
    [
        (lambda h, c, g: Calibration.of(h, confidence=1.0), "confidence"),
        (lambda h, c, g: Calibration.fit(h, np.ones((5, 2)), g), "at least 40"),
        (lambda h, c, g: Calibration.fit(h, np.full((50, 2), np.nan), g), "NaN"),
        (lambda h, c, g: c.estimate([-1]), ">= 0"),
        (lambda h, c, g: c.estimate([np.nan]), ">= 0"),
        (lambda h, c, g: range_of_view(h, []), "finite"),
        (lambda h, c, g: bits_planner(0.0, 1.0), "error"),
        (lambda h, c, g: bits_planner(0.1, -1.0), "at_distance"),
        (lambda h, c, g: bits_planner(0.1, 1.0, q=1), "q must"),
        (lambda h, c, g: Calibration.of(make_hasher(8).fit(np.eye(4)).hash_), "Calibration.fit"),
    ],
)
def test_bad_input_is_refused_by_name(rng, action, word) -> None:
    hash_ = CosineHash.draw(RadialKernel([1.0]), 2, 50, 0)
    with pytest.raises(InputError, match=word):
        action(hash_, Calibration.of(hash_), rng)
