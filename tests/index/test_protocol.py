"""Every index keeps the promises of `Index`: what one engine answers, another may be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike
from tests.index.problems import assert_same_hits, random_codes, tied_codes

from isohash import KernelHasher
from isohash.errors import InputError
from isohash.index.flat import FlatIndex
from isohash.index.multi_index import MultiIndex
from isohash.index.prefix import PrefixIndex
from isohash.index.protocol import Index, Neighbours
from isohash.index.two_stage import TwoStageIndex
from isohash.records import Codes, Hits

N, N_QUERIES, LENGTH, DIM = 90, 7, 64, 5


class Elsewhere:
    """An index of somebody else's, with nothing but what the protocol says."""

    def __init__(self, codes: Codes) -> None:
        self._kept = FlatIndex.of(codes)

    def __len__(self) -> int:
        return len(self._kept)

    def search(self, queries: Codes, /, k: int, *, allowed: ArrayLike | None = None) -> Hits:
        return self._kept.search(queries, k, allowed)


@dataclass(frozen=True)
class Engine:
    """One kind of index over N items, many of which tie, and queries of it; `foreign` are not."""

    index: Index[Any]
    queries: Any
    foreign: Any


def by_codes(make: Callable[[Codes], Index[Codes]]) -> Callable[[np.random.Generator], Engine]:
    def engine(rng: np.random.Generator) -> Engine:
        database = tied_codes(rng, N, LENGTH, 2, "hamming")
        queries = random_codes(rng, N_QUERIES, LENGTH)
        return Engine(make(database), queries, random_codes(rng, 2, LENGTH - 8))

    return engine


def by_vectors(**settings: Any) -> Callable[[np.random.Generator], Engine]:
    def engine(rng: np.random.Generator) -> Engine:
        vectors = rng.standard_normal((5, DIM))[rng.integers(0, 5, N)].astype(np.float32)
        index = TwoStageIndex(KernelHasher(32).fit(vectors).hash_, vectors, **settings)
        return Engine(index, rng.standard_normal((N_QUERIES, DIM)), np.zeros((2, DIM + 1)))

    return engine


ENGINES = {
    "flat": by_codes(FlatIndex.of),
    "multi": by_codes(MultiIndex.of),
    "prefix": by_codes(lambda codes: PrefixIndex(codes, prefix_bits=48)),
    "elsewhere": by_codes(Elsewhere),
    "two stages": by_vectors(),
    "two stages, tables first": by_vectors(first_stage=MultiIndex.of),
    "two stages, elsewhere first": by_vectors(first_stage=Elsewhere),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, rng: np.random.Generator) -> Engine:
    return ENGINES[request.param](rng)


def assert_same(found: Neighbours, ids: np.ndarray, distances: np.ndarray) -> None:
    assert_same_hits(Hits(found.ids, found.distances), Hits(ids, distances))


def test_all_items_come_by_rising_distance_and_position(engine: Engine) -> None:
    found = engine.index.search(engine.queries, N)
    assert len(engine.index) == N
    assert found.ids.dtype == np.int64
    np.testing.assert_array_equal(np.sort(found.ids, axis=1), np.tile(np.arange(N), (N_QUERIES, 1)))
    further, later = np.diff(found.distances, axis=1), np.diff(found.ids, axis=1)
    assert ((further > 0) | ((further == 0) & (later > 0))).all()
    assert (further == 0).any()


@pytest.mark.parametrize("k", [0, 1, 13, N - 1, N + 5])
def test_fewer_are_the_first_of_all(engine: Engine, k: int) -> None:
    every = engine.index.search(engine.queries, N)
    assert_same(engine.index.search(engine.queries, k), every.ids[:, :k], every.distances[:, :k])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_a_mask_holds_before_the_nearest_are_taken(
    engine: Engine, rng: np.random.Generator, share: float
) -> None:
    allowed = rng.random(N) < share
    every = engine.index.search(engine.queries, N)
    kept = allowed[every.ids]
    ids, distances = (x[kept].reshape(N_QUERIES, -1)[:, :11] for x in (every.ids, every.distances))
    assert_same(engine.index.search(engine.queries, 11, allowed=allowed), ids, distances)
    assert ids.shape[1] == min(11, allowed.sum())


def test_queries_are_answered_each_on_its_own(engine: Engine) -> None:
    together = engine.index.search(engine.queries, 9)
    for i in range(N_QUERIES):
        one = engine.index.search(engine.queries[i : i + 1], 9)
        assert_same(one, together.ids[i : i + 1], together.distances[i : i + 1])
    assert engine.index.search(engine.queries[:0], 9).ids.shape == (0, 9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.index.search(e.queries, -1), "must not be negative"),
        (lambda e: e.index.search(e.queries, 2.5), "must be an integer"),
        (lambda e: e.index.search(e.queries, 2, allowed=[True]), f"mask over {N} positions"),
        (lambda e: e.index.search(e.queries, 2, allowed=np.ones(N)), "bool mask"),
        (lambda e: e.index.search(e.foreign, 2), None),
    ],
)
def test_bad_questions_are_refused(
    engine: Engine, call: Callable[[Engine], Neighbours], message: str | None
) -> None:
    with pytest.raises(InputError, match=message):
        call(engine)
