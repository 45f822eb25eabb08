"""Multi-index hashing gives the flat index's answers, by looking at fewer codes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.problems import assert_same_hits, random_codes, tied_codes

from isohash import native
from isohash.errors import InputError
from isohash.index import multi_index
from isohash.index.flat import FlatIndex
from isohash.index.multi_index import MultiIndex
from isohash.index.reference import search_reference
from isohash.records import Codes


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables answer however many codes they meet, so that small problems test them too."""
    monkeypatch.setattr(multi_index, "MOST_TOUCHED", 1e6)


def near_codes(rng: np.random.Generator, codes: Codes, n: int, flips: int) -> Codes:
    """Queries that differ from stored codes in up to `flips` bits."""
    bits = codes.symbols()[rng.integers(0, len(codes), n)]
    for row in bits:
        row[rng.integers(0, codes.length, flips)] ^= 1
    return Codes.from_symbols(bits, 2)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("length", [4, 5, 8, 17, 30, 48, 61, 63, 64])
@pytest.mark.parametrize("threads", [1, 3])
def test_answers_are_the_references(rng: np.random.Generator, length: int, threads: int) -> None:
    database = random_codes(rng, 600, length)
    queries = near_codes(rng, database, 5, 3)
    index = MultiIndex.of(database, threads=threads)
    for k in (0, 1, 10, 599, 700):
        assert_same_hits(index.search(queries, k), search_reference(queries, database, k))


@pytest.mark.usefixtures("patient")
def test_ties_go_to_the_lower_position(rng: np.random.Generator) -> None:
    database = tied_codes(rng, 900, 64, 2, "hamming")
    queries = near_codes(rng, database, 6, 9)
    assert_same_hits(
        MultiIndex.of(database).search(queries, 300), search_reference(queries, database, 300)
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 64), st.integers(1, 80), st.integers(0, 90), st.integers(0, 2**32 - 1))
def test_it_agrees_with_the_flat_index_under_an_xor_mask(
    length: int, n: int, k: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (n, length))
    mask = rng.integers(0, 2, length)
    plain, masked = Codes.from_symbols(bits, 2), Codes.from_symbols(bits ^ mask, 2)
    assert_same_hits(MultiIndex.of(masked).search(masked, k), FlatIndex.of(plain).search(plain, k))


@pytest.mark.skipif(not native.available(), reason="no compiled extension")
def test_near_queries_look_at_few_codes(rng: np.random.Generator) -> None:
    n = 300_000
    database = Codes(rng.integers(0, 256, (n, 8), dtype=np.uint8), 64)
    queries = near_codes(rng, database, 20, 2)
    index = MultiIndex.of(database)
    hits, touched = index.search_counted(queries, 1)
    assert_same_hits(hits, FlatIndex.of(database).search(queries, 1))
    # Distance 2 is settled by buckets within 0 of the query's, n / 2^16 codes each, in 4 tables.
    assert touched.max() < 4 * (n / 2**16 + 40)


@pytest.mark.skipif(not native.available(), reason="no compiled extension")
def test_far_queries_fall_back_to_the_scan(rng: np.random.Generator) -> None:
    database = random_codes(rng, 2000, 64)
    far = Codes.from_symbols(1 - database.symbols()[:3], 2)
    hits, touched = MultiIndex.of(database).search_counted(far, 5)
    assert_same_hits(hits, search_reference(far, database, 5))
    assert (touched == 2000).all()


def test_other_codes_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="4 to 64 bits, got 65 symbols"):
        MultiIndex.of(random_codes(rng, 3, 65))
    with pytest.raises(InputError, match="q = 4"):
        MultiIndex.of(random_codes(rng, 3, 16, q=4))
    with pytest.raises(InputError, match="index holds hamming codes of 32"):
        MultiIndex.of(random_codes(rng, 3, 32)).search(random_codes(rng, 1, 64), 1)
