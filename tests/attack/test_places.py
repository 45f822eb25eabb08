"""Who may read what is written, and where nothing is written: whatever the umask."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import isohash
from isohash.apps.cli.main import app
from isohash.apps.page.collage import write_collage
from isohash.apps.page.report import write_report
from isohash.archive.repair import repair
from isohash.archive.store import CaseStore
from isohash.archive.verify import verify
from isohash.errors import InputError
from isohash.evaluation.kit.plotting import figure
from isohash.evaluation.kit.results import write_results
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.engine import Archive
from isohash.sources.dicom.writer import write_dicom
from isohash.whole_files import telling_replaced, write_whole
from small_cases import OPTIONS, phantom, some_phantoms


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


WRITING = {  # commands that write files for people: the last word is the file
    "query --report": ["query", "{archive}", "phantom-00-00", "--report", "{out}/page.html"],
    "query --collage": ["query", "{archive}", "phantom-00-00", "--collage", "{out}/page.png"],
    "list --csv": ["list", "{archive}", "--csv", "{out}/cases.csv"],
    "export --out": ["export", "{archive}", "phantom-00-00", "--out", "{out}/answers.csv"],
    "names --add-to": ["names", "{source}", "--add-to", "{out}/names.json"],
}
FOLDERS = {  # commands that write a folder of files; its files are written as those of `results`
    "propose --out",  # tests/apps/test_proposal_files.py
    "demo --out",
    "train autoencoder --out",
    "train dose --out",
    *(f"bench {name} --out" for name in ("search", "hash", "encode")),
}
OURS = {"--work", "--weights", "--spool"}  # folders of files that only isohash reads


@pytest.mark.parametrize("what", WRITING)
def test_a_new_file_is_its_owners_alone_and_an_old_one_is_told_and_keeps_its_mode(
    asked: Path, tmp_path: Path, umask: int, what: str
) -> None:
    (tmp_path / "source").mkdir()
    write_dicom(phantom(0, 1), tmp_path / "source")
    places = {"archive": asked, "source": tmp_path / "source", "out": tmp_path}
    command = [word.format(**places) for word in WRITING[what]]
    file = Path(command[-1])
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.exception
    assert "replaced" not in first.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.exception
    assert (f"{file.name} is replaced" in again.stderr) == (what != "names --add-to")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


# what needs more than this archive: retrieval/planning/test_check.py, building/test_pulling.py
ELSEWHERE = {"check --report", "pull --keep-links"}


def test_every_option_that_names_a_place_to_write_to_is_looked_at() -> None:
    """A new one joins a table above."""
    found = {f"{name} {option}" for name, option in _places(typer.main.get_command(app))}
    evaluated = {one for one in found if one.startswith("evaluate ") and one.endswith(" --out")}
    known = {one for one in found if one.split()[-1] in OURS}
    known |= {one for one in found if one.endswith(" --log-file")}  # test_terminal
    known |= {"backup --destination"}  # test_backup
    assert found - evaluated - known == {*WRITING, *FOLDERS, *ELSEWHERE}


def _places(command: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(command, option) of the paths that are not read."""
    for under, one in getattr(command, "commands", {}).items():
        yield from _places(one, f"{name} {under}".strip())
    for parameter, hint in get_type_hints(command.callback).items():
        if Path in (hint, *get_args(hint)) and parameter not in READ:
            yield name, f"--{parameter.replace('_', '-')}"


def test_results_and_figures_are_their_owners_alone(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "deep" / "results"
    write_results(folder, "table", [{"a": 1}], {"seed": 0})
    with figure(folder / "figure.png", 2, 2) as (_, axes):
        axes.plot([0, 1])
    assert {path.name for path in folder.iterdir()} == {"table.csv", "table.json", "figure.png"}
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in (folder, folder.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700 & ~umask
    told: list[Path] = []
    telling_replaced(told.append)
    for _ in range(2):  # what a run itself has written is no news
        write_results(folder, "table", [{"a": 2}], {"seed": 0})
    telling_replaced(None)
    assert {path.name for path in told} == {"table.csv", "table.json"}
    assert len(told) == 2


def test_only_whole_files_are_written_and_folders_made_for_their_owner() -> None:
    """Anything else would go by the umask, or leave half a file."""
    wrong = []
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        if str(path.relative_to(SOURCE)) not in WRITERS and _BARE.search(text):
            wrong.append(str(path.relative_to(SOURCE)))
    assert wrong == []


SOURCE = Path(isohash.__file__).parent
_BARE = re.compile(
    r"\.write_(text|bytes)\(|\bmkdir\(parents|\bopen\([^)\n]*\"[wx]b?\"|savefig\((out|path)"
)
WRITERS = {
    "whole_files.py",
    "archive/folder.py",  # by the mode of the archive
    "apps/proposal_files.py",  # in a folder of their own, whose files become their owner's
    "apps/page/proposal.py",
    "apps/web/uploads.py",  # a folder of their own, until they are read
    "apps/cli/progress.py",  # the log, opened with its mode
    "sources/packed.py",  # temporary folders
    "sources/dicom/writer.py",
    "sources/identity/pseudonyms.py",
    "sandbox.py",
}
READ = {"source", "sources", "data", "archive", "others", "aliases", "database", "queries", "past"}
READ |= {"training", "validation", "case", "credentials", "folder"}
READ |= {"password_file", "tls_cert", "tls_key"}


def test_a_file_that_is_replaced_is_told(asked: Path, tmp_path: Path) -> None:
    command = ["query", str(asked), "phantom-00-00", "--report", str(tmp_path / "page.html")]
    assert "replaced" not in CliRunner().invoke(app, command).stderr
    assert "page.html is replaced" in CliRunner().invoke(app, command).stderr
