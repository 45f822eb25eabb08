"""The flat index against the reference, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from isohash import KernelHasher
from isohash.errors import InputError
from isohash.index.flat import FlatIndex, distances
from isohash.index.multi_index import MultiIndex
from isohash.index.prefix import PrefixIndex
from isohash.index.reference import distances_reference, search_reference
from isohash.index.segments import distances_to_cases, least_per_case
from isohash.records import Codes

KINDS = [
    (2, "hamming"),
    (2, "lee"),
    (3, "lee"),
    (4, "lee"),
    (5, "lee"),
    (8, "lee"),
    (10, "lee"),
    (16, "lee"),
    (17, "lee"),
    (256, "lee"),
    (300, "lee"),
    (4, "squared_lee"),
    (16, "squared_lee"),
    (50, "squared_lee"),
    (255, "squared_lee"),
    (256, "squared_lee"),
    (10, "hamming"),
]


def random_codes(rng: np.random.Generator, n: int, length: int, q: int, metric: str) -> Codes:
    return Codes.from_symbols(rng.integers(0, q, (n, length)), q, metric)


@pytest.mark.parametrize(("q", "metric"), KINDS)
@pytest.mark.parametrize("length", [1, 7, 64, 130])
def test_search_equals_the_reference(
    rng: np.random.Generator, q: int, metric: str, length: int
) -> None:
    database = random_codes(rng, 83, length, q, metric)
    queries = random_codes(rng, 5, length, q, metric)
    for k in (0, 1, 10, 83, 100):
        hits = FlatIndex.of(database).search(queries, k)
        expected = search_reference(queries, database, k)
        np.testing.assert_array_equal(hits.ids, expected.ids)
        np.testing.assert_array_equal(hits.distances, expected.distances)
        assert hits.ids.dtype == np.int64
        assert hits.distances.dtype == np.int32


@pytest.mark.parametrize(("q", "metric"), KINDS)
def test_distances_equal_the_reference(rng: np.random.Generator, q: int, metric: str) -> None:
    a, b = (random_codes(rng, n, 61, q, metric) for n in (9, 40))
    np.testing.assert_array_equal(distances(a, b), distances_reference(a, b))


@pytest.mark.parametrize(("q", "metric"), [(2, "hamming"), (6, "lee"), (30, "squared_lee")])
def test_range_search_finds_exactly_what_lies_within(
    rng: np.random.Generator, q: int, metric: str
) -> None:
    database, queries = (random_codes(rng, n, 40, q, metric) for n in (200, 6))
    table = distances_reference(queries, database)
    for radius in (0, int(np.quantile(table, 0.1)), int(table.max())):
        found = FlatIndex.of(database).range_search(queries, radius)
        assert len(found) == len(queries)
        for i, row in enumerate(table):
            ids, near = found[i]
            order = np.argsort(row, kind="stable")
            np.testing.assert_array_equal(ids, order[row[order] <= radius])
            np.testing.assert_array_equal(near, row[ids])


def test_ids_are_the_ones_given(rng: np.random.Generator) -> None:
    database = random_codes(rng, 30, 64, 2, "hamming")
    names = rng.permutation(1000)[:30]
    index = FlatIndex(64)
    index.add(database[:12], ids=names[:12])
    index.add(database[12:], ids=names[12:])
    assert len(index) == 30
    expected = search_reference(database, database, 4)
    np.testing.assert_array_equal(index.search(database, 4).ids, names[expected.ids])


def test_adding_in_parts_equals_adding_at_once(rng: np.random.Generator) -> None:
    database = random_codes(rng, 57, 100, 2, "hamming")
    index = FlatIndex(100)
    for start in range(0, 57, 10):
        index.add(database[start : start + 10])
    whole = FlatIndex.of(database).search(database, 7)
    np.testing.assert_array_equal(index.search(database, 7).ids, whole.ids)


def test_adding_leaves_the_callers_codes_alone(rng: np.random.Generator) -> None:
    database = random_codes(rng, 10, 64, 2, "hamming")
    before = database.packed.copy()
    index = FlatIndex.of(database[:4])
    index.add(random_codes(rng, 3, 64, 2, "hamming"))
    np.testing.assert_array_equal(database.packed, before)


def test_a_mask_is_applied_before_the_k_nearest_are_taken(rng: np.random.Generator) -> None:
    database, queries = (random_codes(rng, n, 32, 2, "hamming") for n in (120, 4))
    allowed = rng.random(120) < 0.1
    hits = FlatIndex.of(database).search(queries, 50, allowed=allowed)
    kept = np.flatnonzero(allowed)
    expected = search_reference(queries, database[kept], 50)
    np.testing.assert_array_equal(hits.ids, kept[expected.ids])
    np.testing.assert_array_equal(hits.distances, expected.distances)


def test_an_empty_index_answers_with_no_columns(rng: np.random.Generator) -> None:
    queries = random_codes(rng, 3, 64, 2, "hamming")
    assert FlatIndex(64).search(queries, 5).ids.shape == (3, 0)
    assert len(FlatIndex(64).range_search(queries, 5)[2][0]) == 0
    assert FlatIndex.of(queries).search(queries[:0], 2).ids.shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda index, codes: index.search(codes, -1), "k must not be negative"),
        (lambda index, codes: index.search(codes, 1.5), "k must be an integer"),
        (lambda index, codes: index.range_search(codes, -2), "radius must not be negative"),
        (lambda index, codes: index.add(codes, ids=[1]), "one per code"),
        (lambda index, codes: index.add(codes, ids=[5, 5, 6]), "5 twice"),
        (lambda index, codes: index.add(codes, ids=[7, 0, 8]), "0 twice"),
        (lambda index, codes: index.add(codes, ids=np.uint64([1, 2, 2**63])), "below 2"),
        (lambda index, codes: index.add(codes, ids=[1, 2, 2**70]), "3 integers"),
        (lambda index, codes: index.search(codes, 1, allowed=[True]), "mask over 3 positions"),
        (lambda index, codes: FlatIndex(32).search(codes, 1), "index holds hamming codes of 32"),
        (lambda index, codes: FlatIndex(64, q=4).add(codes), "q = 4"),
        (lambda index, codes: FlatIndex(0), "length must be at least 1"),
        (lambda index, codes: FlatIndex(64, threads=0), "threads must be at least 1"),
        (lambda index, codes: FlatIndex(64, metric="cosine"), "metric must be one of"),
        (lambda index, codes: FlatIndex(2**17, q=2**10, metric="squared_lee"), "do not fit"),
    ],
)
def test_bad_input_is_refused_with_the_reason(call, message: str) -> None:
    codes = Codes(np.zeros((3, 8), np.uint8), 64)
    index = FlatIndex.of(codes)
    with pytest.raises(InputError, match=message):
        call(index, codes)
    assert len(index) == 3


def test_default_ids_after_given_ones_are_positions(rng: np.random.Generator) -> None:
    database = random_codes(rng, 6, 64, 2, "hamming")
    index = FlatIndex.of(database[:1])
    index.add(database[1:3], ids=[900, 100])
    index.add(database[3:])
    assert index.ids.tolist() == [0, 900, 100, 3, 4, 5]
    assert index.search(database, 1).ids[:, 0].tolist() == [0, 900, 100, 3, 4, 5]


@pytest.fixture
def two_hashes(rng: np.random.Generator) -> tuple[Codes, Codes]:
    rows = rng.standard_normal((12, 8)).astype(np.float32)
    return tuple(KernelHasher(64, random_state=seed).fit(rows).transform(rows) for seed in (0, 1))


COMPARED = {
    "add": lambda a, b: FlatIndex.of(a).add(b),
    "add to an empty one": lambda a, b: [index := FlatIndex(64), index.add(a), index.add(b)],
    "search": lambda a, b: FlatIndex.of(a).search(b, 1),
    "range_search": lambda a, b: FlatIndex.of(a).range_search(b, 1),
    "distances": distances,
    "least_per_case": lambda a, b: least_per_case(a, b, [0, len(b)]),
    "distances_to_cases": lambda a, b: distances_to_cases(a, b, [0, len(b)], [0]),
    "MultiIndex": lambda a, b: MultiIndex.of(a).search(b, 1),
    "PrefixIndex": lambda a, b: PrefixIndex.of(a).search(b, 1),
}


@pytest.mark.parametrize("compare", COMPARED.values(), ids=COMPARED)
def test_codes_of_two_hashes_are_never_compared(compare, two_hashes) -> None:
    a, b = two_hashes
    with pytest.raises(InputError, match="codes of two hashes"):
        compare(a, b)
    compare(a, a[:3])
    unknown = Codes(b.packed, b.length)  # such as codes made elsewhere: the owner answers for them
    compare(a, unknown)
    compare(unknown, b)
