"""The classification experiment: honest splits, honest preprocessing, and resuming."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.evaluation.kit.results import read_csv
from isohash.evaluation.svm import experiment as svm
from isohash.evaluation.svm.classification_data import Table, read_table, split_table
from isohash.evaluation.svm.experiment import SvmSettings, error_table, run, summary
from isohash.evaluation.svm.methods import CONTEXT, CURVES, Methods, MethodSettings

METHODS = MethodSettings(
    factors=(0.3, 1.0), n_particles=10, learner_steps=20, sgd_steps=20, n_candidates=500
)
TINY = SvmSettings(
    ("kather",), (10, 30), n_seeds=2, n_train=90, n_test=60, n_examples=0, methods=METHODS
)


@pytest.fixture
def data_dir(tmp_path, rng):
    """Three separable classes in the layout of the kather file."""
    folder = tmp_path / "data" / "kather_crc_texture_features"
    folder.mkdir(parents=True)
    y = np.arange(300) % 3
    X = rng.standard_normal((300, 6)).astype(np.float32) + 2.0 * np.eye(6)[y].astype(np.float32)
    X[::50, 2] = np.nan
    np.savez(folder / "kather_crc_texture_features.npz", X=X, y=y.astype(np.uint8))
    return tmp_path / "data"


def table(rng, n=400, groups=None, is_test=None):
    numbers = rng.gamma(1.0, 3.0, (n, 4)) + 5.0
    numbers[rng.random((n, 4)) < 0.1] = np.nan
    texts = rng.choice(["a", "b", "?"], (n, 2))
    kept = np.arange(n) if groups is None else groups
    return Table(numbers, texts, rng.integers(0, 2, n), kept, is_test)


def test_columns_are_standardised_on_the_training_part(rng):
    split = split_table(table(rng), 200, 100, rng)
    np.testing.assert_allclose(split.X_train.mean(axis=0), 0.0, atol=0.05)
    assert np.abs(split.X_train).max() <= 8.0
    assert split.X_train.shape == (200, 4 + 6)
    assert np.isfinite(split.X_test).all()


def test_nothing_about_the_test_part_reaches_the_training_part(rng):
    """Changing the test rows, however wildly, must leave the training matrix as it was."""
    data = table(rng, is_test=np.arange(400) >= 300)
    spoiled = data.numbers.copy()
    spoiled[300:] *= 1e6
    texts = data.texts.astype("<U9")
    texts[300:] = "elsewhere"
    parts = [
        split_table(t, 300, 100, np.random.default_rng(0)).X_train
        for t in (data, replace(data, numbers=spoiled, texts=texts))
    ]
    np.testing.assert_array_equal(*parts)


def test_a_recording_is_never_on_both_sides(rng):
    groups = np.repeat(np.arange(40), 10)
    data = replace(table(rng, groups=groups), numbers=np.stack([groups, groups**2], axis=1) * 1.0)
    split = split_table(data, 400, 100, rng)
    assert not set(split.X_train[:, 0]) & set(split.X_test[:, 0])
    assert len(split.X_test) == 100
    assert len(split.X_train) == 300
    raw = data.numbers[:, 0]
    assert set(split.groups_train) <= set(raw.astype(int))
    assert len(set(split.groups_train)) == 30


def test_parts_held_out_of_the_training_part_keep_recordings_whole(rng):
    split = split_table(table(rng, groups=np.repeat(np.arange(40), 10)), 300, 100, rng)
    for train, held_out in Methods(split, 0, METHODS)._folds:
        assert not set(split.groups_train[train]) & set(split.groups_train[held_out])


def test_no_method_learns_from_the_test_part(rng):
    """Other test points and labels must leave the features of every method as they were."""
    split = split_table(table(rng), 150, 100, rng)
    spoiled = replace(split, X_test=-9.0 * split.X_test, y_test=1 - split.y_test)
    for method in CURVES:
        first, second = (
            Methods(s, 0, METHODS).features(method, 15)[0].frequencies for s in (split, spoiled)
        )
        np.testing.assert_array_equal(first, second)


def test_a_published_split_is_respected(rng):
    data = replace(table(rng, is_test=np.arange(400) >= 300), classes=np.arange(400))
    split = split_table(data, 50, 50, rng)
    assert split.y_train.max() < 300 <= split.y_test.min()


def test_every_method_is_measured_for_every_seed_and_size(data_dir, tmp_path):
    calls = []
    out = tmp_path / "out"
    rows = run(out, data_dir, settings=TINY, progress=lambda *c: calls.append(c), workers=1)
    assert calls[-1][:2] == (2, 2)
    seen = {(r["method"], r["n_features"], r["seed"]) for r in rows}
    expected = {(m, d, s) for m in CURVES for d in (10, 30) for s in (0, 1)}
    assert seen == expected | {(m, 0, s) for m in CONTEXT for s in (0, 1)}
    best = {r["method"]: r["test_error"] for r in summary(rows) if r["n_features"] in (0, 30)}
    assert best["median"] < 0.4  # chance is 2/3
    assert best["linear"] < 0.35
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "svm.csv", "svm.json", "svm.png", "svm-runs.csv"
    }  # fmt: skip
    told = json.loads((tmp_path / "out" / "svm.json").read_text())
    assert told["data_digests"]["kather"] == read_table("kather", data_dir).digest
    written = read_csv(tmp_path / "out" / "svm.csv")
    known = [{name: v for name, v in row.items() if v is not None} for row in written]
    assert known == summary(rows)
    assert len((out / "svm-runs.csv").read_text().splitlines()) == len(rows) + 1


def test_an_interrupted_experiment_goes_on_where_it_was(
    data_dir, tmp_path, monkeypatch, draw_no_more
):
    pytest.importorskip("matplotlib")
    draw_no_more()
    settings = replace(TINY, n_features=(10,))
    other = replace(settings, methods=replace(METHODS, C=2.0))
    one = run(tmp_path, data_dir, settings=replace(settings, n_seeds=1), workers=1)
    seeds = []

    def spy(name, seed, *rest):
        seeds.append(seed)
        return measured(name, seed, *rest)

    measured = svm._measured
    monkeypatch.setattr(svm, "_measured", spy)
    two = run(tmp_path, data_dir, settings=settings, workers=1)
    assert seeds == [1]
    assert two[: len(one)] == one
    run(tmp_path, data_dir, settings=other, workers=1)  # other settings share no parts
    assert seeds == [1, 0, 1]


@pytest.mark.slow
def test_two_workers_measure_the_same_errors(data_dir, tmp_path):
    settings = replace(TINY, n_features=(10,))
    alone, shared = (run(tmp_path / str(n), data_dir, settings=settings, workers=n) for n in (1, 2))
    for one, two in zip(alone, shared, strict=True):
        for column in ("dataset", "method", "seed", "n_features", "train_error", "test_error"):
            assert one[column] == two[column]


def test_the_interval_is_that_of_the_mean():
    rows = [
        {"dataset": "a", "method": method, "n_features": 5, "n_used": 5, "train_error": 0.0,
         "test_error": e + shift, "learning_seconds": 0.0, "total_seconds": 0.0, "seed": seed}
        for method, shift in (("learned", 0.0), ("importance", 0.05))
        for seed, e in enumerate((0.1, 0.2, 0.3, 0.4))
    ]  # fmt: skip
    line, rival = summary(rows)
    assert line["over_importance"] == pytest.approx(-0.05)  # by seed, so without any spread
    assert line["over_importance_half_width"] == pytest.approx(0.0, abs=1e-12)
    assert "over_importance" not in rival
    assert error_table([line]) == [{"dataset": "a", "method": "learned", "5": "25.0 ± 12.7"}]
    assert line["test_error"] == pytest.approx(0.25)
    assert line["test_error_half_width"] == pytest.approx(
        1.96 * np.std([0.1, 0.2, 0.3, 0.4], ddof=1) / 2, abs=1e-5
    )


def test_unknown_and_missing_data_are_named(tmp_path):
    with pytest.raises(InputError, match="data set must be one of"):
        read_table("iris", tmp_path)
    with pytest.raises(InputError, match="adult cannot be read"):
        read_table("adult", tmp_path)


@pytest.mark.parametrize(
    ("name", "shape", "texts", "classes"),
    [
        ("adult", (48842, 6), 8, 2),
        ("news", (7928, 58), 0, 2),
        ("buzz", (7905, 96), 0, 2),
        ("seizure", (11500, 178), 0, 2),
        ("seizure5", (11500, 178), 0, 5),
        ("kather", (5000, 84), 0, 8),
    ],
)
def test_the_real_tables_have_their_published_shapes(shared_data, name, shape, texts, classes):
    data = read_table(name, shared_data)
    assert data.numbers.shape == shape
    assert data.texts.shape == (shape[0], texts)
    assert len(np.unique(data.classes)) == classes
    if name == "adult":
        assert (data.classes[data.is_test].sum(), (~data.is_test).sum()) == (3846, 32561)
    if name.startswith("seizure"):
        assert len(np.unique(data.groups)) == 500


@pytest.mark.slow
def test_the_quick_version_runs_on_the_real_data(shared_data, tmp_path):
    table = summary(run(tmp_path, shared_data, quick=True))
    error = {(r["dataset"], r["method"], r["n_features"]): r["test_error"] for r in table}
    for name in ("buzz", "seizure"):
        assert error[name, "learned", 100] < error[name, "gaussian", 100] - 0.05
    draws = read_csv(tmp_path / "importance-example-draws.csv")
    assert len(draws) == 8  # two draws of plain and chosen features, centred or not
