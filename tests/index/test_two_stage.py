"""Two stages: enough candidates give the exhaustive Euclidean answer, fewer give part of it."""

from __future__ import annotations

import numpy as np
import pytest

from isohash import KernelHasher, LeeHasher, make_hasher
from isohash.errors import InputError
from isohash.index.two_stage import TwoStageIndex, rerank

N, DIM = 400, 12


@pytest.fixture
def vectors(rng) -> np.ndarray:
    centers = rng.standard_normal((20, DIM))[rng.integers(0, 20, N)]
    return (centers + 0.4 * rng.standard_normal((N, DIM))).astype(np.float32)


@pytest.fixture
def index(vectors) -> TwoStageIndex:
    return TwoStageIndex(KernelHasher(64).fit(vectors).hash_, vectors)


def euclidean(queries: np.ndarray, vectors: np.ndarray, k: int):
    """The answer of an exhaustive search: ids and distances, ties by position."""
    apart = np.linalg.norm(queries[:, None].astype(float) - vectors[None].astype(float), axis=2)
    ids = np.argsort(apart, axis=1, kind="stable")[:, :k]
    return ids, np.take_along_axis(apart, ids, axis=1)


@pytest.mark.parametrize("hasher", [KernelHasher(16), LeeHasher(8, 16), make_hasher(16)])
@pytest.mark.parametrize("candidates", [N, 10 * N])
def test_all_items_as_candidates_give_the_exhaustive_answer(
    rng, vectors, hasher, candidates
) -> None:
    vectors[200:240] = vectors[:40]  # exact duplicates tie, and the first comes first
    queries = np.concatenate([vectors[:30], vectors[:10] + rng.normal(0, 0.1, (10, DIM))])
    found = TwoStageIndex(hasher.fit(vectors).hash_, vectors).search(queries, 15, candidates)
    ids, distances = euclidean(queries, vectors, 15)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12, atol=1e-12)
    assert found.n_candidates == N


def test_recall_rises_with_the_candidates(rng, index, vectors) -> None:
    queries = vectors[:60] + rng.normal(0, 0.2, (60, DIM)).astype(np.float32)
    truth, _ = euclidean(queries, vectors, 10)
    recalls = []
    for candidates in (10, 20, 40, 80, 160, N):
        found = index.search(queries, 10, candidates)
        assert (np.diff(found.distances, axis=1) >= 0).all()
        # more candidates can only replace results by nearer ones
        recalls.append([np.isin(t, f).mean() for t, f in zip(truth, found.ids, strict=True)])
    assert (np.diff(recalls, axis=0) >= 0).all()
    assert np.mean(recalls[0]) < np.mean(recalls[-1]) == 1.0


def test_as_many_candidates_as_results_keep_the_codes_choice(index, vectors) -> None:
    hits = index.index.search(index.hash.encode(vectors[:20]), 10)
    found = index.search(vectors[:20], 10, candidates=0)
    np.testing.assert_array_equal(np.sort(found.ids), np.sort(hits.ids))


def test_what_is_not_allowed_is_never_returned(rng, index, vectors) -> None:
    allowed = rng.random(N) < 0.3
    found = index.search(vectors[:20], 10, N, allowed)
    places = np.flatnonzero(allowed)
    ids, distances = euclidean(vectors[:20], vectors[places], 10)
    np.testing.assert_array_equal(found.ids, places[ids])
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12, atol=1e-12)
    assert index.search(vectors[:2], 10, N, np.zeros(N, bool)).ids.shape == (2, 0)


def test_codes_alone_are_ranked_by_the_real_valued_query(rng, vectors) -> None:
    hasher = make_hasher(40).fit(vectors)
    queries = vectors[:50] + rng.normal(0, 0.1, (50, DIM)).astype(np.float32)
    index = TwoStageIndex(hasher.hash_, vectors, keep_vectors=False)
    assert index.vectors is None
    found = index.search(queries, 10, N)
    expected = hasher.asymmetric(queries, hasher.transform(vectors))
    ordered = np.take_along_axis(expected, found.ids, axis=1)
    np.testing.assert_allclose(found.distances, ordered, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ordered, np.sort(expected, axis=1)[:, :10], rtol=1e-9, atol=1e-9)
    truth, _ = euclidean(queries, vectors, 10)
    by_code = index.index.search(hasher.transform(queries), 10).ids

    def recall(ids) -> float:
        return float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, ids, strict=True)]))

    assert recall(found.ids) > recall(by_code)


def test_vectors_on_disk_in_half_precision_are_read_for_candidates_only(vectors, tmp_path) -> None:
    half = vectors.astype(np.float16)
    np.save(tmp_path / "half.npy", half)
    mapped = np.load(tmp_path / "half.npy", mmap_mode="r")
    hash_ = KernelHasher(64).fit(vectors).hash_
    found = TwoStageIndex(hash_, mapped).search(vectors[:10], 5, N)
    ids, distances = euclidean(vectors[:10], half, 5)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12)


@pytest.mark.parametrize(
    ("action", "word"),
    [
        (lambda index, x: index.search(x, -1), "k must"),
        (lambda index, x: index.search(x, 3, -5), "k must"),
        (lambda index, x: index.search(x[:, :3], 3), "dimensions"),
        (lambda index, x: index.search(x * np.nan, 3), "NaN"),
        (lambda index, x: rerank(x, np.zeros((3, 2), int), x, 2), "one row per query"),
        (lambda index, x: TwoStageIndex(index.hash, x, keep_vectors=False), "make_hasher"),
    ],
)
def test_bad_input_is_refused_by_name(index, vectors, action, word) -> None:
    with pytest.raises(InputError, match=word):
        action(index, vectors)
