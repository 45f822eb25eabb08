"""Every kernel level gives the reference's hits, ids included, on hard problems of every size."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from tests.index.problems import (
    assert_exact,
    assert_same_hits,
    assert_within,
    falling_codes,
    random_codes,
    tied_codes,
)

from isohash import native
from isohash.errors import InputError
from isohash.index import dispatch
from isohash.index.flat import FlatIndex, distances
from isohash.index.reference import distances_reference, search_reference
from isohash.records import Codes

# In 64-bit words: around every vector size, odd ones, and up to 10 240 bits.
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 11, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 160]
KINDS = [
    (3, "lee"),
    (4, "lee"),
    (8, "lee"),
    (9, "lee"),
    (10, "lee"),
    (16, "lee"),
    (17, "lee"),
    (255, "lee"),
    (256, "lee"),
    (16, "squared_lee"),
    (17, "squared_lee"),
    (255, "squared_lee"),
    (256, "squared_lee"),
    (10, "hamming"),
    (200, "hamming"),
]


@pytest.mark.parametrize("words", WIDTHS)
def test_hamming_of_every_width(rng: np.random.Generator, level: str, words: int) -> None:
    database = random_codes(rng, 131, 64 * words)
    assert_exact(database, random_codes(rng, 1, 64 * words), 10)
    assert_exact(database, random_codes(rng, 67, 64 * words), 10)


@pytest.mark.parametrize("length", [1, 8, 63, 65, 1000, 4095])
def test_lengths_that_fill_no_word(rng: np.random.Generator, level: str, length: int) -> None:
    database = random_codes(rng, 70, length)
    assert_exact(database, random_codes(rng, 9, length), 8)


@pytest.mark.parametrize(("q", "metric"), KINDS)
@pytest.mark.parametrize("length", [1, 31, 130, 1030])
def test_symbols_of_every_alphabet(
    rng: np.random.Generator, level: str, q: int, metric: str, length: int
) -> None:
    database = random_codes(rng, 45, length, q, metric)
    for n_queries in (1, 11):
        assert_exact(database, random_codes(rng, n_queries, length, q, metric), 7)


@pytest.mark.parametrize(("q", "metric"), [(256, "lee"), (256, "squared_lee"), (16, "squared_lee")])
def test_the_largest_distances_do_not_overflow(level: str, q: int, metric: str) -> None:
    length = 5000
    zeros = Codes.from_symbols(np.zeros((9, length), np.int64), q, metric)
    opposite = Codes.from_symbols(np.full((40, length), q // 2), q, metric)
    step = q // 2 if metric == "lee" else (q // 2) ** 2
    assert (distances(zeros, opposite) == length * step).all()


@pytest.mark.parametrize("n", [1, 2, 7, 15, 16, 17, 127, 128, 129, 1000])
@pytest.mark.parametrize("n_queries", [1, 3, 8, 70])
def test_databases_and_batches_of_every_size(
    rng: np.random.Generator, level: str, n: int, n_queries: int
) -> None:
    database, queries = random_codes(rng, n, 192), random_codes(rng, n_queries, 192)
    for k in (0, 1, n // 2, n, n + 5):
        assert_exact(database, queries, k)


@pytest.mark.parametrize(("q", "metric"), [(2, "hamming"), (10, "lee"), (40, "squared_lee")])
@pytest.mark.parametrize("n_queries", [1, 66])
def test_massive_ties_go_to_the_lower_position(
    rng: np.random.Generator, level: str, q: int, metric: str, n_queries: int
) -> None:
    database = tied_codes(rng, 2500, 64, q, metric)
    queries = random_codes(rng, n_queries, 64, q, metric)
    for k in (1, 10, 700):
        assert_exact(database, queries, k, threads=2)


@pytest.mark.parametrize(("q", "metric"), [(2, "hamming"), (10, "lee"), (40, "squared_lee")])
@pytest.mark.parametrize("n_queries", [1, 66])
def test_codes_that_come_ever_nearer(
    rng: np.random.Generator, level: str, q: int, metric: str, n_queries: int
) -> None:
    query = rng.integers(0, q, 256)
    database = falling_codes(query, 1500, q, metric)
    queries = Codes.from_symbols(np.tile(query, (n_queries, 1)), q, metric)
    for k in (1, 10, 100):
        assert_exact(database, queries, k)


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("n_queries", [1, 5, 33])
def test_threads_change_nothing(
    rng: np.random.Generator, level: str, threads: int, n_queries: int
) -> None:
    # Long codes, so that there is enough work for the threads to be used.
    database = tied_codes(rng, 7001, 8192, 2, "hamming")
    queries = random_codes(rng, n_queries, 8192)
    expected = FlatIndex.of(database, threads=1).search(queries, 12)
    assert_same_hits(FlatIndex.of(database, threads=threads).search(queries, 12), expected)
    assert_same_hits(
        FlatIndex.of(database[:90], threads=threads).search(queries, 12),
        search_reference(queries, database[:90], 12),
    )


@pytest.mark.parametrize(("q", "metric"), [(2, "hamming"), (5, "lee"), (12, "lee"), (99, "lee")])
def test_range_and_matrix(rng: np.random.Generator, level: str, q: int, metric: str) -> None:
    database = random_codes(rng, 301, 96, q, metric)
    for n_queries in (1, 70):
        queries = random_codes(rng, n_queries, 96, q, metric)
        table = distances_reference(queries, database)
        np.testing.assert_array_equal(distances(queries, database), table)
        assert_within(database, queries, int(np.quantile(table, 0.05)))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("n_queries", [1, 70])
def test_masks_of_every_density(
    rng: np.random.Generator, level: str, share: float, n_queries: int
) -> None:
    database, queries = random_codes(rng, 1500, 128), random_codes(rng, n_queries, 128)
    allowed = rng.random(1500) < share
    kept = np.flatnonzero(allowed)
    expected = search_reference(queries, database[kept], 20)
    hits = FlatIndex.of(database, threads=2).search(queries, 20, allowed=allowed)
    np.testing.assert_array_equal(hits.ids, kept[expected.ids])
    np.testing.assert_array_equal(hits.distances, expected.distances)


def test_a_level_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOHASH_ISA", "mmx")
    with pytest.raises(InputError, match="must be one of numpy, scalar"):
        dispatch.current_level()
    absent = [name for name in dispatch.LEVELS if name not in dispatch.available_levels()]
    monkeypatch.setenv("ISOHASH_ISA", absent[0])
    with pytest.raises(InputError, match="cannot run here"):
        dispatch.current_level()


def test_the_engine_says_what_it_uses(level: str) -> None:
    info = dispatch.engine_info()
    assert info.level == level
    assert info.compiled is native.available()
    assert not any("disagree" in warning for warning in info.warnings)
    assert info.threads >= 1


def test_a_wrong_level_is_not_used_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    status = dict.fromkeys(native.LEVELS, native.ABSENT) | {"scalar": native.READY}
    status["avx2"] = native.WRONG
    monkeypatch.setattr(native, "status_of", status.__getitem__)
    dispatch.available_levels.cache_clear()
    try:
        info = dispatch.engine_info()
    finally:
        dispatch.available_levels.cache_clear()
    assert (info.level, info.available) == ("scalar", ("numpy", "scalar"))
    assert any("avx2 kernels disagree" in warning for warning in info.warnings)


def test_searches_from_several_threads_at_once(rng: np.random.Generator) -> None:
    database, queries = random_codes(rng, 20_000, 1024), random_codes(rng, 40, 1024)
    index = FlatIndex.of(database, threads=3)
    expected = index.search(queries, 5)
    answers: list[object] = []

    def search() -> None:
        answers.extend(index.search(queries, 5) for _ in range(5))

    workers = [threading.Thread(target=search) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(answers) == 20
    for hits in answers:
        assert_same_hits(hits, expected)  # type: ignore[arg-type]


FORKING = """
import os, sys
import numpy as np
from isohash.index.flat import FlatIndex
from isohash.records import Codes

rng = np.random.default_rng(1)
codes = Codes(rng.integers(0, 256, (60_000, 128), dtype=np.uint8), 1024)
index = FlatIndex.of(codes, threads=4)
expected = index.search(codes[:50], 3).ids
child = os.fork()
if child == 0:
    same = (index.search(codes[:50], 3).ids == expected).all()
    os._exit(0 if same else 7)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_searches_too() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], timeout=60, check=False)
    assert done.returncode == 0


@pytest.mark.skipif(not native.available(), reason="no compiled extension")
def test_the_extension_refuses_arrays_that_do_not_fit() -> None:
    scan = native.Scan("hamming", 2, 1, "scalar", 1)
    queries, codes = np.zeros((2, 3), np.uint64), np.zeros((5, 4), np.uint64)
    with pytest.raises(ValueError, match="incomplete"):
        native.topk(scan, queries, codes, 1)
    with pytest.raises(ValueError, match="out of range"):
        native.topk(scan, codes, codes, 6)
    with pytest.raises(ValueError, match="mask"):
        native.topk(scan, codes, codes, 1, np.ones(4, np.bool_))
