"""A power failure at any moment of indexing, removing, merging and backing up takes nothing away.

All that these do to the disk is recorded (`power/recorder.c`) and replayed up to a random moment;
of what was not yet safe then, random parts reach the disk in random order (`power/replay.py`).
Whatever was acknowledged by then must be there, nothing else but the change in work, and `verify`
must agree.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attack.power.replay import Disk, recorded, written
from attack.power.workload import held
from isohash.archive.backup import backup
from isohash.archive.store import CaseStore
from isohash.archive.verify import verify
from isohash.errors import InputError

POWER = Path(__file__).with_name("power")


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or pytest.skip("no C compiler to build the recorder with")
    if not sys.platform.startswith("linux"):
        pytest.skip("the recorder is made for Linux")
    library = tmp_path_factory.mktemp("recorder") / "recorder.so"
    flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror")
    subprocess.run([compiler, *flags, "-o", library, POWER / "recorder.c", "-ldl"], check=True)
    return library


def record(recorder: Path, folder: Path, kind: str) -> tuple[Path, list[Any]]:
    """The folder that was worked in, and what was done to the disk."""
    root = folder / "disk"
    root.mkdir()
    environment = {
        **os.environ,
        "LD_PRELOAD": str(recorder),
        "RECORD_ROOT": str(root),
        "RECORD_LOG": str(folder / "log"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, POWER / "workload.py", root, folder / "other", kind]
    subprocess.run(command, check=True, env=environment, timeout=1200)
    return root, recorded(folder / "log")


def possible(told: list[Any], later: list[Any], name: str) -> list[Any]:
    """What an archive may hold: what was acknowledged last, or the change in work.

    None is no archive. A backup in work goes through the states of its archive since the last one.
    """
    seen = [(n, holds) for n, (archive, holds) in enumerate(told) if archive == name]
    n, last = next((one for one in reversed(seen) if one[1] is not None), (0, None))
    if not seen or seen[-1][1] is not None:
        return [last]
    of_source = [holds for archive, holds in told[n:] if archive == "archive" and holds is not None]
    between = of_source if name == "copy" else []
    return [last, *between, next(holds for archive, holds in later if archive == name and holds)]


def found(archive: Path) -> Any:
    """What the archive says, checked; None where none is."""
    try:
        with CaseStore.open(archive) as store:
            holds = held(store)
    except InputError:
        if (archive / "recipe.json").exists():
            raise
        return None
    assert verify(archive).ok, verify(archive)
    return holds


def goes_on(archive: Path, holds: Any) -> None:
    """A writer finds the same, and can write."""
    with CaseStore.open(archive, writable=True) as store:
        assert held(store) == holds
        store.put("one more", {}, {})
        store.delete("one more")
    assert verify(archive).ok, verify(archive)
    assert found(archive) == holds


def survives(disk: Disk, later: list[Any], root: Path, target: Path, chance: random.Random) -> None:
    written(disk.after_failure(chance), root, target)
    archive, copy = target / "archive", target / "copy"
    holds = {}
    for path in (archive, copy):
        holds[path] = found(path)
        may = possible(disk.told, later, path.name)
        assert holds[path] in may, f"{path.name}: something acknowledged is lost"
    if holds[archive] is not None:
        backup(archive, copy)
        assert found(copy) == holds[archive]
        goes_on(archive, holds[archive])
        goes_on(copy, holds[archive])
    shutil.rmtree(target)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "tries"), [("vectors", 300), ("cases", 100)])
def test_a_power_failure_at_any_moment_loses_nothing_acknowledged(
    recorder: Path, tmp_path: Path, figures: Callable[[str], None], kind: str, tries: int
) -> None:
    root, done = record(recorder, tmp_path, kind)
    assert "?" not in {one.kind for one in done}
    chance, disk, whole = random.Random(14), Disk(root), Disk(root)
    for one in done:
        whole.do(one)
    assert_recorded(whole, root)
    moments = sorted(chance.choices(range(len(done)), k=tries))
    for at, one in enumerate(done):
        disk.do(one)
        for _ in range(moments.count(at)):
            survives(disk, whole.told[len(disk.told) :], root, tmp_path / "left", chance)
    n_told = sum(holds is not None for _, holds in whole.told)
    assert n_told > 15
    figures(
        f"power failures ({kind}): {tries} tries within {len(done)} writes of {n_told} "
        f"acknowledged changes, {tries} held"
    )


def assert_recorded(disk: Disk, root: Path) -> None:
    """Nothing that was written escaped the recorder."""
    for path in root.rglob("*"):
        if path.is_file() and not path.name.endswith("-shm"):
            file = disk.now[str(path)]
            assert file is not None
            assert bytes(file.now) == path.read_bytes(), f"{path} was written unseen"
    there = {str(path) for path in root.rglob("*")}
    assert {path for path in disk.now if not path.endswith("-shm")} <= there
