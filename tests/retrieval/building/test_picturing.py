"""Pictures in archives: kept by default, left out on demand, added later, damaged and removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.building.merging import merge
from isohash.retrieval.building.removal import remove
from isohash.retrieval.engine import Archive
from isohash.retrieval.soundness import repair, verify
from small_cases import OPTIONS, some_phantoms

FEW = {**OPTIONS, "fit_slices": 60, "fit_cases": 3, "bits": 64}


def arrays_of(path: Path) -> dict[str, dict[str, np.ndarray]]:
    with CaseStore.open(path) as store:
        return {name: split(store, name)[True] for name in store.ids()}


def split(store: CaseStore, name: str) -> dict[bool, dict[str, np.ndarray]]:
    """A case's arrays: those of its pictures (True), and the others."""
    found: dict[bool, dict[str, np.ndarray]] = {True: {}, False: {}}
    for one, array in store.arrays(name).items():
        found[one.startswith("picture.")][one] = np.array(array)
    return found


def as_before(path: Path) -> None:
    """As an earlier version left it: no such arrays, and a recipe that knows of none."""
    with CaseStore.open(path, writable=True) as store:
        recipe = Recipe(store.recipe)
        settings = {n: v for n, v in recipe["settings"].items() if n != "pictures"}
        store.set_recipe(recipe.changed(settings=settings))
        for name in store.ids():
            store.put(
                name, store.metadata(name), split(store, name)[False], store.fingerprint(name)
            )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "A"
    report = index_found(some_phantoms(2, 2), path, FEW)
    assert any("MB a case" in note for note in report.notes)
    return path


@pytest.fixture
def own(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "A"))


def test_pictures_are_added_to_an_archive_of_before(whole: Path, own: Path) -> None:
    as_before(own)
    assert not any(arrays_of(own).values())
    report = index_found(some_phantoms(2, 2), own, {})
    assert "4 of 4 cases have no pictures" in report.notes[-1]
    assert "--pictures" in report.notes[-1]
    assert not any(arrays_of(own).values())
    report = index_found(some_phantoms(2, 2), own, {"pictures": True})
    assert (report.indexed, len(report.unchanged), report.skipped) == ((), 4, ())
    assert not any("have no pictures" in note for note in report.notes)
    for name, arrays in arrays_of(whole).items():
        for one, array in arrays_of(own)[name].items():
            np.testing.assert_array_equal(array, arrays[one])
    with Archive.open(own) as before, Archive.open(whole) as archive:
        for name in archive:
            found, expected = before.query(name).matches, archive.query(name).matches
            assert [one.to_json() for one in found] == [one.to_json() for one in expected]
    assert verify(own).ok


def test_pictures_are_left_out_on_demand(tmp_path: Path, own: Path) -> None:
    path = tmp_path / "B"
    report = index_found(some_phantoms(2, 2), path, {**FEW, "pictures": False})
    assert not any("pictures" in note for note in report.notes)
    assert not any(arrays_of(path).values())
    with Archive.open(path) as archive:
        assert archive.entry("phantom-00-00").fine is None
    assert not index_found(some_phantoms(2, 3), path, {}).skipped
    assert not any(arrays_of(path).values())
    merge(path, own)
    assert not any(arrays_of(path).values())
    with pytest.raises(InputError, match="pictures = True, not False"):
        index_found(some_phantoms(2, 2), own, {"pictures": False})


def test_pictures_are_read_when_they_are_looked_at(own: Path) -> None:
    with Archive.open(own) as archive:
        looked: list[str] = []
        arrays = archive.store.arrays

        def told(name: str, names: list[str]) -> dict[str, np.ndarray]:
            looked.extend(one for one in names if one.startswith("picture."))
            return arrays(name, names)

        archive.store.arrays = told  # type: ignore[method-assign]
        entry = archive.entry("phantom-00-00")
        assert entry.picture(int(entry.arrays["slice.index"][0]))[0].shape == (128, 128)
        assert looked == []
        assert entry.fine.hu(0).shape == entry.fine.place.shape
        assert looked != []


def test_a_damaged_picture_is_found_and_its_case_told_as_lost(own: Path) -> None:
    with CaseStore.open(own) as store:
        data = store.arrays("phantom-00-01", ["picture.ct.bytes"])["picture.ct.bytes"].tobytes()
    (file,) = [f for f in sorted((own / "segments").iterdir()) if data in f.read_bytes()]
    spoilt = bytearray(file.read_bytes())
    spoilt[spoilt.find(data) + len(data) // 2] ^= 1
    file.write_bytes(spoilt)
    assert not verify(own).ok
    with Archive.open(own) as archive, pytest.raises(InputError):
        archive.entry("phantom-00-01").fine.hu(0)
    assert repair(own).lost_cases == ("phantom-00-01",)
    assert verify(own).ok


def test_a_removed_case_leaves_no_picture(own: Path) -> None:
    with CaseStore.open(own) as store:
        data = store.arrays("phantom-01-01", ["picture.ct.bytes"])["picture.ct.bytes"].tobytes()
    remove(own, ["phantom-01-01"])
    assert not any(data[:64] in f.read_bytes() for f in own.rglob("*") if f.is_file())
