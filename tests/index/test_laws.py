"""Laws that hold for every exact engine, whatever the codes are."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.problems import assert_same_hits

from isohash.index.flat import FlatIndex
from isohash.index.reference import search_reference
from isohash.records import Codes, Hits


@st.composite
def problems(draw: st.DrawFn) -> tuple[Codes, Codes, int]:
    """Database, queries and k. Few different symbols and repeated rows make ties common."""
    q, metric = draw(
        st.sampled_from([(2, "hamming"), (4, "lee"), (7, "lee"), (20, "lee"), (12, "squared_lee")])
    )
    length = draw(st.integers(1, 150))
    n, n_queries = draw(st.integers(1, 60)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = rng.integers(0, q, (draw(st.integers(1, 20)), length))
    database = kinds[rng.integers(0, len(kinds), n)]
    queries = rng.integers(0, q, (n_queries, length))
    some = rng.random(n_queries) < 0.5
    queries[some] = database[rng.integers(0, n, some.sum())]
    k = draw(st.integers(0, n + 3))
    return (
        Codes.from_symbols(database, q, metric),
        Codes.from_symbols(queries, q, metric),
        k,
    )


def search(database: Codes, queries: Codes, k: int) -> Hits:
    return FlatIndex.of(database, threads=1).search(queries, k)


law = settings(max_examples=60, deadline=None)


@law
@given(problems())
def test_hits_are_the_references(problem: tuple[Codes, Codes, int]) -> None:
    database, queries, k = problem
    assert_same_hits(search(database, queries, k), search_reference(queries, database, k))


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_shifting_every_symbol_changes_nothing(
    problem: tuple[Codes, Codes, int], seed: int
) -> None:
    # For bits this is the law of the XOR mask.
    database, queries, k = problem
    shift = np.random.default_rng(seed).integers(0, database.q, database.length)

    def shifted(codes: Codes) -> Codes:
        return Codes.from_symbols((codes.symbols() + shift) % codes.q, codes.q, codes.metric)

    assert_same_hits(search(shifted(database), shifted(queries), k), search(database, queries, k))


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_permuting_positions_changes_nothing(problem: tuple[Codes, Codes, int], seed: int) -> None:
    database, queries, k = problem
    order = np.random.default_rng(seed).permutation(database.length)

    def permuted(codes: Codes) -> Codes:
        return Codes.from_symbols(codes.symbols()[:, order], codes.q, codes.metric)

    assert_same_hits(search(permuted(database), permuted(queries), k), search(database, queries, k))


@law
@given(problems())
def test_every_code_finds_itself_or_an_earlier_twin_first(
    problem: tuple[Codes, Codes, int],
) -> None:
    database, _, _ = problem
    hits = search(database, database, 1)
    assert (hits.distances == 0).all()
    found = hits.ids[:, 0]
    np.testing.assert_array_equal(database.packed[found], database.packed)
    assert (found <= np.arange(len(database))).all()


@law
@given(problems())
def test_a_batch_equals_its_queries_one_by_one(problem: tuple[Codes, Codes, int]) -> None:
    database, queries, k = problem
    batch = search(database, queries, k)
    for i in range(len(queries)):
        one = search(database, queries[i : i + 1], k)
        np.testing.assert_array_equal(one.ids[0], batch.ids[i])
        np.testing.assert_array_equal(one.distances[0], batch.distances[i])


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_insertion_order_changes_positions_only(
    problem: tuple[Codes, Codes, int], seed: int
) -> None:
    database, queries, k = problem
    order = np.random.default_rng(seed).permutation(len(database))
    index = FlatIndex(database.length, database.q, database.metric)
    index.add(database[order], ids=order)
    hits, expected = index.search(queries, k), search(database, queries, k)
    np.testing.assert_array_equal(hits.distances, expected.distances)
    for ids, near, row in zip(hits.ids, hits.distances, expected.ids, strict=True):
        inner = near < near[-1] if len(near) else near < 0
        # Within a distance the order is that of insertion; at the last one ties may be cut.
        assert set(ids[inner]) == set(row[inner])


@law
@given(problems(), st.data())
def test_a_mask_equals_an_index_of_the_rest(
    problem: tuple[Codes, Codes, int], data: st.DataObject
) -> None:
    database, queries, k = problem
    allowed = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(database), max_size=len(database)))
    )
    kept = np.flatnonzero(allowed)
    hits = FlatIndex.of(database).search(queries, k, allowed=allowed)
    expected = search(database[kept], queries, k)
    np.testing.assert_array_equal(hits.ids, kept[expected.ids])
    np.testing.assert_array_equal(hits.distances, expected.distances)


@law
@given(problems())
def test_range_search_continues_where_the_k_nearest_end(
    problem: tuple[Codes, Codes, int],
) -> None:
    database, queries, k = problem
    hits = search(database, queries, max(1, k))
    index = FlatIndex.of(database)
    for i in range(len(queries)):
        ids, near = index.range_search(queries[i : i + 1], int(hits.distances[i, -1]))[0]
        n = hits.ids.shape[1]
        np.testing.assert_array_equal(ids[:n], hits.ids[i])
        assert (near[n:] == hits.distances[i, -1]).all()


@settings(max_examples=15, deadline=None)
@given(problems())
def test_saved_codes_search_the_same(problem: tuple[Codes, Codes, int]) -> None:
    database, queries, k = problem
    with TemporaryDirectory() as folder:
        path = Path(folder) / "codes.npz"
        database.save(path)
        assert_same_hits(search(Codes.load(path), queries, k), search(database, queries, k))


@pytest.mark.parametrize("length", [64, 96])
def test_codes_in_foreign_memory_search_the_same(rng: np.random.Generator, length: int) -> None:
    # Strided, read-only and unaligned memory, as of a mapped file.
    n_bytes = length // 8
    buffer = rng.integers(0, 256, 1 + 50 * 2 * n_bytes, dtype=np.uint8)
    buffer.flags.writeable = False
    unaligned = buffer[1 : 1 + 50 * n_bytes].reshape(50, n_bytes)
    strided = buffer[: 50 * 2 * n_bytes].reshape(50, 2 * n_bytes)[:, ::2]
    queries = Codes(rng.integers(0, 256, (9, n_bytes), dtype=np.uint8), length)
    for packed in (unaligned, strided):
        database = Codes(packed, length)
        expected = search_reference(queries, database, 7)
        assert_same_hits(search(database, queries, 7), expected)
        assert_same_hits(
            search(database, queries[:1], 7),
            Hits(*(x[:1] for x in (expected.ids, expected.distances))),
        )
