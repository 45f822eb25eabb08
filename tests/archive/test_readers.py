"""Readers beside a writer: each sees one moment, whole and right, and keeps it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import numpy as np
import pytest
from store_model import RECIPE, Model, arrays_of, assert_equal, perform, put_version

from isohash.archive.store import CaseStore
from isohash.archive.verify import verify
from isohash.errors import InputError


def test_a_reader_keeps_its_moment_through_updates_deletes_and_compactions(tmp_path):
    folder = tmp_path / "archive"
    with CaseStore.create(folder, RECIPE) as store:
        model = Model()
        for i in range(5):
            perform(store, ["put", f"case {i}", i + 1])
            model.apply(["put", f"case {i}", i + 1])
        with CaseStore.open(folder) as reader:
            for i in range(5):
                store.put(f"case {i}", {}, arrays_of(50 + i))
                store.compact()
            store.delete("case 3")
            store.compact()
            assert_equal(reader, model)
            assert len(list((folder / "segments").iterdir())) > 5
        store.compact()
        assert len(list((folder / "segments").iterdir())) == 1
        assert store.ids() == ("case 0", "case 1", "case 2", "case 4")


def test_arrays_outlive_the_store_and_the_segments_they_came_from(tmp_path):
    folder = tmp_path / "archive"
    with CaseStore.create(folder, RECIPE) as store:
        put_version(store, "a", 7)
        arrays = store.arrays("a")
        put_version(store, "b", 1)
        store.compact()
    assert len(list((folder / "segments").iterdir())) == 1
    for name, array in arrays_of(7).items():
        np.testing.assert_array_equal(arrays[name], array)


def test_every_reader_that_opens_during_writes_sees_a_whole_moment(quick_tmp):
    """Versions only grow, so a mixed state would show versions of two moments."""
    folder = quick_tmp / "archive"
    store = CaseStore.create(folder, RECIPE)
    for i in range(4):
        put_version(store, f"case {i}", 1)
    finished = threading.Event()

    def write() -> None:
        for version in range(2, 30):
            for i in range(4):
                put_version(store, f"case {i}", version)
            if version % 5 == 0:
                store.compact()
        finished.set()

    writer = threading.Thread(target=write)
    writer.start()
    n_read = 0
    while not finished.is_set() or n_read == 0:
        with CaseStore.open(folder) as reader:
            model = Model()
            model.cases = {name: reader.metadata(name)["version"] for name in reader.ids()}
            versions = list(model.cases.values())
            assert versions == sorted(versions, reverse=True)
            assert versions[0] - versions[-1] <= 1
            assert_equal(reader, model)
            if n_read % 10 == 0:
                assert verify(folder).ok
        n_read += 1
    writer.join()
    store.close()


def child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process that is no superuser, whom permissions do not bind."""
    drop = "import os\nif os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
    header = (
        "import sys\n"
        "from isohash.archive.store import CaseStore\n"
        "from isohash.archive.verify import verify\n"
        "from isohash.errors import InputError\n"
    )
    return subprocess.run(
        [sys.executable, "-c", header + drop + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )


READ = """
with CaseStore.open(sys.argv[1]) as store:
    print(list(store.ids()), store.gather("codes").array.shape, store.read_file("weights")[:3])
    print(verify(sys.argv[1]).ok)
try:
    CaseStore.open(sys.argv[1], writable=True)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "left by a killed writer"])
def test_a_read_only_archive_is_read_and_a_write_is_refused_in_one_line(quick_tmp, closed):
    store = CaseStore.create(quick_tmp / "original", RECIPE, {"weights": b"123"})
    for i in range(3):
        put_version(store, f"case {i}", 2)
    if closed:
        store.close()
    folder = quick_tmp / "archive"
    shutil.copytree(quick_tmp / "original", folder)
    store.close()
    if not closed:
        (folder / "catalogue.sqlite-shm").unlink()
    quick_tmp.chmod(0o755)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    result = child(READ, folder)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:2] == ["['case 0', 'case 1', 'case 2'] (6, 24) b'123'", "True"]
    assert len(lines) == 3
    assert "cannot write to archive" in lines[2]
    assert "write permission" in lines[2]
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)


def test_reading_leaves_no_trace(tmp_path):
    folder = tmp_path / "archive"
    with CaseStore.create(folder, RECIPE) as store:
        put_version(store, "a", 2)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}
    with CaseStore.open(folder) as reader:
        reader.gather("codes")
        reader.verify()
    assert before == {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*")}


def test_a_closed_store_refuses_to_be_used(tmp_path):
    store = CaseStore.create(tmp_path / "archive", RECIPE)
    put_version(store, "a", 2)
    store.close()
    store.close()
    with pytest.raises(InputError, match="closed"):
        put_version(store, "b", 2)
    with pytest.raises(InputError, match="closed"):
        store.arrays("a")


def test_a_store_that_is_dropped_gives_its_lock_back(tmp_path):
    store = CaseStore.create(tmp_path / "archive", RECIPE)
    put_version(store, "a", 2)
    del store
    with CaseStore.open(tmp_path / "archive", writable=True) as store:
        assert store.ids() == ("a",)
        assert verify(tmp_path / "archive").ok


def test_a_stranger_reading_the_catalogue_when_the_writer_closes_does_no_harm(tmp_path):
    """An SQLite browser that keeps the log from being folded in leaves the catalogue unsealed."""
    folder = tmp_path / "archive"
    model = Model()
    store = CaseStore.create(folder, RECIPE)
    for version in (1, 2, 3):
        perform(store, ["put", f"case {version}", version])
        model.apply(["put", f"case {version}", version])
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as stranger:
        stranger.execute("BEGIN")
        assert stranger.execute("SELECT count(*) FROM cases").fetchone() == (3,)
        put_version(store, "case 4", 4)
        model.apply(["put", "case 4", 4])
        store.close()
        assert verify(folder).ok
        with CaseStore.open(folder) as reader:
            assert_equal(reader, model)
        with CaseStore.open(folder, writable=True) as store:
            assert_equal(store, model)
    assert verify(folder).ok
    CaseStore.open(folder, writable=True).close()
    report = verify(folder)
    assert report.ok
    assert report.notes == ()
