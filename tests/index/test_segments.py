"""The least distance per query and case, and all distances to some cases, at every level."""

from __future__ import annotations

import doctest
import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.problems import assert_least, every_level, random_codes, tied_codes, uneven_codes

from isohash import native
from isohash.errors import InputError
from isohash.index import segments
from isohash.index.flat import distances
from isohash.index.segments import NO_DISTANCE, distances_to_cases, least_per_case
from isohash.records import Codes

KINDS = [
    (2, "hamming", None),
    (5, "lee", None),
    (9, "lee", None),
    (12, "squared_lee", None),
    (17, "lee", None),
    (200, "squared_lee", None),
    (300, "lee", None),
    (10, "hamming", None),
    (16, "squared_lee", 15),
    (511, "squared_lee", 255),
    (511, "lee", 255),
    (5267, "squared_lee", 2633),
    (65535, "lee", 40000),  # beyond what the extension holds
]


def codes_of(
    rng: np.random.Generator, n: int, length: int, kind: tuple[int, str, int | None]
) -> Codes:
    """Random codes; with unequal alphabets where the kind names their largest symbol."""
    q, metric, top = kind
    if top is None:
        return random_codes(rng, n, length, q, metric)
    return uneven_codes(rng, n, rng.integers(1, 4, length).tolist(), top, q, metric)


def starts_of(rng: np.random.Generator, n: int, n_cases: int) -> np.ndarray:
    """Random borders of cases, some of which are empty."""
    return np.concatenate([[0], np.sort(rng.integers(0, n + 1, n_cases - 1)), [n]])


Problem = tuple[Codes, Codes, np.ndarray, np.ndarray | None]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Database, queries, borders of cases and a mask or none."""
    kind = draw(st.sampled_from(KINDS))
    n, n_queries = draw(st.integers(0, 50)), draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    codes = codes_of(rng, n + n_queries, draw(st.integers(1, 150)), kind)
    start = starts_of(rng, n, draw(st.integers(1, 12)))
    allowed = rng.random(n) < draw(st.floats(0, 1)) if draw(st.booleans()) else None
    return codes[:n], codes[n:], start, allowed


law = settings(max_examples=40, deadline=None)


@law
@given(problems(), st.integers(1, 4), st.integers(1, 3000))
def test_least_distances_are_the_references_at_every_level(
    problem: Problem, threads: int, at_once: int
) -> None:
    database, queries, start, allowed = problem
    for _ in every_level():
        assert_least(database, queries, start, allowed, threads)
        with pytest.MonkeyPatch.context() as patch:  # the same, unpacked in many blocks
            patch.setattr(segments, "UNPACKED_BYTES", at_once)
            assert_least(database, queries, start, allowed, threads)


@law
@given(problems())
def test_the_least_of_two_parts_of_a_case_is_the_cases(problem: Problem) -> None:
    database, queries, start, allowed = problem
    halves = np.sort(np.concatenate([start, (start[:-1] + start[1:]) // 2]))
    parts = least_per_case(queries, database, halves, allowed)
    np.testing.assert_array_equal(
        least_per_case(queries, database, start, allowed), np.minimum(parts[:, ::2], parts[:, 1::2])
    )


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_the_order_of_a_cases_rows_does_not_matter(problem: Problem, seed: int) -> None:
    database, queries, start, _ = problem
    rng = np.random.default_rng(seed)
    order = np.concatenate(
        [rng.permutation(np.arange(*ends)) for ends in itertools.pairwise(start)]
    ).astype(np.int64)
    np.testing.assert_array_equal(
        least_per_case(queries, database[order], start), least_per_case(queries, database, start)
    )


@law
@given(problems())
def test_a_mask_equals_cases_without_the_rest(problem: Problem) -> None:
    database, queries, start, allowed = problem
    kept = np.ones(len(database), bool) if allowed is None else allowed
    shorter = np.concatenate([[0], np.cumsum(kept)])[start]
    np.testing.assert_array_equal(
        least_per_case(queries, database, start, kept),
        least_per_case(queries, database[kept], shorter),
    )


def least_of(whole: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The least distances by way of the whole matrix."""
    parts = [whole[:, a:b] for a, b in itertools.pairwise(start)]
    return np.stack([part.min(axis=1, initial=NO_DISTANCE) for part in parts], axis=1)


@pytest.mark.parametrize("n_queries", [1, 3, 70])
def test_cases_of_every_size_across_the_borders_of_blocks(
    rng: np.random.Generator, level: str, n_queries: int
) -> None:
    database, queries = random_codes(rng, 4500, 256), random_codes(rng, n_queries, 256)
    whole = distances(queries, database)
    for n_cases in (1, 2, 37, 5000):
        start = starts_of(rng, 4500, n_cases)
        least = least_per_case(queries, database, start)
        np.testing.assert_array_equal(least, least_of(whole, start))


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("n_queries", [1, 33])
def test_threads_change_nothing(
    rng: np.random.Generator, level: str, threads: int, n_queries: int
) -> None:
    # Long codes, so that there is enough work for the threads to be used.
    database = tied_codes(rng, 7001, 8192, 2, "hamming")
    queries = random_codes(rng, n_queries, 8192)
    whole = distances(queries, database)
    for n_cases in (1, 3, 200):
        start = starts_of(rng, 7001, n_cases)
        least = least_per_case(queries, database, start, threads=threads)
        np.testing.assert_array_equal(least, least_of(whole, start))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_queries", [1, 12, 31])
def test_alphabets_and_metrics_of_every_kind(
    rng: np.random.Generator, level: str, kind: tuple[int, str, int | None], n_queries: int
) -> None:
    codes = codes_of(rng, 150 + n_queries, 77, kind)
    database, queries = codes[:150], codes[150:]
    start = starts_of(rng, 150, 9)
    assert_least(database, queries, start)
    assert_least(database, queries, start, rng.random(150) < 0.5)


@pytest.mark.parametrize("length", [1, 8, 63, 65, 1000])
def test_lengths_that_fill_no_word(rng: np.random.Generator, level: str, length: int) -> None:
    database, queries = random_codes(rng, 70, length), random_codes(rng, 9, length)
    assert_least(database, queries, [0, 1, 1, 64, 70])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_masks_of_every_density(rng: np.random.Generator, level: str, share: float) -> None:
    database, queries = random_codes(rng, 1500, 128), random_codes(rng, 20, 128)
    for threads in (1, 2):
        allowed = rng.random(1500) < share
        assert_least(database, queries, starts_of(rng, 1500, 40), allowed, threads)


def test_no_rows_no_queries_and_no_cases(rng: np.random.Generator, level: str) -> None:
    database, queries = random_codes(rng, 5, 64), random_codes(rng, 3, 64)
    assert least_per_case(queries[:0], database, [0, 2, 5]).shape == (0, 2)
    assert (least_per_case(queries, database[:0], [0, 0, 0]) == NO_DISTANCE).all()
    assert least_per_case(queries, database[:0], [0]).shape == (3, 0)


def test_queries_with_finer_alphabets_meet_stored_ones(rng: np.random.Generator) -> None:
    stored = uneven_codes(rng, 40, [2, 3, 2], 200, 511, "squared_lee")
    queries = uneven_codes(rng, 6, [4, 5, 4], 255, 511, "squared_lee")
    assert_least(stored, queries, [0, 11, 40])


@pytest.mark.parametrize(("q", "metric"), [(2, "hamming"), (5267, "squared_lee")])
def test_memory_does_not_grow_with_the_number_of_distances(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, level: str, q: int, metric: str
) -> None:
    monkeypatch.setattr(segments, "UNPACKED_BYTES", 1 << 17)
    codes = codes_of(rng, 8060, 64, (q, metric, None if q == 2 else 2633))
    start = np.arange(0, 8001, 100)
    least_per_case(codes[:60], codes[60:], start)
    tracemalloc.start()
    try:
        least_per_case(codes[:60], codes[60:], start)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    n_pairs = 60 * 8000
    assert peak < 4 * n_pairs / 2  # bytes; the matrix has 4 a pair


def test_all_distances_to_some_cases(rng: np.random.Generator, level: str) -> None:
    database, queries = random_codes(rng, 90, 130), random_codes(rng, 7, 130)
    start, whole = np.array([0, 20, 20, 50, 90]), distances(queries, database)
    for cases in ([0, 1, 2, 3], [3, 0], [1], [2, 2], []):
        parts = [whole[:, start[case] : start[case + 1]] for case in cases]
        np.testing.assert_array_equal(
            distances_to_cases(queries, database, start, cases), np.hstack([whole[:, :0], *parts])
        )


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ([0, 3, 2, 5], "must not fall: case 1 begins at row 3 and ends at 2"),
        ([0, 3], "from 0 to the number of codes, 5; got 0..3"),
        ([1, 5], "got 1..5"),
        ([], "n_cases \\+ 1 integers"),
        ([0.0, 5.0], "integers, got float64"),
        ([[0, 5]], "of shape \\(1, 2\\)"),
    ],
)
def test_borders_that_do_not_fit_are_refused(start: list[int], message: str) -> None:
    codes = Codes(np.zeros((5, 8), np.uint8), 64)
    with pytest.raises(InputError, match=message):
        least_per_case(codes, codes, start)
    with pytest.raises(InputError, match=message):
        distances_to_cases(codes, codes, start, [0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda codes: least_per_case(codes, codes, [0, 5], [True]), "mask over 5 positions"),
        (lambda codes: least_per_case(codes, codes, [0, 5], threads=0), "threads must be"),
        (lambda codes: least_per_case(random_codes_of(32), codes, [0, 5]), "differ in kind"),
        (lambda codes: distances_to_cases(codes, codes, [0, 5], [1]), "lie in 0..0, got 1..1"),
        (lambda codes: distances_to_cases(codes, codes, [0, 5], [-1]), "got -1..-1"),
        (lambda codes: distances_to_cases(codes, codes, [0, 5], [0.5]), "list of integers"),
    ],
)
def test_bad_input_is_refused_with_the_reason(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(random_codes_of(64))


@pytest.mark.skipif(not native.available(), reason="no compiled extension")
def test_the_extension_refuses_borders_that_do_not_fit() -> None:
    scan, codes = native.Scan("hamming", 2, 1, "scalar", 1), np.zeros((5, 4), np.uint64)
    for start in ([0, 3], [1, 5], [0, 4, 3, 5], [0, 6, 5]):
        with pytest.raises(ValueError, match="start must rise"):
            native.least(scan, codes, codes, np.array(start, np.int64))
    with pytest.raises(ValueError, match="start must rise"):
        native.least(scan, codes, codes, np.array([0, 5], np.int32)[:1])
    with pytest.raises(ValueError, match="mask"):
        native.least(scan, codes, codes, np.array([0, 5], np.int64), np.ones(4, np.bool_))


def random_codes_of(length: int) -> Codes:
    return random_codes(np.random.default_rng(1), 5, length)


def test_the_documented_example_is_true() -> None:
    assert doctest.testmod(segments).attempted > 0
    assert doctest.testmod(segments).failed == 0
