"""Repair keeps what is intact, names what is lost, and never brings back an older version."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from store_model import RECIPE, FailAt, Model, assert_equal, is_equal, perform

from isohash.archive import catalogue
from isohash.archive.repair import repair
from isohash.archive.segment_format import CHUNK
from isohash.archive.segments import Segment
from isohash.archive.store import CaseStore
from isohash.archive.verify import verify
from isohash.errors import InputError
from isohash.whole_files import failpoints

HISTORY = [
    ["put", "a", 1],
    ["put", "b", 3],
    ["file", "weights", 1],
    ["put", "a", 2],
    ["put", "c", 4],
    ["put", "d", 6],
    ["delete", "b"],
    ["recipe", 5],
]


def build(folder: Path, *more: list) -> Model:
    store, model = CaseStore.create(folder, RECIPE), Model()
    for operation in [*HISTORY, *more]:
        perform(store, operation)
        model.apply(operation)
    store.close()
    return model


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 16
    path.write_bytes(content)


def segment_of(folder: Path, case_id: str) -> Path:
    with CaseStore.open(folder) as store:
        return folder / "segments" / f"{store._log.state.cases[case_id].segment:012d}.seg"


def assert_whole(folder: Path, model: Model) -> None:
    """The archive is clean, right, and writable as before."""
    report = verify(folder)
    assert report.ok, report
    assert report.notes == ()
    with CaseStore.open(folder, writable=True) as store:
        assert_equal(store, model)
        perform(store, ["put", "later", 8])
        model = model.copy()
        model.apply(["put", "later", 8])
        assert_equal(store, model)
    with CaseStore.open(folder) as store:
        assert_equal(store, model)


def test_an_intact_archive_is_left_as_it_is(tmp_path):
    model = build(tmp_path / "a")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.s*")}
    done = repair(tmp_path / "a")
    assert done == type(done)()
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.s*")}
    assert_whole(tmp_path / "a", model)


@pytest.mark.parametrize("place", [3, 70, 200, -40, -1])
def test_a_damaged_segment_costs_its_case_and_no_other(tmp_path, place):
    folder = tmp_path / "a"
    model = build(folder)
    path = segment_of(folder, "c")
    flip(path, place)
    done = repair(folder)
    assert done.lost_cases == ("c",)
    assert done.quarantined == (f"quarantine/{path.name}",)
    assert (folder / "quarantine" / path.name).exists()
    del model.cases["c"]
    assert_whole(folder, model)


def test_a_missing_segment_costs_its_case_and_no_other(tmp_path):
    model = build(tmp_path / "a")
    segment_of(tmp_path / "a", "a").unlink()
    assert repair(tmp_path / "a").lost_cases == ("a",)
    del model.cases["a"]  # version 1 is intact, but it is not what was acknowledged last
    assert_whole(tmp_path / "a", model)


def test_a_damaged_file_is_named_and_no_older_one_comes_back(tmp_path):
    model = build(tmp_path / "a", ["file", "weights", 2])
    path = sorted((tmp_path / "a" / "segments").iterdir())[-1]
    flip(path, -40)
    assert repair(tmp_path / "a").lost_files == ("weights",)
    del model.files["weights"]
    assert_whole(tmp_path / "a", model)


@pytest.mark.parametrize("name", ["catalogue.sqlite", "catalogue.seal"])
@pytest.mark.parametrize("how", ["flipped", "emptied", "removed"])
@pytest.mark.parametrize("compact", [False, True])
def test_a_damaged_catalogue_is_rebuilt_from_the_segments(tmp_path, name, how, compact):
    folder = tmp_path / "a"
    model = build(folder, *([["compact"], ["delete", "c"], ["put", "a", 9]] if compact else []))
    if how == "flipped":
        for place in range(20, (folder / name).stat().st_size, 300):
            flip(folder / name, place)
    elif how == "emptied":
        (folder / name).write_bytes(b"")
    else:
        (folder / name).unlink()
    if name == "catalogue.sqlite":
        with pytest.raises(InputError, match=r"catalogue\.sqlite is damaged"):
            CaseStore.open(folder)
    done = repair(folder)
    assert done.lost_cases == ()
    with CaseStore.open(folder, writable=True):
        pass
    assert_whole(folder, model)


def test_a_damaged_recipe_is_restored_from_its_copy(tmp_path):
    model = build(tmp_path / "a")
    flip(tmp_path / "a" / "recipe.json", 40)
    with pytest.raises(InputError, match=r"recipe\.json is damaged"):
        CaseStore.open(tmp_path / "a")
    assert "restored" in repair(tmp_path / "a").notes[0]
    assert_whole(tmp_path / "a", model)


def test_a_recipe_of_which_no_copy_is_left_needs_a_backup(tmp_path):
    CaseStore.create(tmp_path / "a", {"n": 1}).close()  # without a segment that could have one
    flip(tmp_path / "a" / "recipe.json", 40)
    (tmp_path / "a" / "catalogue.sqlite").unlink()
    with pytest.raises(InputError, match=r"restore recipe\.json from a backup"):
        repair(tmp_path / "a")


def test_one_bad_chunk_of_a_compacted_segment_costs_only_the_cases_in_it(tmp_path, rng):
    folder = tmp_path / "a"
    arrays = {f"case {i}": rng.integers(0, 256, (4, CHUNK // 4), np.uint8) for i in range(6)}
    with CaseStore.create(folder, RECIPE) as store:
        for name, array in arrays.items():
            store.put(name, {}, {"pixels": array})
        store.compact()
    (path,) = (folder / "segments").iterdir()
    header = Segment(path).header
    block = header.blocks[1]
    flip(path, header.body_start + block.offset + 2 * CHUNK + CHUNK // 2)
    done = repair(folder)
    assert 1 <= len(done.lost_cases) <= 2
    assert "case 2" in done.lost_cases
    with CaseStore.open(folder) as store:
        assert store.ids() == tuple(name for name in arrays if name not in done.lost_cases)
        for name in store:
            np.testing.assert_array_equal(store.arrays(name)["pixels"], arrays[name])
    assert verify(folder).ok


def test_a_lost_log_and_a_damaged_segment_together_are_said_plainly(tmp_path):
    folder = tmp_path / "a"
    build(folder)
    path = segment_of(folder, "d")
    (folder / "catalogue.sqlite").unlink()
    path.unlink()
    done = repair(folder)
    assert any("segment 6 is missing; what it held is unknown" in note for note in done.notes)
    with CaseStore.open(folder) as store:
        assert store.ids() == ("a", "c")
    assert verify(folder).ok


def test_a_repair_killed_or_refused_at_any_step_can_be_done_again(quick_tmp):
    original = quick_tmp / "original"
    model = build(original)
    flip(segment_of(original, "c"), -40)
    flip(original / "catalogue.sqlite", 5000)
    del model.cases["c"]
    for k in range(100):
        folder = quick_tmp / str(k)
        shutil.copytree(original, folder)
        hook = FailAt(k, forever=True)
        with failpoints(hook):
            if hook_refuses(folder):
                with CaseStoreOrNothing(folder) as found:
                    assert found is None or is_equal(found, model)
        repair(folder)
        assert_whole(folder, model)
        if not hook.hit:
            break
    assert not hook.hit
    assert k > 10


def hook_refuses(folder: Path) -> bool:
    try:
        repair(folder)
    except InputError as error:
        message = str(error)
    else:
        return False
    assert "free some space" in message
    return True


class CaseStoreOrNothing:
    """A store if it opens, else None."""

    def __init__(self, folder: Path) -> None:
        try:
            self.store = CaseStore.open(folder)
        except InputError:
            self.store = None

    def __enter__(self) -> CaseStore | None:
        return self.store

    def __exit__(self, *exception: object) -> None:
        if self.store is not None:
            self.store.close()


def test_the_catalogue_rebuilt_from_segments_is_the_one_that_was(tmp_path):
    build(tmp_path / "a", ["compact"], ["put", "z", 3])
    state, recipe = catalogue.load(tmp_path / "a")
    (tmp_path / "a" / "catalogue.sqlite").unlink()
    repair(tmp_path / "a")
    assert catalogue.load(tmp_path / "a") == (state, recipe)
