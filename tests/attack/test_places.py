"""Who may read what is written, and where nothing is written: whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from isohash.apps.cli.main import app
from isohash.apps.page.collage import write_collage
from isohash.apps.page.report import write_report
from isohash.archive.repair import repair
from isohash.archive.store import CaseStore
from isohash.archive.verify import verify
from isohash.errors import InputError
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.engine import Archive
from isohash.whole_files import write_whole
from small_cases import OPTIONS, some_phantoms


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Of all files and folders of an archive."""
    found = [folder, *folder.rglob("*")]
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in found}


def use(archive: Path) -> dict[str, int]:
    """All that writes; the modes while the log of the catalogue is there."""
    with CaseStore.open(archive, writable=True) as store:
        store.put("x", {}, {"v": np.zeros(3)})
        store.put_file("f", b"1")
        store.set_recipe({"n": 2})
        during = modes(archive)
        store.compact()
    (archive / "segments" / "000000000099.seg").write_bytes(b"damage")
    repair(archive)
    return during


def wrong(found: dict[str, int], folders: int, files: int) -> list[str]:
    named = ("segments", "quarantine", "archive")
    return [
        f"{name} {mode:o}"
        for name, mode in found.items()
        if mode != (folders if name in named else files) and name != "000000000099.seg"
    ]


def test_an_archive_is_its_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    CaseStore.create(tmp_path / "archive", {"n": 1}, {"weights": b"1"}).close()
    during = use(tmp_path / "archive")
    assert "catalogue.sqlite-wal" in during
    assert wrong(during, 0o700, 0o600) == []
    assert wrong(modes(tmp_path / "archive"), 0o700, 0o600) == []


def test_a_group_shares_an_archive_whose_folder_it_shares(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    folder.chmod(0o2770)
    CaseStore.create(folder, {"n": 1}).close()
    assert wrong(use(folder), 0o2770, 0o660) == []
    assert wrong(modes(folder), 0o2770, 0o660) == []


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("places") / "archive"
    index_found(some_phantoms(1, 3), path, OPTIONS)
    return path


def test_pages_and_collages_are_their_owners_alone(asked: Path, tmp_path: Path, umask: int) -> None:
    with Archive.open(asked) as archive:
        session = archive.session("phantom-00-00", pictures=True)
        answer = session.ask(k=2)
        for write, name in ((write_report, "page.html"), (write_collage, "collage.png")):
            path = tmp_path / name
            write(session, answer, path)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            path.chmod(0o640)
            write(session, answer, path)  # the mode that it was given stays
            assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("option", ["--report", "--collage"])
@pytest.mark.parametrize("place", ["catalogue.sqlite", "recipe.json", "new.html", "segments/x"])
def test_nothing_is_written_into_an_archive(asked: Path, option: str, place: str) -> None:
    before = modes(asked)
    done = CliRunner().invoke(
        app, ["query", str(asked), "phantom-00-00", option, str(asked / place)]
    )
    assert isinstance(done.exception, InputError)
    assert "lies in the archive" in str(done.exception)
    assert modes(asked) == before
    assert verify(asked).ok


def test_no_result_no_archive_and_no_link_lead_into_an_archive(asked: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(asked)
    for path in (asked / "x", asked / "deep" / "x", tmp_path / "link" / "x"):
        with pytest.raises(InputError, match="lies in the archive"):
            write_whole(path, b"1")
        with pytest.raises(InputError, match="lies in the archive"):
            CaseStore.create(path, {})
    for command in (["bench", "search"], ["evaluate", "dice", str(asked), str(asked)]):
        done = CliRunner().invoke(app, [*command, "--out", str(asked)])
        assert isinstance(done.exception, InputError)
        assert "lies in the archive" in str(done.exception)
    assert verify(asked).ok


def test_a_file_that_is_replaced_is_told(asked: Path, tmp_path: Path) -> None:
    command = ["query", str(asked), "phantom-00-00", "--report", str(tmp_path / "page.html")]
    assert "replaced" not in CliRunner().invoke(app, command).stderr
    assert "page.html is replaced" in CliRunner().invoke(app, command).stderr
