"""A small archive of synthetic families, made once, and the command line in this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from isohash.apps.cli import main as cli
from isohash.records import Case
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.engine import Archive
from small_cases import (
    DOSED_FAMILIES,
    DOSED_MEMBERS,
    MEMBERS,
    OPTIONS,
    index_with_bare,
    phantom,
    quick_doses,
    some_phantoms,
)


@pytest.fixture(scope="session")
def archive_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that tests only read."""
    path = tmp_path_factory.mktemp("archive") / "A"
    index_found(some_phantoms(), path, OPTIONS)
    return path


@pytest.fixture
def archive(archive_path: Path):
    with Archive.open(archive_path) as opened:
        yield opened


@pytest.fixture
def other_patient() -> Case:
    """A case of family 1 that is not in the archive."""
    return replace(phantom(1, MEMBERS), id="new", patient="new")


@pytest.fixture(scope="session")
def dosed_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a dose model, see `index_with_bare`."""
    path = tmp_path_factory.mktemp("dosed") / "A"
    with quick_doses():
        return index_with_bare(path, DOSED_FAMILIES, DOSED_MEMBERS, {**OPTIONS, "dose_model": True})


@pytest.fixture
def dosed(dosed_path: Path):
    with Archive.open(dosed_path) as opened:
        yield opened


@pytest.fixture
def new_patient() -> Case:
    return replace(phantom(1, DOSED_MEMBERS), id="new", patient="new", dose=None)


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture
def isohash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line: `isohash("query", archive, "id")` -> Outcome."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["isohash", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        text = capsys.readouterr()
        return Outcome(status, text.out, text.err)

    return run
