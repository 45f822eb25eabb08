"""Blockwise precision-recall and nearest neighbours against the obvious versions, with ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isohash import Codes, KernelHasher
from isohash.distances import distance_matrix, nearest
from isohash.errors import InputError
from isohash.evaluation.kit import curves
from isohash.evaluation.kit.metrics import expected_recall, precision_recall
from isohash.evaluation.kit.views import Embedded, load_views, save_views
from isohash.index.flat import distances


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_label_and_truth_curves_are_those_of_the_whole_matrix(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = rng.integers(0, 6, (17, 40))
    base_labels = np.sort(rng.integers(0, 4, 40))
    query_labels = rng.integers(0, 5, 17)  # class 4 has no item: such queries are left out
    truth = np.stack([rng.choice(40, 3, replace=False) for _ in range(17)])
    blocks = [(slice(0, 9), d[:9]), (slice(9, 17), d[9:])]
    relevant = np.zeros(d.shape, dtype=bool)
    np.put_along_axis(relevant, truth, True, axis=1)
    for curve, wanted in (
        (curves.label_curve(blocks, 6, base_labels, query_labels),
         query_labels[:, None] == base_labels),
        (curves.truth_curve(blocks, 6, truth), relevant),
    ):  # fmt: skip
        each = [by_query(row, right) for row, right in zip(d, wanted, strict=True) if right.any()]
        np.testing.assert_allclose(curve.precision, np.mean([at for at, _ in each], axis=0))
        assert curve.average_precision == pytest.approx(np.mean([area for _, area in each]))


def by_query(d: np.ndarray, relevant: np.ndarray) -> tuple[list[float], float]:
    """Precision of one query at every recall, and its average precision, by counting."""
    shares = {}  # recall so far: precision
    area, before = 0.0, 0.0
    for level in np.unique(d):
        within = d <= level
        recall, precision = relevant[within].sum() / relevant.sum(), relevant[within].mean()
        area += precision * (recall - before)
        if recall > before:
            shares[recall] = precision
        before = recall
    at = [min(recall for recall in shares if recall >= wanted - 1e-9) for wanted in curves.RECALLS]
    return [shares[recall] for recall in at], area


def test_dense_and_thin_regions_make_no_dip() -> None:
    """Perfect codes have precision 1 at every recall, however far the neighbours of a query are."""
    near, far = np.repeat([[0, 0, 0, 5]], 4, axis=0), np.repeat([[3, 3, 3, 5]], 4, axis=0)
    d, truth = np.concatenate([near, far]), np.tile([0, 1, 2], (8, 1))
    curve = curves.truth_curve([(slice(0, 8), d)], 6, truth)
    assert curve.precision.tolist() == [1.0] * len(curves.RECALLS)
    assert curve.average_precision == 1.0


def test_precision_and_recall_of_ties_against_counting(rng: np.random.Generator) -> None:
    d, relevant = rng.integers(0, 4, (8, 30)), rng.random((8, 30)) < 0.4
    curve = precision_recall(d, relevant, np.arange(4))
    for level in range(4):
        retrieved = d <= level
        shares = [r[i].mean() for r, i in zip(relevant, retrieved, strict=True) if i.any()]
        assert curve.precision[level] == pytest.approx(np.mean(shares))
        recall = [(i & r).sum() / r.sum() for r, i in zip(relevant, retrieved, strict=True)]
        assert curve.recall[level] == pytest.approx(np.mean(recall))


def test_an_unsorted_database_is_refused() -> None:
    with pytest.raises(InputError, match="sort the database by label"):
        curves.label_curve([], 3, np.array([1, 0]), np.array([1]))


def test_blocks_of_codes_are_the_distance_matrix(rng: np.random.Generator) -> None:
    X = rng.standard_normal((30, 5)).astype(np.float32)
    codes = KernelHasher(64).fit(X).transform(X)
    ((_, block),) = curves.code_blocks(codes, codes)
    np.testing.assert_array_equal(block, distances(codes, codes))
    assert curves.code_levels(codes) == 65
    lee = Codes.from_symbols(np.zeros((1, 7), np.int64), 10)
    assert curves.code_levels(lee) == 36


def test_euclidean_blocks_keep_the_order_up_to_their_steps(rng: np.random.Generator) -> None:
    X = rng.standard_normal((50, 5)).astype(np.float32)
    ((_, block),) = curves.euclidean_blocks(X, X[:9])
    exact = distance_matrix(X[:9], X)
    step = exact.max() / block.max()
    assert np.abs(block * step - exact).max() < 1.5 * step + 1e-3


def test_nearest_orders_by_distance_then_position(rng: np.random.Generator) -> None:
    X = rng.integers(0, 3, (200, 3)).astype(np.float32)  # many ties
    wanted = np.argsort(distance_matrix(X[:20], X).round(9), axis=1, kind="stable")[:, :200]
    np.testing.assert_array_equal(nearest(X, X[:20], 200), wanted)
    with pytest.raises(InputError, match="use a smaller k"):
        nearest(X, X[:2], 201)


def test_recall_counts_tied_items_by_the_places_left() -> None:
    # one sure place, then two places for three tied items of which two are wanted
    recall = expected_recall([[0, 1, 1, 1, 2]], [[0, 1, 2]], 3)
    assert recall[0] == pytest.approx((1 + 2 * 2 / 3) / 3)


def test_kept_embeddings_are_read_only_for_what_they_were_made_from(tmp_path) -> None:
    view = Embedded(
        "ct", np.eye(3, dtype=np.float32), np.eye(2, 3, dtype=np.float32), np.array(["a", "b"])
    )
    save_views(tmp_path / "v.npz", "key", [view], {"n": 3})
    views, about = load_views(tmp_path / "v.npz", "key") or ([], {})
    assert about == {"n": 3}
    assert views[0].digest == view.digest
    assert views[0].groups.tolist() == ["a", "b"]
    assert load_views(tmp_path / "v.npz", "other") is None
    assert load_views(tmp_path / "none.npz", "key") is None
