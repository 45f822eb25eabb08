"""Copies of archives that are being written: consistent, of what is new only, checked."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from isohash.apps.cli.main import app
from isohash.archive.backup import backup
from isohash.archive.state import segment_files
from isohash.archive.store import CaseStore
from isohash.archive.verify import verify
from isohash.errors import InputError

N_BACKUPS = 8


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with CaseStore.create(tmp_path / "a", {"n": 1}, {"weights": b"12"}) as store:
        for i in range(4):
            store.put(f"case {i}", {"i": i}, {"v": np.full(5, i)})
    return tmp_path / "a"


def content(path: Path) -> dict:
    with CaseStore.open(path) as store:
        files = {n: store.read_file(n) for n in store.file_names()}
        cases = {n: (store.metadata(n), store.arrays(n)["v"].tolist()) for n in store}
        return {"recipe": store.recipe, "files": files, "cases": cases, "order": store.ids()}


def test_a_backup_is_the_archive_and_only_what_is_new_is_copied_again(
    archive: Path, tmp_path: Path
) -> None:
    first = backup(archive, tmp_path / "b")
    assert (first.n_cases, first.n_segments, first.n_copied) == (4, 5, 5)
    assert content(tmp_path / "b") == content(archive)
    assert backup(archive, tmp_path / "b").n_copied == 0
    with CaseStore.open(archive, writable=True) as store:
        store.put("case 9", {}, {"v": np.zeros(2)})
        store.delete("case 0")
        assert backup(archive, tmp_path / "b").n_copied == 2  # beside the writer
        assert content(tmp_path / "b") == content(archive)
        store.set_recipe({"n": 2})
        store.compact()
    assert backup(archive, tmp_path / "b").n_copied == 1
    assert content(tmp_path / "b") == content(archive)
    assert len(segment_files(tmp_path / "b")) == 2  # what the compaction replaced is gone there too
    assert verify(tmp_path / "b").notes == ()


def write(archive: Path) -> None:
    with CaseStore.open(archive, writable=True) as store:
        for i in range(100_000):
            store.put(f"case {i % 7}", {"i": i}, {"v": np.full(5, i)})
            if i % 17 == 0:
                store.compact()


def test_backups_beside_a_writer_are_each_one_moment(archive: Path, tmp_path: Path) -> None:
    """Metadata and arrays of a case are of one put, and no case goes back in time."""
    child = os.fork()
    if child == 0:
        write(archive)
        os._exit(0)
    try:
        latest = 0
        for _ in range(N_BACKUPS):
            backup(archive, tmp_path / "b")
            cases = content(tmp_path / "b")["cases"]
            assert all(v == [facts["i"]] * 5 for facts, v in cases.values())
            newest = max(facts["i"] for facts, _ in cases.values())
            assert newest >= latest
            latest = newest
            time.sleep(0.05)
        assert latest > 10
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_killed_backup_is_made_whole_by_the_next(archive: Path, tmp_path: Path) -> None:
    from isohash.whole_files import failpoints

    class Killed(BaseException):
        pass

    for step in (*range(0, 54, 9), *range(54, 80, 2)):
        left = step

        def kill(operation: str, path: Path) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        try:
            with failpoints(kill):
                backup(archive, tmp_path / "b")
        except Killed:
            pass
        backup(archive, tmp_path / "b")
        assert content(tmp_path / "b") == content(archive)
        if step % 2:
            shutil.rmtree(tmp_path / "b")
        with CaseStore.open(archive, writable=True) as store:
            store.put("case 1", {"step": step}, {"v": np.full(3, step)})


def test_a_damaged_backup_is_mended_or_told(archive: Path, tmp_path: Path) -> None:
    backup(archive, tmp_path / "b")
    segment = segment_files(tmp_path / "b")[2][0]
    good = segment.read_bytes()
    segment.write_bytes(b"damage")
    assert backup(archive, tmp_path / "b").n_copied == 1
    assert segment.read_bytes() == good
    data = bytearray(good)
    data[-60] ^= 1  # within the body, or its checksums
    segment.write_bytes(data)
    try:
        assert backup(archive, tmp_path / "b").n_copied == 1
    except InputError as error:
        assert segment.name in str(error)  # noqa: PT017 - which of both depends on the byte


def test_nothing_else_than_a_backup_is_written_over(archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with CaseStore.create(other, {"n": 5}) as store:
        store.put("mine", {}, {"v": np.zeros(1)})
    with pytest.raises(InputError, match="not a backup of one"):
        backup(archive, other)
    backup(other, tmp_path / "b")
    with pytest.raises(InputError, match="is not a backup of"):
        backup(archive, tmp_path / "b")
    with CaseStore.open(archive, writable=True) as store:
        store.compact()
    with pytest.raises(InputError, match="is not a backup of"):
        backup(archive, tmp_path / "b")
    with pytest.raises(InputError, match="the archive itself"):
        backup(archive, archive)
    with pytest.raises(InputError, match="lies in the archive"):
        backup(archive, archive / "b")
    assert content(tmp_path / "b") == content(other)
    with pytest.raises(InputError, match="no archive"):
        backup(tmp_path / "nothing", tmp_path / "c")


def test_the_command_says_what_it_did(archive: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["backup", str(archive), str(tmp_path / "b")])
    assert "4 cases in 5 segments, 5 of them copied" in done.stdout
    again = CliRunner().invoke(app, ["backup", str(archive), str(tmp_path / "b"), "--json"])
    assert '"n_copied": 0' in again.stdout
