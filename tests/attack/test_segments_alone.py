"""recipe.json and the catalogue lost together: the segments alone give everything back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from isohash.archive.repair import repair
from isohash.archive.segments import Segment
from isohash.archive.state import segment_files
from isohash.archive.store import CaseStore
from isohash.archive.verify import verify
from isohash.errors import InputError
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.engine import Archive
from small_cases import OPTIONS, some_phantoms

LOST = ("recipe.json", "catalogue.sqlite", "catalogue.seal")


def lose(archive: Path, how: str) -> None:
    for name in LOST:
        if how == "removed":
            (archive / name).unlink()
        else:
            (archive / name).write_bytes(b"damage")


@pytest.mark.parametrize("how", ["removed", "damaged"])
@pytest.mark.parametrize("history", ["puts", "recipe last", "compacted", "deleted", "rewritten"])
def test_everything_comes_back_from_the_segments(tmp_path: Path, how: str, history: str) -> None:
    folder = tmp_path / "a"
    with CaseStore.create(folder, {"n": 1, "é": [1.5, None]}, {"weights": b"123"}) as store:
        store.put("x", {"m": 1}, {"v": np.arange(4)}, "f")
        store.put("y", {"m": 2}, {"v": np.arange(5)})
        if history == "recipe last":
            store.set_recipe({"n": 2})
        if history == "compacted":
            store.set_recipe({"n": 3})
            store.compact()
        if history == "deleted":
            store.delete("x")
        if history == "rewritten":
            store.rewrite({"x": ({"m": 9}, "g")})
        before = {n: (store.metadata(n), store.arrays(n), store.fingerprint(n)) for n in store}
        recipe = store.recipe
    lose(folder, how)
    with pytest.raises(InputError):
        CaseStore.open(folder)
    found = repair(folder)
    assert (found.lost_cases, found.lost_files) == ((), ())
    assert any("newest segment" in note for note in found.notes)
    assert verify(folder).ok
    with CaseStore.open(folder, writable=True) as store:
        assert store.recipe == recipe
        assert list(store.ids()) == list(before)
        assert store.read_file("weights") == b"123"
        for name, (metadata, arrays, fingerprint) in before.items():
            assert (store.metadata(name), store.fingerprint(name)) == (metadata, fingerprint)
            np.testing.assert_array_equal(store.arrays(name)["v"], arrays["v"])
        store.put("z", {}, {"v": np.arange(2)})


def test_an_archive_of_cases_answers_as_before(tmp_path: Path) -> None:
    index_found(some_phantoms(1, 4), tmp_path / "a", OPTIONS)
    with Archive.open(tmp_path / "a") as archive:
        before = archive.query("phantom-00-00", k=3).to_json()
    lose(tmp_path / "a", "removed")
    repair(tmp_path / "a")
    with Archive.open(tmp_path / "a") as archive:
        assert archive.query("phantom-00-00", k=3).to_json() == before


def test_the_newest_readable_copy_counts(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with CaseStore.create(folder, {"n": 1}) as store:
        store.put("x", {}, {"v": np.arange(4)})
        store.set_recipe({"n": 2})
        store.put("y", {}, {"v": np.arange(4)})
    newest = segment_files(folder)[-1][0]
    newest.write_bytes(b"damage")
    lose(folder, "removed")
    repair(folder)
    with CaseStore.open(folder) as store:
        assert store.recipe == {"n": 2}
        assert list(store.ids()) == ["x"]


def test_archives_without_copies_open_and_get_them_with_the_next_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they were written before segments carried the recipe."""
    folder = tmp_path / "a"
    with monkeypatch.context() as patch:
        patch.setattr("isohash.archive.folder.copy_of", lambda recipe: {})
        with CaseStore.create(folder, {"n": 1}) as store:
            store.put("x", {}, {"v": np.arange(4)})
    assert not any("recipe" in Segment(path).header.extra for path, _ in segment_files(folder))
    shutil.copytree(folder, tmp_path / "old")
    lose(tmp_path / "old", "removed")
    with pytest.raises(InputError, match="from a backup"):
        repair(tmp_path / "old")
    assert verify(folder).ok
    with CaseStore.open(folder, writable=True) as store:
        store.put("y", {}, {"v": np.arange(4)})
    lose(folder, "removed")
    repair(folder)
    with CaseStore.open(folder) as store:
        assert (store.recipe, list(store.ids())) == ({"n": 1}, ["x", "y"])
