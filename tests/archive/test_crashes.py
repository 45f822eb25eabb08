"""kill -9 at any moment: what was acknowledged is there, the rest is all or nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_model import RECIPE, Model, assert_equal, is_equal

from isohash.archive.store import CaseStore
from isohash.archive.verify import verify
from isohash.errors import InputError


class Host:
    """The process that forks writers and kills them."""

    def __init__(self, archive: Path, seed: int) -> None:
        script = Path(__file__).with_name("crash_host.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(archive), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def round(self, how: str, amount: int, wait_ms: float = 0) -> list:
        print(how, amount, wait_ms, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def host(quick_tmp) -> Iterator[Host]:
    host = Host(quick_tmp / "archive", seed=1)
    yield host
    host.close()


@pytest.fixture
def archive(quick_tmp) -> Path:
    CaseStore.create(quick_tmp / "archive", RECIPE).close()
    return quick_tmp / "archive"


def after(model: Model, events: list) -> tuple[Model, Model]:
    """The state that was acknowledged, and the one with what was under way when it ended."""
    model, pending = model.copy(), None
    for event in events:
        assert event[0] != "error", event
        if event == "done":
            model.apply(pending)
            pending = None
        elif event != "open":
            pending = event[1]
    possible = model.copy()
    if pending:
        possible.apply(pending)
    return model, possible


def survive(archive: Path, model: Model, events: list) -> Model:
    """Check the archive after a kill; returns the state it is in."""
    acknowledged, possible = after(model, events)
    report = verify(archive)
    assert report.ok, report
    with CaseStore.open(archive) as reader:
        found = acknowledged if is_equal(reader, acknowledged) else possible
        assert_equal(reader, found)
    return found


def kill_at_random(host: Host, archive: Path, rng, figures, rounds: int) -> None:
    model, n_done, n_interrupted = Model(), 0, 0
    for _ in range(rounds):
        events = host.round("random", int(rng.integers(0, 12)), rng.uniform(0, 8))
        model = survive(archive, model, events)
        n_done += events.count("done")
        n_interrupted += bool(events) and events[-1] not in ("done", "open")
    assert n_done > rounds, "the writers were killed before they did anything"
    assert n_interrupted > rounds / 20, "the kills missed the writes"
    with CaseStore.open(archive, writable=True) as store:
        assert_equal(store, model)
    assert verify(archive).notes == ()
    figures(f"kill -9 at random: {rounds} tries, {n_interrupted} within a write, {rounds} held")


def test_kill_at_random_moments_loses_nothing_acknowledged(host, archive, rng, figures):
    kill_at_random(host, archive, rng, figures, rounds=40)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_four_hundred_kills_at_random_moments_lose_nothing_acknowledged(
    host, archive, rng, figures
):
    kill_at_random(host, archive, rng, figures, rounds=400)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("steps", [45, pytest.param(600, marks=pytest.mark.slow)])
def test_kill_before_every_step_on_the_disk_loses_nothing_acknowledged(
    host, archive, figures, steps
):
    model = Model()
    for k in range(steps):
        events = host.round("step", k % 150)
        model = survive(archive, model, events)
    figures(f"kill -9 before a step on the disk: {steps} tries, {steps} held")


def test_a_creation_killed_at_any_step_is_no_archive_or_a_whole_one(host, quick_tmp):
    folder = quick_tmp / "archive"
    for k in range(40):
        host.round("create", k)
        if (folder / "recipe.json").exists():
            store = CaseStore.open(folder, writable=True)
        else:
            with pytest.raises(InputError, match="no"):
                CaseStore.open(folder)
            store = CaseStore.create(folder, RECIPE, {"weights": b"1"})
        with store:
            assert store.read_file("weights") == b"1"
        report = verify(folder)
        assert report.ok
        assert report.notes == ()
        shutil.rmtree(folder)
