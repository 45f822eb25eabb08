"""Binary codes are the same bits however they are computed, and mean what the closed form says."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.hashing import projection
from isohash.hashing.cosine import CosineHash
from isohash.hashing.drawn import load_hash
from isohash.kernels.radial import RadialKernel


def drawn(rng, dim=24, n_bits=200, **options) -> CosineHash:
    kernel = options.pop("kernel", RadialKernel([0.05]))
    return CosineHash.draw(kernel, dim, n_bits, int(rng.integers(2**31)), **options)


def bits_of(packed, n_bits):
    return np.unpackbits(packed, axis=1, count=n_bits)


@pytest.mark.parametrize("dither", [True, False])
def test_bits_are_those_of_rational_arithmetic(rng, dither) -> None:
    """The oracle computes u as a fraction, rounded once to float64: the definition."""
    hash_ = drawn(rng, dim=5, n_bits=16, dither=dither, center=rng.standard_normal(5))
    X = rng.standard_normal((20, 5)).astype(np.float32)
    x = X - hash_.center
    expected = np.zeros((20, 16), dtype=bool)
    for i in range(20):
        for j in range(16):
            column = hash_.frequencies[:, j].tolist()
            terms = [Fraction(a) * Fraction(b) for a, b in zip(x[i].tolist(), column, strict=True)]
            u = float(sum(terms, Fraction(float(hash_.phases[j]))))
            expected[i, j] = abs(u - round(u)) < float(hash_.thresholds[j])
    np.testing.assert_array_equal(bits_of(hash_.encode(X).packed, 16), expected)


def test_bits_follow_the_printed_formula(rng) -> None:
    """sign(cos(<omega, x> + b) + t) in plain float64 agrees except where it is a near tie."""
    hash_ = drawn(rng, n_bits=500)
    X = rng.standard_normal((300, 24)).astype(np.float32)
    angle = 2 * np.pi * (X.astype(float) @ hash_.frequencies.astype(float) + hash_.phases)
    value = np.cos(angle) - np.cos(2 * np.pi * hash_.thresholds.astype(float))
    clear = np.abs(value) > 1e-9
    assert clear.mean() > 0.999
    bits = bits_of(hash_.encode(X).packed, 500)
    np.testing.assert_array_equal(bits[clear], (value > 0)[clear])


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_codes_do_not_depend_on_the_batch(rng, batch) -> None:
    hash_ = drawn(rng)
    X = (1000 * rng.standard_normal((130, 24))).astype(np.float32)  # far from the origin: near ties
    whole = hash_.encode(X).packed
    parts = [hash_.encode(X[i : i + batch]).packed for i in range(0, len(X), batch)]
    np.testing.assert_array_equal(np.vstack(parts), whole)


def test_codes_do_not_depend_on_the_memory_layout_or_the_input_type(rng) -> None:
    hash_ = drawn(rng)
    X = (300 * rng.standard_normal((50, 24))).astype(np.float32)
    whole = hash_.encode(X).packed
    backwards = np.asfortranarray(X[::-1, ::-1])[::-1, ::-1]
    padded = np.zeros((50, 60), np.float32)
    padded[:, ::2][:, :24] = X
    readonly = X.copy()
    readonly.setflags(write=False)
    for same in (np.asfortranarray(X), backwards, padded[:, ::2][:, :24], readonly, X.tolist()):
        np.testing.assert_array_equal(hash_.encode(same).packed, whole)
    np.testing.assert_array_equal(hash_.encode(X.astype(np.float64)).packed, whole)


def test_float64_input_is_rounded_to_float32_first(rng) -> None:
    hash_ = drawn(rng)
    X = 1e4 * rng.standard_normal((50, 24))
    np.testing.assert_array_equal(hash_.encode(X).packed, hash_.encode(X.astype(np.float32)).packed)


@pytest.mark.parametrize("order", ["permuted", "float64", "naive"])
def test_codes_do_not_depend_on_how_the_product_is_summed(rng, monkeypatch, order) -> None:
    """Other BLAS libraries sum in other orders: the bits stay."""
    hash_ = drawn(rng, dim=96)
    X = (500 * rng.standard_normal((60, 96))).astype(np.float32)
    expected = hash_.encode(X).packed
    permutation = rng.permutation(96)

    def product(x, w):
        if order == "permuted":
            return np.ascontiguousarray(x[:, permutation]) @ np.ascontiguousarray(w[permutation])
        if order == "float64":
            return (x.astype(float) @ w.astype(float)).astype(np.float32)
        total = np.zeros((len(x), w.shape[1]), np.float32)
        for i in range(x.shape[1]):
            total += x[:, i, None] * w[i]
        return total

    monkeypatch.setattr(projection, "product", product)
    differing = np.mean(product(X, hash_.frequencies) != X @ hash_.frequencies)
    assert differing > 0.01  # the orders do differ, or this test shows nothing
    np.testing.assert_array_equal(hash_.encode(X).packed, expected)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_codes_survive_any_error_within_the_bound(rng, monkeypatch, sign) -> None:
    """The worst case: every projection off by the whole bound of a float32 product."""
    hash_ = drawn(rng, dim=96)
    X = (500 * rng.standard_normal((60, 96))).astype(np.float32)
    expected = hash_.encode(X).packed
    plain = projection.product

    def worst(x, w):
        m = len(w) * projection.UNIT32
        size = np.abs(x).astype(float) @ np.abs(w).astype(float)
        exact = x.astype(float) @ w.astype(float)
        return np.asarray(exact + sign * m / (1 - m) * size, np.float32)

    monkeypatch.setattr(projection, "product", worst)
    off = worst(X, hash_.frequencies) - plain(X, hash_.frequencies)
    assert np.abs(off).max() > 1e-3
    np.testing.assert_array_equal(hash_.encode(X).packed, expected)


def test_exact_ties_fall_on_the_same_side_everywhere() -> None:
    """|u - nearest integer| = threshold exactly: the bit is 0, with any order of summation."""
    zero = np.zeros(4, np.float32)
    hash_ = CosineHash(
        np.full((4, 1), 0.0625, np.float32),
        np.zeros(1, np.float32),
        np.full(1, 0.25, np.float32),
        zero,
        RadialKernel([1.0]),
        False,
    )
    X = [
        [1, 1, 1, 1],
        [1, 1, 1, 1 + 2.0**-20],
        [1, 1, 1, 1 - 2.0**-20],
        [-1, -1, -1, -1],
        [3, 3, 3, 3],
    ]
    np.testing.assert_array_equal(hash_.encode(X).symbols()[:, 0], [0, 0, 1, 0, 0])


def test_projections_too_large_for_float32_are_settled_all_the_same(rng) -> None:
    hash_ = drawn(rng, dim=3, n_bits=8, kernel=RadialKernel([1e30]))
    X = (1e30 * rng.standard_normal((4, 3))).astype(np.float32)
    codes = hash_.encode(X)
    np.testing.assert_array_equal(hash_.encode(X[2:3]).packed, codes.packed[2:3])


@pytest.mark.parametrize("dither", [True, False, "stratified"])
@pytest.mark.parametrize("orthogonal", [True, False])
def test_distance_shares_follow_the_closed_form(rng, dither, orthogonal) -> None:
    """Pairs at r: the mean over independent hashes lies within Hoeffding's band."""
    dim, n_bits, n_hashes = 16, 64, 200
    x = rng.standard_normal(dim)
    step = rng.standard_normal(dim)
    step /= np.linalg.norm(step)
    radii = np.array([0.3, 1.0, 2.0, 6.0])
    X = np.vstack([x, *(x + r * step for r in radii)])
    shares = np.zeros(len(radii))
    for _ in range(n_hashes):
        hash_ = drawn(
            rng,
            dim,
            n_bits,
            kernel=RadialKernel([0.1, 0.5]),
            orthogonal=orthogonal,
            dither=bool(dither),
            stratified=dither == "stratified",
        )
        bits = hash_.encode(X).symbols()
        shares += np.mean(bits[1:] != bits[0], axis=1) / n_hashes
    band = math.sqrt(math.log(2e9) / (2 * n_hashes))  # hashes are independent, bits need not be
    if not orthogonal and dither != "stratified":
        band /= math.sqrt(n_bits)
    np.testing.assert_allclose(shares, hash_.disagreement(radii), atol=band)


def test_orthogonal_directions_are_orthogonal_within_blocks(rng) -> None:
    w = drawn(rng, dim=10, n_bits=25).frequencies.astype(float)
    for block in (w[:, :10], w[:, 10:20], w[:, 20:]):
        gram = block.T @ block
        off = gram - np.diag(np.diagonal(gram))
        assert np.abs(off).max() < 1e-6 * np.diagonal(gram).max()


def test_a_hash_survives_saving_byte_for_byte(rng, tmp_path) -> None:
    hash_ = drawn(rng, center=rng.standard_normal(24), metadata={"r0": 1.5})
    hash_.save(tmp_path / "hash")
    again = load_hash(tmp_path / "hash")
    assert again.to_bytes() == hash_.to_bytes() == (tmp_path / "hash").read_bytes()
    assert load_hash(hash_.to_bytes()).metadata == hash_.metadata
    X = rng.standard_normal((40, 24))
    np.testing.assert_array_equal(again.encode(X).packed, hash_.encode(X).packed)
    np.testing.assert_array_equal(again.expected_distance([1, 2]), hash_.expected_distance([1, 2]))


def test_the_same_seed_draws_the_same_bytes() -> None:
    draws = [CosineHash.draw(RadialKernel([1.0]), 7, 30, seed).to_bytes() for seed in (3, 3, 4)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


@pytest.mark.parametrize("damage", ["cut", "text", "version", "family", "empty"])
def test_damaged_hash_files_are_refused_by_name(rng, tmp_path, damage) -> None:
    data = drawn(rng).to_bytes()
    data = {
        "cut": data[: len(data) // 2],
        "text": b"not a hash at all",
        "version": data.replace(b'\\"version\\": 1', b'\\"version\\": 9'),
        "family": data.replace(b"cosine", b"cosima"),
        "empty": b"",
    }[damage]
    (tmp_path / "hash").write_bytes(data)
    with pytest.raises(InputError, match="hash"):
        load_hash(tmp_path / "hash")


@pytest.mark.parametrize(
    ("X", "word"),
    [
        ([[np.nan] * 24], "NaN"),
        ([[np.inf] * 24], "infinity"),
        ([[1e300] * 24], "too large"),
        ([[0.0] * 23], "24 dimensions"),
        ([0.0] * 24, "reshape"),
        ([["a"] * 24], "numbers"),
        ([[1j] * 24], "Complex"),
    ],
)
def test_bad_embeddings_are_refused_by_name(rng, X, word) -> None:
    with pytest.raises(InputError, match=word):
        drawn(rng).encode(X)


def test_no_rows_give_no_codes(rng) -> None:
    codes = drawn(rng).encode(np.empty((0, 24)))
    assert codes.packed.shape == (0, 25)
