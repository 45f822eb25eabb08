from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from isohash import native
from isohash.errors import InputError
from isohash.features.encoders import trees as module
from isohash.features.encoders.tree_fitting import fit_trees
from isohash.features.encoders.trees import QUANTUM, BoostedTrees, BoostingSettings

SETTINGS = BoostingSettings(n_trees=20, leaves=15, least_samples=5, bins=32)


def some_rows(rng: np.random.Generator, n: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Features with gaps, one that says most by being absent, and one that nobody has."""
    values = rng.normal(size=(n, 5)).astype(np.float32)
    values[rng.random((n, 5)) < 0.1] = np.nan
    values[:, 3] = np.where(rng.random(n) < 0.5, np.nan, 1.0)
    values[:, 4] = np.nan
    wanted = np.nan_to_num(values[:, 0]) + np.sin(3 * np.nan_to_num(values[:, 1]))
    return values, wanted + 2.0 * np.isnan(values[:, 3])


@pytest.fixture(scope="module")
def trees() -> BoostedTrees:
    return fit_trees(*some_rows(np.random.default_rng(0)), SETTINGS)


def test_the_arrays_say_what_the_library_says(trees: BoostedTrees) -> None:
    values, wanted = some_rows(np.random.default_rng(0))
    new, _ = some_rows(np.random.default_rng(1))
    model = HistGradientBoostingRegressor(
        max_iter=20, learning_rate=SETTINGS.learning_rate, max_leaf_nodes=15, min_samples_leaf=5,
        l2_regularization=SETTINGS.ridge, max_bins=32, early_stopping=False, random_state=0,
    )  # fmt: skip
    with threadpool_limits(1):
        model.fit(np.where(np.arange(5) < 4, values, 0), wanted)
        expected = model.predict(np.where(np.arange(5) < 4, new, 0))
    # every leaf, and the base, is rounded to half a quantum; float32 rounds once more
    most = 21 * 0.5 * QUANTUM + np.abs(expected) * 2.0**-24
    assert (np.abs(trees.predict(new) - expected) <= most).all()


@pytest.mark.skipif(not native.available(), reason="built without a compiler")
@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 1500])
def test_compiled_and_obvious_evaluation_agree_to_the_bit(trees: BoostedTrees, n: int) -> None:
    bins = trees.binned(some_rows(np.random.default_rng(2))[0][:n])
    nodes = (trees.feature, trees.cut, trees.left, trees.values)
    for threads in (1, 3):
        found = native.sum_trees(trees.starts, nodes, trees.base, bins, threads)
        np.testing.assert_array_equal(found, trees._reference(bins))


def test_rows_are_foretold_the_same_however_many_at_a_time(
    trees: BoostedTrees, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = some_rows(np.random.default_rng(3), 100)[0]
    together = trees.predict(values)
    monkeypatch.setattr(module, "ROWS", 7)
    np.testing.assert_array_equal(trees.predict(values), together)
    assert trees.predict(values[:0]).shape == (0,)


def test_the_bins_of_many_rows_never_lie_in_memory_together(
    trees: BoostedTrees, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS", 1000)
    values = some_rows(np.random.default_rng(3), 20_000)[0].astype(np.float16)
    tracemalloc.start()
    try:
        trees.predict(values)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * len(values)  # two sums of float32 a row; bins and what is binned take 30


def test_trees_survive_being_kept(trees: BoostedTrees) -> None:
    again = BoostedTrees.of(trees.arrays)
    values, _ = some_rows(np.random.default_rng(3))
    np.testing.assert_array_equal(again.predict(values), trees.predict(values))


def test_a_row_does_not_depend_on_its_neighbours(trees: BoostedTrees) -> None:
    values, _ = some_rows(np.random.default_rng(4))
    alone = np.concatenate([trees.predict(row[None]) for row in values[:50]])
    np.testing.assert_array_equal(alone, trees.predict(values)[:50])


def test_a_value_on_a_threshold_goes_left(trees: BoostedTrees) -> None:
    j = 0
    cuts = trees.thresholds[trees.offsets[j] : trees.offsets[j + 1]]
    assert all(a < b for a, b in pairwise(cuts))
    rows = np.zeros((len(cuts), 5), np.float32)
    rows[:, j] = cuts.astype(np.float32)
    exact = rows[:, j].astype(np.float64) == cuts
    at = trees.binned(rows)[:, j]
    assert (at[exact] == np.flatnonzero(exact)).all()


@pytest.mark.skipif(not native.available(), reason="built without a compiler")
def test_trees_that_lead_out_of_their_nodes_are_refused(trees: BoostedTrees) -> None:
    bins = trees.binned(some_rows(np.random.default_rng(5))[0])
    inner = int(np.flatnonzero(trees.left[: trees.starts[1]] != np.arange(trees.starts[1]))[-1])
    for name, value in (("left", 65000), ("left", 0), ("feature", 200), ("cut", None)):
        broken = getattr(trees, name).copy()
        if value is None:  # a leaf that some rows could leave
            broken[trees.left == np.arange(len(trees.left))] = 7
            broken[: trees.starts[1]] = 7
        else:
            broken[inner] = value
        bad = replace(trees, **{name: broken})
        with pytest.raises(ValueError, match="leads out"):
            bad.sums(bins)


def test_leaves_that_could_overflow_are_refused(trees: BoostedTrees) -> None:
    with pytest.raises(InputError, match="too large"):
        replace(trees, values=np.full_like(trees.values, 2**30))
