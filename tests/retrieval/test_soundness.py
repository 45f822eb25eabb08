"""Verify means that questions can be answered; what is lost and known elsewhere is put back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from isohash.archive import sql
from isohash.errors import InputError
from isohash.retrieval.building.indexing import build_archive, index_found
from isohash.retrieval.engine import Archive
from isohash.retrieval.soundness import repair, verify
from small_cases import OPTIONS, lose, phantom, some_phantoms


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive whose encoders come with the package."""
    path = tmp_path_factory.mktemp("shipped") / "A"
    index_found(some_phantoms(2, 3), path, {**OPTIONS, "encoder": "deep", "dim": 128})
    return path


@pytest.mark.parametrize("name", ["encoder-ct", "encoder-dose"])
def test_a_lost_shipped_encoder_is_put_back(shipped: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(shipped, tmp_path / "A"))
    with Archive.open(copy) as archive:
        before = archive.query("phantom-00-00", k=3, by="joint")
    lose(copy, name)
    assert not verify(copy).ok
    done = repair(copy)
    assert done.restored == (name,)
    assert done.lost_files == ()
    assert verify(copy).ok
    with Archive.open(copy) as archive:
        assert archive.query("phantom-00-00", k=3, by="joint") == before


@pytest.mark.parametrize("what", ["cases", "vectors"])
def test_what_is_usual_is_measured_again_when_it_is_lost(tmp_path: Path, what: str) -> None:
    path = tmp_path / "A"
    if what == "cases":
        index_found(some_phantoms(2, 4), path, OPTIONS)
    else:
        build_archive(np.random.default_rng(0).standard_normal((60, 6)), path, bits=64)
    with Archive.open(path) as archive:
        before = archive.contents.usual
    lose(path, "likeness")
    assert not verify(path).ok
    assert repair(path).restored == ("likeness",)
    assert verify(path).ok
    with Archive.open(path) as archive:
        after = archive.contents.usual
    assert (after.names, after.of) == (before.names, before.of)
    if what == "cases":  # of vectors another draw of rows is measured
        np.testing.assert_array_equal(after.scores, before.scores)


def test_stored_cases_are_asked_without_encoders(shipped: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shipped, tmp_path / "A"))
    lose(copy, "encoder-ct")
    with Archive.open(shipped) as whole, Archive.open(copy) as archive:
        before, now = (one.query("phantom-00-00", k=3, by="joint") for one in (whole, archive))
        assert now == before
        with pytest.raises(InputError, match="verify"):
            archive.query(phantom(0, 7), k=3, by="ct")
    assert not verify(copy).ok


def test_what_cannot_be_put_back_stays_named(tmp_path: Path) -> None:
    copy = tmp_path / "A"
    index_found(some_phantoms(1, 3), copy, {**OPTIONS, "encoder": "pca"})
    lose(copy, "encoder-ct")
    assert repair(copy).lost_files == ("encoder-ct",)
    for _ in range(2):
        (problem,) = verify(copy).problems
        assert problem.segment == "encoder-ct"
        assert "backup" in problem.what


@pytest.mark.parametrize("name", ["hash-vector", "calibration-vector"])
def test_vectors_that_cannot_be_asked_are_no_sound_archive(tmp_path: Path, name: str) -> None:
    build_archive(np.random.default_rng(0).standard_normal((60, 6)), tmp_path / "A", bits=64)
    assert verify(tmp_path / "A").ok
    lose(tmp_path / "A", name)
    repair(tmp_path / "A")
    assert [problem.segment for problem in verify(tmp_path / "A").problems] == [name]


def test_damage_is_listed_once_and_a_repair_is_called_one(
    isohash, archive_path: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(archive_path, tmp_path / "A"))
    path = copy / sql.NAME
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:100])
    (problem,) = verify(copy).problems
    assert problem.segment == sql.NAME
    out = isohash("verify", copy, "--repair").out
    assert "rebuilt" in out
    assert "nothing to repair" not in out
    assert "nothing to repair" in isohash("verify", copy, "--repair").out
