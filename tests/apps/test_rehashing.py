"""An archive hashed anew with a learned kernel: all at once or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from isohash.apps.engine import Archive
from isohash.apps.rehashing import rehash, train_kernel
from isohash.archive.store import CaseStore
from isohash.errors import InputError


@pytest.fixture
def learned(archive_path: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(archive_path, tmp_path / "A"))
    rows = train_kernel(copy, n_particles=20)
    assert {row["view"] for row in rows} == {"ct", "dose"}
    return copy


def distances(path: Path) -> dict[str, list[float]]:
    with Archive.open(path) as archive:
        return {case: archive.query(case, k=5, rerank=0).distances for case in archive}


def test_the_archive_is_hashed_with_the_learned_kernel(learned: Path) -> None:
    before = distances(learned)
    assert rehash(learned) == 15
    after = distances(learned)
    assert after != before
    with Archive.open(learned) as archive:
        assert archive.recipe["kernel"] == {"ct": "isometry", "dose": "isometry"}
        kept = json.loads(archive.store.read_file("kernel-ct"))["particles"]
        assert archive.pipeline.models["ct"].hash.kernel.particles.tolist() == kept
        for case in archive:
            assert archive.query(case, k=1, same_patient=True, rerank=0).distances == [0.0]
        assert archive.verify().problems == ()


def test_hashing_twice_gives_the_same_codes(learned: Path) -> None:
    rehash(learned)
    once = distances(learned)
    rehash(learned)
    assert distances(learned) == once


@pytest.mark.parametrize("survivors", [0, 7, 15])
def test_an_interrupted_rehash_changes_no_answer(
    learned: Path, survivors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = distances(learned)
    real, done = CaseStore.put, []

    def dying(*arguments, **named) -> None:
        if len(done) == survivors:
            raise KeyboardInterrupt
        done.append(real(*arguments, **named))

    with monkeypatch.context() as context:
        context.setattr(CaseStore, "put", dying)
        context.setattr(CaseStore, "set_recipe", dying)
        with pytest.raises(KeyboardInterrupt):
            rehash(learned)
    assert distances(learned) == before
    rehash(learned)
    assert distances(learned) != before


def test_reuse_without_a_kernel_is_refused(archive_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(archive_path, tmp_path / "B"))
    with pytest.raises(InputError, match="run isohash train kernel first"):
        rehash(copy)
