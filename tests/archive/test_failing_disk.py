"""A disk that fails at any write, fsync, rename, unlink or commit loses nothing acknowledged."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from store_model import RECIPE, FailAt, Model, assert_equal, is_equal, perform

from isohash.archive.store import CaseStore
from isohash.archive.verify import verify
from isohash.errors import InputError
from isohash.whole_files import failpoints

HISTORY = [
    ["put", "a", 1],
    ["put", "b", 7],
    ["file", "weights", 1],
    ["put", "a", 2],
    ["put", "c", 4],
    ["delete", "b"],
    ["file", "weights", 2],
]
OPERATIONS = [
    ["put", "new", 9],
    ["put", "a", 14],
    ["delete", "c"],
    ["file", "weights", 3],
    ["recipe", 99],
    ["compact"],
]


def start(folder: Path) -> tuple[CaseStore, Model]:
    store, model = CaseStore.create(folder, RECIPE), Model()
    for operation in HISTORY:
        perform(store, operation)
        model.apply(operation)
    return store, model


FAILURES = {
    "disk full": {"code": errno.ENOSPC},
    "failing disk": {"code": errno.EIO},
    "disk full from here on": {"code": errno.ENOSPC, "forever": True},
}


@pytest.fixture
def archive(quick_tmp) -> tuple[Path, Model]:
    store, model = start(quick_tmp / "original")
    store.close()
    return quick_tmp / "original", model


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        ("disk full", True),
        ("failing disk", True),
        ("disk full from here on", True),
        ("disk full from here on", False),
    ],
    ids=lambda value: {True: "then repeated", False: "then closed"}.get(value, value),
)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: " ".join(map(str, o)))
def test_an_operation_that_fails_anywhere_is_all_or_nothing(archive, operation, failure, again):
    original, before = archive
    after = before.copy()
    after.apply(operation)
    for k in range(100):
        folder = original.with_name(str(k))
        shutil.copytree(original, folder)
        store = CaseStore.open(folder, writable=True)
        hook = FailAt(k, **FAILURES[failure])
        with failpoints(hook):
            allowed = [after] if attempt(store, operation) else [before, after]
            assert any(is_equal(store, model) for model in allowed), hook.hit
            if not again:
                store.close()
                assert verify(folder).ok, hook.hit
        with CaseStore.open(folder) as reader:
            assert any(is_equal(reader, model) for model in allowed), hook.hit
        if failure != "disk full from here on":
            assert not list((folder / "segments").glob("tmp-*")), hook.hit
        if again and (operation[0] != "delete" or "c" in store):
            perform(store, operation)
            allowed = [after]
            assert_equal(store, after)
        store.close()
        with CaseStore.open(folder, writable=True) as reader:
            assert any(is_equal(reader, model) for model in allowed), hook.hit
        report = verify(folder)
        assert report.ok, (hook.hit, report)
        assert not report.notes, (hook.hit, report)
        if not hook.hit:
            break
    assert not hook.hit, "the operation has more than 100 steps"
    assert k > 3


def refusal(action: Callable[..., object], *arguments: object) -> str | None:
    """The message with which an action was refused, None if it was not."""
    try:
        action(*arguments)
    except InputError as error:
        return str(error)
    return None


def attempt(store: CaseStore, operation: list) -> bool:
    """Whether the operation was acknowledged; a refusal is one line that names the archive."""
    message = refusal(perform, store, operation)
    assert message is None or (str(store.path) in message and "\n" not in message)
    return message is None


def reopen(folder: Path) -> None:
    CaseStore.open(folder, writable=True).close()


def test_closing_and_reopening_on_a_failing_disk_loses_nothing(quick_tmp):
    for k in range(100):
        folder = quick_tmp / str(k)
        store, model = start(folder)
        hook = FailAt(k)
        with failpoints(hook):
            store.close()
            message = refusal(reopen, folder)
            assert message is None or "free some space" in message
        with CaseStore.open(folder) as reader:
            assert_equal(reader, model)
            assert reader.verify().ok
        with CaseStore.open(folder, writable=True) as store:
            perform(store, ["put", "late", 3])
        assert CaseStore.open(folder).verify().notes == ()
        if not hook.hit:
            break
    assert not hook.hit
    assert k > 3


def create(folder: Path) -> None:
    CaseStore.create(folder, RECIPE, {"weights": b"1"}).close()


def test_creating_on_a_failing_disk_leaves_no_archive_and_can_be_tried_again(quick_tmp):
    for k in range(100):
        folder = quick_tmp / str(k) / "deep" / "archive"
        hook = FailAt(k)
        with failpoints(hook):
            message = refusal(create, folder)
            assert message is None or "free some space" in message
        if not (folder / "recipe.json").exists():
            with pytest.raises(InputError, match="no"):
                CaseStore.open(folder)
            create(folder)
        with CaseStore.open(folder, writable=True) as store:
            assert store.read_file("weights") == b"1"
        assert verify(folder).ok
        if not hook.hit:
            break
    assert not hook.hit
    assert k > 10


def test_a_disk_that_stays_full_refuses_every_write_and_goes_on_reading(quick_tmp):
    store, model = start(quick_tmp / "archive")

    def full(operation: str, path: Path) -> None:
        if operation in ("write", "commit", "checkpoint"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with failpoints(full):
        for operation in OPERATIONS:
            with pytest.raises(InputError, match="No space left on device; free some space"):
                perform(store, operation)
            assert_equal(store, model)
        store.close()
    with CaseStore.open(quick_tmp / "archive") as reader:
        assert_equal(reader, model)
        assert reader.verify().ok


LIMITED = """
import resource, sys
from store_model import put_version
from isohash.archive.store import CaseStore
from isohash.errors import InputError

limit = int(sys.argv[2])
store = CaseStore.open(sys.argv[1], writable=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    for version in range(1, 1000):
        put_version(store, f"case {version}", version)
        print(version, flush=True)
except InputError as error:
    print(error)
store.close()
"""


@pytest.mark.parametrize("limit", [9_000, 30_000, 100_000, 400_000])
def test_a_real_refusal_of_the_operating_system_also_within_sqlite_loses_nothing(quick_tmp, limit):
    """The process may not make files longer than `limit`, so that SQLite's own writes fail too."""
    folder = quick_tmp / "archive"
    CaseStore.create(folder, RECIPE).close()
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), str(limit)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"},
    )
    *acknowledged, refusal = result.stdout.splitlines()
    assert f"cannot write to archive {folder}" in refusal
    assert verify(folder).ok
    model = Model()
    for version in map(int, acknowledged):
        model.apply(["put", f"case {version}", version])
    assert model.cases or limit < 10_000
    with CaseStore.open(folder) as reader:
        assert_equal(reader, model)
    with CaseStore.open(folder, writable=True) as store:
        perform(store, ["put", "later", 5])
        model.apply(["put", "later", 5])
        assert_equal(store, model)
    assert verify(folder).notes == ()
