"""Search problems that are hard to get right, and the check of an answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from isohash.alphabets import Alphabets
from isohash.index.dispatch import available_levels
from isohash.index.flat import FlatIndex
from isohash.index.reference import distances_reference, least_reference, search_reference
from isohash.index.segments import least_per_case
from isohash.records import Codes, Hits


def random_codes(
    rng: np.random.Generator, n: int, length: int, q: int = 2, metric: str | None = None
) -> Codes:
    """Independent uniform symbols."""
    return Codes.from_symbols(rng.integers(0, q, (n, length)), q, metric)


def uneven_codes(
    rng: np.random.Generator, n: int, widths: list[int], top: int, q: int, metric: str
) -> Codes:
    """Random codes over random alphabets of symbols up to `top`, which one of them reaches."""
    values = [np.sort(rng.choice(top, 1 << width, replace=False)) for width in widths]
    values[0][-1] = top
    alphabets = Alphabets(np.array(widths, np.uint8), np.concatenate(values).astype(np.uint16))
    indices = np.stack([rng.integers(0, 1 << width, n) for width in widths], axis=1)
    return Codes(alphabets.pack(indices.astype(np.uint16)), len(widths), q, metric, alphabets)


def tied_codes(rng: np.random.Generator, n: int, length: int, q: int, metric: str) -> Codes:
    """A handful of different codes, each repeated many times in random order."""
    return random_codes(rng, 4, length, q, metric)[rng.integers(0, 4, n)]


def falling_codes(query: NDArray[np.int64], n: int, q: int, metric: str) -> Codes:
    """Codes that come ever nearer to `query` (length,): each one enters the k nearest."""
    rows = np.tile(query, (n, 1))
    changed = np.linspace(len(query), 0, n).astype(int)
    for row, count in zip(rows, changed, strict=True):
        row[:count] = (row[:count] + q // 2) % q
    return Codes.from_symbols(rows, q, metric)


def assert_same_hits(hits: Hits, expected: Hits) -> None:
    np.testing.assert_array_equal(hits.distances, expected.distances)
    np.testing.assert_array_equal(hits.ids, expected.ids)


def assert_exact(database: Codes, queries: Codes, k: int, threads: int | None = 1) -> None:
    """The k nearest and the distances, ids included, equal the reference."""
    index = FlatIndex.of(database, threads=threads)
    assert_same_hits(index.search(queries, k), search_reference(queries, database, k))


def assert_within(database: Codes, queries: Codes, radius: int) -> None:
    """Range search finds what the reference distances say, best first."""
    found = FlatIndex.of(database).range_search(queries, radius)
    for i, row in enumerate(distances_reference(queries, database)):
        order = np.argsort(row, kind="stable")
        ids, near = found[i]
        np.testing.assert_array_equal(ids, order[row[order] <= radius])
        np.testing.assert_array_equal(near, row[ids])


def assert_least(
    database: Codes,
    queries: Codes,
    start: ArrayLike,
    allowed: NDArray[np.bool_] | None = None,
    threads: int | None = 1,
) -> None:
    """The least distances per case equal the reference."""
    least = least_per_case(queries, database, start, allowed, threads)
    expected = least_reference(queries, database, np.asarray(start), allowed)
    assert least.dtype == np.int32
    np.testing.assert_array_equal(least, expected)


def every_level() -> Iterator[str]:
    """Forces each level of this machine in turn: for laws, where fixtures are set up only once."""
    for name in available_levels():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ISOHASH_ISA", name)
            yield name
