"""Codes whose positions use unequal alphabets are searched by their symbols."""

from __future__ import annotations

import numpy as np
import pytest
from tests.index.problems import assert_same_hits, uneven_codes

from isohash.alphabets import Alphabets
from isohash.errors import InputError
from isohash.index.flat import FlatIndex, distances
from isohash.index.reference import distances_reference, search_reference
from isohash.records import Codes

# Symbols in half bytes, in bytes and beyond; circles that wrap, and ones too large to.
CASES = [
    (15, 31, "squared_lee"),
    (15, 16, "squared_lee"),
    (15, 40, "lee"),
    (100, 511, "squared_lee"),
    (255, 511, "squared_lee"),
    (255, 511, "lee"),
    (255, 511, "hamming"),
    (255, 256, "squared_lee"),
    (255, 300, "lee"),
    (700, 1401, "squared_lee"),
    (700, 701, "lee"),
    (700, 701, "squared_lee"),
    (700, 701, "hamming"),
    (2633, 5267, "squared_lee"),
    (32767, 65535, "lee"),
    (40000, 80001, "lee"),
]


@pytest.mark.parametrize(("top", "q", "metric"), CASES)
@pytest.mark.parametrize("n_queries", [1, 12, 31])
def test_hits_are_the_references(
    rng: np.random.Generator, level: str, top: int, q: int, metric: str, n_queries: int
) -> None:
    widths = rng.integers(1, 4, 77).tolist()
    codes = uneven_codes(rng, 150, widths, top, q, metric)
    database, queries = codes[:-n_queries], codes[-n_queries:]
    hits = FlatIndex.of(database).search(queries, 9)
    assert_same_hits(hits, search_reference(queries, database, 9))
    expected = distances_reference(queries, database)
    np.testing.assert_array_equal(distances(queries, database), expected)


@pytest.mark.parametrize(("length", "top"), [(3000, 255), (128, 2633), (33, 5000), (1, 32766)])
def test_extreme_symbols_do_not_overflow(level: str, length: int, top: int) -> None:
    values = np.tile([0, top], length).astype(np.uint16)
    alphabets = Alphabets(np.full(length, 1, np.uint8), values)
    low, high = (
        Codes(
            alphabets.pack(np.full((n, length), index, np.uint16)),
            length,
            2 * top + 1,
            "squared_lee",
            alphabets,
        )
        for index, n in ((0, 19), (1, 41))
    )
    assert (distances(low, high) == length * top**2).all()
    assert (distances(high[:1], low) == length * top**2).all()


def test_symbols_beyond_two_bytes_are_refused() -> None:
    with pytest.raises(InputError, match="at most 65536, got q = 70000"):
        FlatIndex(3, q=70_000)


def test_symbols_that_an_index_cannot_hold_are_refused(rng: np.random.Generator) -> None:
    small, large = (uneven_codes(rng, 5, [2, 3], top, 511, "lee") for top in (15, 200))
    with pytest.raises(InputError, match="symbols up to 15, got codes with symbols up to 200"):
        FlatIndex.of(small).search(large, 1)
    np.testing.assert_array_equal(distances(small, large), distances_reference(small, large))
