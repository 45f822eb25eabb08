"""The store as a container: what was put is what is read, across closing and opening."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isohash.archive.putting import Put
from isohash.archive.store import CaseStore
from isohash.errors import InputError

RECIPE = {"software": {"isohash": "0.1"}, "seed": 7, "scale": 1.25, "name": "Hals–Kopf é"}


def case_arrays(rng, n=5):
    return {
        "codes": rng.integers(0, 256, (n, 16), dtype=np.uint8),
        "z": rng.standard_normal(n),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def test_what_is_put_is_read_after_reopening(folder, rng):
    arrays = case_arrays(rng)
    with CaseStore.create(folder, RECIPE, {"weights": b"\x00\x01" * 100}) as store:
        store.put("a", {"label": 3, "z": [1.5, None]}, arrays, fingerprint="f1")
    with CaseStore.open(folder) as store:
        assert store.ids() == ("a",)
        assert "a" in store
        assert len(store) == 1
        assert store.recipe == RECIPE
        assert store.metadata("a") == {"label": 3, "z": [1.5, None]}
        assert store.fingerprint("a") == "f1"
        assert store.read_file("weights") == b"\x00\x01" * 100
        for name, array in arrays.items():
            found = store.arrays("a")[name]
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)
            assert not found.flags.writeable
        assert store.verify().ok


def test_an_upsert_keeps_the_place_and_a_second_put_after_delete_goes_last(folder, rng):
    with CaseStore.create(folder, RECIPE) as store:
        for name in "abc":
            store.put(name, {"v": 1}, case_arrays(rng))
        store.put("a", {"v": 2}, case_arrays(rng, 2))
        assert store.ids() == ("a", "b", "c")
        assert store.metadata("a") == {"v": 2}
        store.delete("b")
        store.put("b", {"v": 3}, {})
        assert store.ids() == ("a", "c", "b")
    assert CaseStore.open(folder).ids() == ("a", "c", "b")


def test_gather_joins_the_cases_in_order_and_skips_those_without_the_array(folder, rng):
    with CaseStore.create(folder, RECIPE) as store:
        parts = [case_arrays(rng, n) for n in (3, 0, 4)]
        for name, part in zip("abc", parts, strict=True):
            store.put(name, {}, part)
        store.put("d", {}, {})
        rows = store.gather("codes")
        np.testing.assert_array_equal(rows.array, np.concatenate([p["codes"] for p in parts]))
        assert rows.start.tolist() == [0, 3, 3, 7, 7]
        assert rows.case.tolist() == [0, 0, 0, 2, 2, 2, 2]
        pieces = list(store.chunks("codes", max_bytes=16 * 4))
        np.testing.assert_array_equal(np.concatenate([p.array for p in pieces]), rows.array)
        np.testing.assert_array_equal(np.concatenate([p.case for p in pieces]), rows.case)
        assert len(pieces) > 1


def test_a_folder_that_is_no_archive_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="no archive at"):
        CaseStore.open(tmp_path / "absent")
    with pytest.raises(InputError, match="not an isohash archive"):
        CaseStore.open(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        CaseStore.create(tmp_path, RECIPE)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_second_writer_is_refused_and_readers_go_on(folder, rng):
    with CaseStore.create(folder, RECIPE) as store:
        store.put("a", {}, case_arrays(rng))
        with pytest.raises(InputError, match="locked"):
            CaseStore.open(folder, writable=True)
        with CaseStore.open(folder) as reader:
            store.put("b", {}, {})
            store.delete("a")
            assert reader.ids() == ("a",)
            assert reader.arrays("a")["codes"].shape == (5, 16)
        with CaseStore.open(folder) as reader:
            assert reader.ids() == ("b",)
    with CaseStore.open(folder, writable=True) as store:
        store.put("c", {}, {})


def test_a_newer_format_names_both_versions_and_the_next_step(folder, monkeypatch):
    monkeypatch.setattr("isohash.archive.folder.FORMAT", 2)
    CaseStore.create(folder, RECIPE).close()
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"format 2, this isohash reads format 1: upgrade"):
        CaseStore.open(folder)


def test_a_reader_cannot_write(folder):
    CaseStore.create(folder, RECIPE).close()
    with CaseStore.open(folder) as store, pytest.raises(InputError, match="reading only"):
        store.put("a", {}, {})


@pytest.mark.parametrize(
    ("metadata", "arrays", "message"),
    [
        ({"x": float("nan")}, {}, "finite"),
        ({"x": np.zeros(2)}, {}, "JSON"),
        ({}, {"o": np.array([object()])}, "dtype"),
        ({}, {"s": np.array(["text"])}, "dtype"),
        ({}, {"x": np.float64(1.0)}, "scalar"),
        ({}, {"": np.zeros(1)}, "not empty"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(
    folder, metadata, arrays, message
):
    with CaseStore.create(folder, RECIPE) as store:
        with pytest.raises(InputError, match=message):
            store.put("a", metadata, arrays)
        assert store.ids() == ()
    assert sorted(p.name for p in (folder / "segments").iterdir()) == []


def test_the_recipe_can_be_read_by_a_person_and_replaced(folder):
    with CaseStore.create(folder, RECIPE) as store:
        store.set_recipe({**RECIPE, "seed": 8})
        assert store.recipe["seed"] == 8
    assert json.loads((folder / "recipe.json").read_text())["recipe"]["seed"] == 8
    with CaseStore.open(folder) as store:
        assert store.recipe == {**RECIPE, "seed": 8}
        assert store.verify().ok


def test_arrays_of_any_layout_are_stored_by_value(folder, rng):
    array = rng.integers(-9, 9, (4, 6, 5)).astype("<i4")
    layouts = {
        "big endian": array.astype(">i4"),
        "Fortran": np.asfortranarray(array),
        "every other": np.repeat(array, 2, axis=1)[:, ::2],
        "backwards": array[::-1][::-1],
    }
    read_only = array.copy()
    read_only.flags.writeable = False
    with CaseStore.create(folder, RECIPE) as store:
        store.put("a", {}, {**layouts, "read only": read_only})
        store.compact()
        for found in store.arrays("a").values():
            assert found.dtype == np.dtype("<i4")
            np.testing.assert_array_equal(found, array)


def test_after_compaction_gather_is_a_view_of_one_block(folder, rng):
    with CaseStore.create(folder, RECIPE) as store:
        for i in range(20):
            store.put(f"case {i}", {}, case_arrays(rng, i % 4))
        before = store.gather("codes")
        assert before.array.base is None
        store.delete("case 19")
        store.compact()
        after = store.gather("codes")
        np.testing.assert_array_equal(after.array, before.array[: before.start[19]])
        assert after.array.base is not None
        assert not after.array.flags.writeable
        assert store.info()["segments"] == 1


def test_gather_says_which_array_is_missing_or_does_not_fit(folder):
    with CaseStore.create(folder, RECIPE) as store:
        with pytest.raises(InputError, match="no case here holds an array 'codes'"):
            store.gather("codes")
        store.put("a", {}, {"codes": np.zeros((2, 4), np.uint8)})
        store.put("b", {}, {"codes": np.zeros((2, 5), np.uint8)})
        with pytest.raises(InputError, match="read it case by case"):
            store.gather("codes")
        with pytest.raises(InputError, match="has no array 'x'; it has codes"):
            store.arrays("a", ["x"])
        with pytest.raises(InputError, match="has no case 'c'"):
            store.metadata("c")
        with pytest.raises(InputError, match="has no file 'w'; it has none"):
            store.read_file("w")


def test_more_arrays_than_a_segment_takes_are_refused(folder):
    with CaseStore.create(folder, RECIPE) as store:
        many = dict.fromkeys(map(str, range(70_000)), np.zeros(0, np.uint8))
        with pytest.raises(InputError, match="70001 arrays"):
            store.put("a", {}, many)
        assert store.ids() == ()
        store.put("a", {}, {})


def test_the_same_puts_make_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        with CaseStore.create(tmp_path / name, RECIPE, {"weights": b"1"}) as store:
            for i in range(3):
                store.put(f"case {i}", {"i": i}, case_arrays(np.random.default_rng(i)))
            store.compact()
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file():
            assert (
                path.read_bytes()
                == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
            )


def test_verify_and_compact_report_their_progress(folder, rng):
    calls = []
    with CaseStore.create(folder, RECIPE) as store:
        for i in range(3):
            store.put(f"case {i}", {}, case_arrays(rng))
        for act in (store.verify, store.compact):
            calls.clear()
            act(progress=lambda *call: calls.append(call))
            done = [call[0] for call in calls]
            assert done == sorted(done)
            assert calls[-1][0] == calls[-1][1] > 0


def test_several_cases_put_as_one_are_each_what_was_put(folder, rng):
    cases = [Put(name, {"v": name}, case_arrays(rng, n), "f") for n, name in enumerate("xyz")]
    with CaseStore.create(folder, RECIPE) as store:
        store.put("y", {"v": "old"}, case_arrays(rng))
        segments = store.info()["segments"]
        store.put_all(cases)
        assert store.info()["segments"] == segments + 1
        store.put("last", {}, {})
    with CaseStore.open(folder) as store:
        assert store.ids() == ("y", "x", "z", "last")
        for one in cases:
            assert store.metadata(one.id) == one.metadata
            for name, array in one.arrays.items():
                np.testing.assert_array_equal(store.arrays(one.id)[name], array)
        together = np.concatenate([cases[i].arrays["z"] for i in (1, 0, 2)])
        np.testing.assert_array_equal(store.gather("z").array, together)
        assert store.verify().ok


def test_arrays_of_one_name_and_other_shapes_can_be_put_as_one(folder, rng):
    shapes = {"a": (2, 3), "b": (1, 4), "c": (5, 3)}
    made = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    with CaseStore.create(folder, RECIPE) as store:
        store.put_all([Put(name, {}, {"x": array}) for name, array in made.items()])
        for name, array in made.items():
            np.testing.assert_array_equal(store.arrays(name)["x"], array)


def test_of_cases_put_as_one_none_is_kept_if_one_is_refused(folder):
    good = Put("good", {}, {})
    with CaseStore.create(folder, RECIPE) as store:
        for bad in (Put("", {}, {}), Put("good", {}, {}), Put("odd", {}, {"x": np.array("text")})):
            with pytest.raises(InputError):
                store.put_all([good, bad])
        store.put_all([])
        assert len(store) == 0
