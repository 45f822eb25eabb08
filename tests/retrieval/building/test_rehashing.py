"""An archive hashed anew with a learned kernel: all at once or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.retrieval.building.indexing import build_archive
from isohash.retrieval.building.rehashing import rehash, train_kernel
from isohash.retrieval.engine import Archive


@pytest.fixture(scope="module")
def trained(archive_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with learned kernels that tests copy."""
    copy = Path(shutil.copytree(archive_path, tmp_path_factory.mktemp("trained") / "A"))
    rows = train_kernel(copy, n_particles=20)
    assert {row["view"] for row in rows} == {"ct", "dose"}
    return copy


@pytest.fixture
def learned(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "A"))


def distances(path: Path) -> dict[str, list[float]]:
    with Archive.open(path) as archive:
        return {case: archive.query(case, k=5, rerank=0).distances for case in archive}


def test_the_archive_is_hashed_with_the_learned_kernel(learned: Path) -> None:
    before = distances(learned)
    assert [(row["view"], row["hash"], row["bits"]) for row in rehash(learned)] == [
        ("ct", "cosine", 256), ("dose", "cosine", 256),
    ]  # fmt: skip
    after = distances(learned)
    assert after != before
    with Archive.open(learned) as archive:
        assert archive.recipe["kernel"] == {"ct": "isometry", "dose": "isometry"}
        kept = json.loads(archive.store.read_file("kernel-ct"))["particles"]
        assert archive.contents.pipeline.models["ct"].hash.kernel.particles.tolist() == kept
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


@pytest.fixture
def vectors(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A file of 400 labelled vectors in eight clusters, and its archive V beside it."""
    labels = rng.integers(0, 8, 400)
    rows = 4 * rng.normal(size=(8, 16))[labels] + rng.normal(size=(400, 16))
    np.savez(tmp_path / "v.npz", X=rows.astype(np.float32), y=labels)
    return tmp_path / "v.npz"


@pytest.mark.parametrize("family", [("--q", 2), ("--q", 10), ("--hash", "adaptive")])
def test_vectors_are_hashed_with_the_learned_kernel_whatever_they_had(
    vectors: Path, tmp_path: Path, isohash, family: tuple[str, object]
) -> None:
    archive = tmp_path / "V"
    assert isohash("index", vectors, archive, "--bits", 512, *family).status == 0
    learned = json.loads(isohash("train", "kernel", archive, "--particles", 20, "--json").out)
    assert learned[0]["view"] == "vector"
    told = isohash("index", vectors, archive, "--reuse")
    assert (told.status, told.err) == (0, "")
    assert "vector: hashed anew with the learned isometry kernel, 512 bits (cosine)" in told.out
    with Archive.open(archive) as opened:
        assert opened.verify().problems == ()
        assert opened.query("v:7", k=1, same_patient=True).distances == [0.0]
        assert opened.contents.model.hash.kernel.particles.shape == (20,)
    np.savez(tmp_path / "more.npz", X=np.load(vectors)["X"][:3])
    assert isohash("index", tmp_path / "more.npz", archive).status == 0
    with Archive.open(archive) as opened:
        assert opened.query("v:2", k=1).ids == ["more:2"]


def test_alignment_takes_the_labels_that_an_archive_has(vectors: Path, tmp_path: Path) -> None:
    build_archive(vectors, tmp_path / "V", bits=128)
    (row,) = train_kernel(tmp_path / "V", "alignment", n_particles=20)
    assert row["labels"] == "archive"
    np.save(tmp_path / "w.npy", np.load(vectors)["X"])
    build_archive(tmp_path / "w.npy", tmp_path / "W", bits=128)
    (row,) = train_kernel(tmp_path / "W", "alignment", n_particles=20)
    assert row["labels"] == "k-means"


def test_a_killed_training_goes_on_and_leaves_nothing_behind(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "VW":
        build_archive(vectors, tmp_path / name, bits=128)

    def killed(done: int, total: int, message: str) -> None:
        if done >= total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_kernel(tmp_path / "V", n_particles=20, progress=killed)
    assert (tmp_path / ".V.kernel").is_dir()
    train_kernel(tmp_path / "V", n_particles=10, seed=1)  # other options are no obstacle
    with pytest.raises(KeyboardInterrupt):
        train_kernel(tmp_path / "V", n_particles=20, progress=killed)
    steps = []
    resumed = train_kernel(tmp_path / "V", n_particles=20, progress=lambda *c: steps.append(c[0]))
    assert steps[0] > 1000
    assert resumed == train_kernel(tmp_path / "W", n_particles=20)
    assert not list(tmp_path.glob(".*"))


def test_an_archive_that_teaches_nothing_is_named(tmp_path: Path, isohash, rng) -> None:
    rows = np.zeros((300, 4), np.float32)
    rows[:40] = rng.normal(size=(40, 4))
    np.save(tmp_path / "v.npy", rows)
    build_archive(tmp_path / "v.npy", tmp_path / "V", bits=128)
    told = isohash("train", "kernel", tmp_path / "V")
    assert told.status == 1
    assert "duplicates" in told.err
    assert "objective must be" in isohash("train", "kernel", tmp_path / "V", "--objective", "x").err
    assert isohash("train", "kernel", tmp_path / "missing").status == 1


def test_reuse_without_a_kernel_is_refused(archive_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(archive_path, tmp_path / "B"))
    with pytest.raises(InputError, match="run isohash train kernel first"):
        rehash(copy)
