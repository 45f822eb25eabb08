"""Records keep their promises: packing round trips, and bad input is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohash import native
from isohash.alphabets import Alphabets, bits_per_symbol, pack_symbols, unpack_symbols
from isohash.errors import InputError
from isohash.records import Codes, Volume


@given(st.integers(2, 300), st.integers(0, 7), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_symbols_survive_packing(q: int, n: int, length: int, seed: int) -> None:
    symbols = np.random.default_rng(seed).integers(0, q, (n, length))
    codes = Codes.from_symbols(symbols, q)
    assert codes.packed.shape == (n, -(-length * bits_per_symbol(q) // 8))
    np.testing.assert_array_equal(codes.symbols(), symbols)


def test_binary_codes_have_the_layout_of_packbits(rng: np.random.Generator) -> None:
    bits = rng.integers(0, 2, (5, 37))
    np.testing.assert_array_equal(Codes.from_symbols(bits, 2).packed, np.packbits(bits, axis=1))


def test_codes_survive_saving(tmp_path, rng: np.random.Generator) -> None:
    codes = Codes.from_symbols(rng.integers(0, 10, (4, 9)), 10, "squared_lee")
    codes.save(tmp_path / "codes")
    again = Codes.load(tmp_path / "codes")
    assert (again.length, again.q, again.metric) == (9, 10, "squared_lee")
    np.testing.assert_array_equal(again.packed, codes.packed)


def test_codes_keep_the_digest_of_their_hash(tmp_path) -> None:
    codes = Codes(np.zeros((4, 1), np.uint8), 8, hash_digest="abc")
    codes.save(tmp_path / "codes")
    assert Codes.load(tmp_path / "codes").hash_digest == codes[1:].hash_digest == "abc"


@pytest.mark.parametrize(
    "symbols",
    [[[0.2, 0.7, 1.0, 0.0]], [[np.nan, 1]], [[1 + 0j]], [["1"]], [[None]], [[1.0, 0.0]]],
    ids=str,
)
@pytest.mark.parametrize("q", [2, 10])
def test_symbols_that_are_no_integers_are_refused(symbols, q: int) -> None:
    with pytest.raises(InputError, match="symbols must be integers"):
        Codes.from_symbols(symbols, q)


def drawn_alphabets(rng: np.random.Generator, length: int, q: int) -> Alphabets:
    widths = rng.integers(1, 8, length).astype(np.uint8)
    values = [np.sort(rng.choice(q, 1 << int(w), replace=False)) for w in widths]
    return Alphabets(widths, np.concatenate(values).astype(np.uint16))


@given(st.integers(1, 40), st.integers(0, 7), st.integers(0, 2**32 - 1))
def test_unequal_alphabets_survive_packing(length: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    alphabets = drawn_alphabets(rng, length, 300)
    sizes = 1 << alphabets.widths.astype(int)
    indices = rng.integers(0, sizes, (n, length)).astype(np.uint16)
    codes = Codes(alphabets.pack(indices), length, 300, "squared_lee", alphabets)
    assert codes.stored_bits == -(-int(alphabets.widths.sum()) // 8) * 8
    np.testing.assert_array_equal(alphabets.unpack(codes.packed), indices)
    expected = alphabets.values[alphabets.starts + indices]
    np.testing.assert_array_equal(codes.symbols(), expected)
    np.testing.assert_array_equal(codes[1:].symbols(), expected[1:])


def test_alphabets_survive_saving(tmp_path, rng: np.random.Generator) -> None:
    alphabets = drawn_alphabets(rng, 9, 200)
    codes = Codes(alphabets.pack(np.ones((3, 9), np.uint16)), 9, 200, "squared_lee", alphabets)
    codes.save(tmp_path / "codes")
    np.testing.assert_array_equal(Codes.load(tmp_path / "codes").symbols(), codes.symbols())


def test_alphabets_that_do_not_fit_the_code_are_refused() -> None:
    two = Alphabets(np.array([1, 1], np.uint8), np.array([0, 5, 1, 2], np.uint16))
    packed = np.zeros((1, 1), np.uint8)
    for length, q in ((3, 9), (2, 5)):
        with pytest.raises(InputError, match="alphabets"):
            Codes(packed, length, q, "squared_lee", two)
    with pytest.raises(InputError, match="cannot hold"):
        Alphabets(np.array([2], np.uint8), np.array([1, 2], np.uint16))
    with pytest.raises(InputError, match="16 bits"):
        Alphabets(np.array([0], np.uint8), np.array([1], np.uint16))


@pytest.mark.parametrize(
    ("symbols", "q", "word"), [([[0, 3]], 3, "0..2"), ([[-1, 0]], 3, "0..2"), ([[0]], 1, "q must")]
)
def test_bad_symbols_are_refused_by_name(symbols, q, word) -> None:
    with pytest.raises(InputError, match=word):
        Codes.from_symbols(symbols, q)


def test_spacing_follows_the_array_axes() -> None:
    affine = np.array([[0, 0, 1.0, 0], [0, 2.0, 0, 0], [-5.0, 0, 0, 0], [0, 0, 0, 1]])
    volume = Volume(np.zeros((2, 3, 4)), affine)
    assert volume.spacing_mm == (5.0, 2.0, 1.0)
    assert volume.voxel_cc == pytest.approx(0.01)


@pytest.mark.parametrize("compiled", [True, False])
def test_symbols_of_unequal_widths_come_back(rng, monkeypatch, compiled: bool) -> None:
    if compiled and not native.available():
        pytest.skip("no compiled extension")
    monkeypatch.setattr(native, "available", lambda: compiled)
    widths = rng.integers(1, 17, 75).astype(np.uint8)
    symbols = (rng.integers(0, 2**16, (9, 75)) & ((1 << widths.astype(int)) - 1)).astype(np.uint16)
    packed = pack_symbols(symbols, widths)
    bits = "".join(f"{x:0{width}b}" for x, width in zip(symbols[4], widths, strict=True))
    expected = np.packbits(np.array(list(bits), dtype=int))
    np.testing.assert_array_equal(packed[4], expected)
    np.testing.assert_array_equal(unpack_symbols(packed, widths), symbols)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize(("n", "threads"), [(0, 1), (1, 1), (2, 3), (5, 1), (2500, 3)])
def test_stored_symbols_are_looked_up(
    rng, monkeypatch, compiled: bool, grouped: bool, n: int, threads: int
) -> None:
    if compiled and not native.available():
        pytest.skip("no compiled extension")
    monkeypatch.setattr(native, "available", lambda: compiled)
    for n_groups in (1, 2, 23):  # rows of less than a byte, and of many
        widths = rng.integers(1, 17 if n_groups == 2 else 6, n_groups).astype(np.uint8)
        spans = rng.integers(1, 5, n_groups).astype(np.uint8) if grouped else None
        every = np.ones(n_groups, int) if spans is None else spans.astype(int)
        tables = [
            rng.integers(0, 2**16, (1 << int(w), s)) for w, s in zip(widths, every, strict=True)
        ]
        values = np.concatenate([table.ravel() for table in tables]).astype(np.uint16)
        indices = rng.integers(0, 1 << widths.astype(int), (n, n_groups)).astype(np.uint16)
        alphabets = Alphabets(widths, values, spans)
        expected = np.hstack([table[indices[:, g]] for g, table in enumerate(tables)])
        packed = alphabets.pack(indices)
        np.testing.assert_array_equal(alphabets.symbols(packed, threads), expected)
