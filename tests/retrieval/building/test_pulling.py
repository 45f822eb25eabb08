"""What is new in a PACS comes to the archive once; what is cut off comes with the next run."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.retrieval.building.indexing import build_archive
from isohash.retrieval.building.pulling import PullOptions, pull
from isohash.sources import private_folder
from isohash.sources.pacs import dicomweb, fetching
from isohash.sources.pacs.links import address_in, links_of
from isohash.sources.pacs.node import Incoming
from isohash.sources.pacs.seen import Seen, seen_path
from isohash.sources.phi_scan import scan
from isohash.sources.reading import read_case
from pacs_nodes import USER, Fake, Orthanc, serving, start_orthanc, write_studies

SMALL = {"dose_model": False, "bits": 64, "dim": 4}


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_studies(tmp_path_factory.mktemp("studies"), 4)


@pytest.fixture
def fake(studies: list[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """A node with all studies but the last."""
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    with serving(Fake()) as node:
        for folder in studies[:-1]:
            node.add(folder)
        yield node


def kept(archive: Path) -> dict[str, object]:
    with CaseStore.open(archive) as store:
        return {name: store.metadata(name) for name in store.ids()}


def objects_asked(fake: Fake) -> int:
    return sum("/series/" in path for path in fake.asked)


@pytest.fixture(autouse=True)
def _own_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies are worked on where no other test does: what is left there is this test's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "work"))
    (tmp_path / "work").mkdir()


def test_an_archive_from_a_node_is_the_one_from_the_files(
    fake: Fake, studies: list[Path], tmp_path: Path
) -> None:
    report = pull(fake.address, tmp_path / "pulled", **SMALL)
    build_archive(studies[0].parent, tmp_path / "files", **SMALL)
    assert (report.n_studies, report.brought, len(report.indexed)) == (3, 3, 3)
    from_files = kept(tmp_path / "files")
    assert all(from_files[name] == facts for name, facts in kept(tmp_path / "pulled").items())


def test_only_what_is_new_or_changed_is_brought(
    fake: Fake, studies: list[Path], tmp_path: Path
) -> None:
    pull(fake.address, tmp_path / "a", **SMALL)
    before = objects_asked(fake)
    assert pull(fake.address, tmp_path / "a").unchanged == 3
    assert objects_asked(fake) == before
    fake.add(studies[-1])
    report = pull(fake.address, tmp_path / "a")
    assert (report.unchanged, report.brought, report.n_cases) == (3, 1, 4)
    study = next(iter(fake.objects))
    dose = next(s for s in fake.objects[study] if fake.modality[s] == "RTDOSE")
    del fake.objects[study][dose]  # it is sent again later, as a study that changes
    report = pull(fake.address, tmp_path / "a")
    assert report.n_studies == 3  # a study without a dose is not listed
    assert pull(fake.address, tmp_path / "a", None, PullOptions(again=True)).brought == 3


def test_an_archive_made_anew_gets_everything(fake: Fake, tmp_path: Path) -> None:
    """What was seen is known of the archive of this path; its cases must be in it."""
    pull(fake.address, tmp_path / "a", **SMALL)
    (tmp_path / "a").rename(tmp_path / "b")
    assert pull(fake.address, tmp_path / "a", **SMALL).brought == 3


def test_a_study_that_fails_is_told_and_comes_with_the_next_run(fake: Fake, tmp_path: Path) -> None:
    study = list(fake.objects)[1]

    def react(handler, body: bytes) -> bool:
        if f"{study}/series/" in handler.path:
            handler.send_error(404)
            return True
        return False

    fake.react = react
    report = pull(fake.address, tmp_path / "a", **SMALL)
    assert len(report.indexed) == 2
    ((name, why),) = report.failed.items()
    assert name.startswith("study-")
    assert "nothing at this address" in why
    fake.react = lambda handler, body: False
    report = pull(fake.address, tmp_path / "a")
    assert (report.unchanged, report.brought, report.n_cases) == (2, 1, 3)


def test_a_study_of_rubbish_is_skipped_once(fake: Fake, tmp_path: Path) -> None:
    pull(fake.address, tmp_path / "a", **SMALL)
    fake.objects["1.2.3"] = {"1.2.3.4": [b"rubbish" * 100]}
    fake.patient["1.2.3"], fake.modality["1.2.3.4"] = "someone", "RTDOSE"
    report = pull(fake.address, tmp_path / "a")
    assert (report.brought, report.indexed) == (1, ())
    assert report.skipped
    assert not any(tempfile.gettempdir() in f"{s.path} {s.reason}" for s in report.skipped)
    assert pull(fake.address, tmp_path / "a").unchanged == 4


def test_nothing_of_a_person_and_no_uid_is_left(
    fake: Fake, studies: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    report = pull(fake.address, tmp_path / "a", **SMALL)
    cursor = seen_path(tmp_path / "a", fake.address)
    assert stat.S_IMODE(cursor.stat().st_mode) == 0o600
    told = cursor.read_text() + json.dumps(report.to_json()) + "".join(capfd.readouterr())
    for secret in ("Sesostris", *fake.objects, *fake.modality, *fake.patient.values()):
        assert secret not in told
    assert scan(tmp_path / "a", studies[0].parent).leaks == ()
    assert not list((tmp_path / "work").glob(f"{private_folder.PREFIX}*/study-*"))


def test_links_lead_back_for_who_keeps_them(fake: Fake, tmp_path: Path) -> None:
    links = tmp_path / "links"
    report = pull(fake.address, tmp_path / "a", None, PullOptions(links=links), **SMALL)
    assert stat.S_IMODE(links.stat().st_mode) == 0o600
    found = {link.id: link for link in links_of(links)}
    assert set(found) == set(report.indexed)
    assert {link.study for link in found.values()} == set(fake.objects)
    one = links_of(links, [report.indexed[0]])[0]
    assert address_in("http://v/{study}", one) == f"http://v/{one.study}"
    assert set(one.series) == set(fake.objects[one.study])
    with pytest.raises(InputError, match="has no link of case-x"):
        links_of(links, ["case-x"])
    with pytest.raises(InputError, match="in the archive"):
        pull(fake.address, tmp_path / "a", None, PullOptions(links=tmp_path / "a" / "links"))
    (tmp_path / "other").write_text("mine")
    with pytest.raises(InputError, match="no file of links"):
        pull(fake.address, tmp_path / "a", None, PullOptions(links=tmp_path / "other"))
    assert (tmp_path / "other").read_text() == "mine"


def test_two_runs_at_once_are_one_too_many(fake: Fake, tmp_path: Path) -> None:
    held = Seen(tmp_path / "a", fake.address)
    try:
        with pytest.raises(InputError, match="another run"):
            pull(fake.address, tmp_path / "a", **SMALL)
    finally:
        held.close()
    assert pull(fake.address, tmp_path / "a", **SMALL).brought == 3


def test_a_full_disk_ends_the_run_and_leaves_nothing(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Incoming, piece: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Incoming, "write", full)
        with pytest.raises(OSError, match="No space left"):
            pull(fake.address, tmp_path / "a", **SMALL)
    assert not (tmp_path / "a").exists()
    assert pull(fake.address, tmp_path / "a", **SMALL).brought == 3


KILLED = """
import sys
from isohash.retrieval.building.pulling import pull
pull(sys.argv[1], sys.argv[2])
"""


def test_a_killed_run_is_gone_on_with(fake: Fake, studies: list[Path], tmp_path: Path) -> None:
    pull(fake.address, tmp_path / "a", **SMALL)
    fake.add(studies[-1])
    study = list(fake.objects)[-1]
    reached: list[str] = []

    def react(handler, body: bytes) -> bool:
        if f"{study}/series/" in handler.path and not reached:
            reached.append(handler.path)
            time.sleep(30)
        return False

    fake.react = react
    child = subprocess.Popen([sys.executable, "-c", KILLED, fake.address, str(tmp_path / "a")])
    while not reached and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert reached
    assert len(kept(tmp_path / "a")) == 3
    report = pull(fake.address, tmp_path / "a")
    assert (report.unchanged, report.brought, report.n_cases) == (3, 1, 4)


def test_a_cut_line_is_passed_over(fake: Fake, tmp_path: Path) -> None:
    pull(fake.address, tmp_path / "a", **SMALL)
    cursor = seen_path(tmp_path / "a", fake.address)
    cursor.write_bytes(cursor.read_bytes()[:-20])
    report = pull(fake.address, tmp_path / "a")
    assert (report.unchanged, report.brought, len(report.indexed)) == (2, 1, 0)
    assert pull(fake.address, tmp_path / "a").unchanged == 3


@pytest.mark.parametrize("way", ["web", "dimse"])
def test_a_pacs_that_is_killed_while_it_sends_is_gone_on_with(
    way: str, studies: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(dicomweb, "TRIES", 0)
    orthanc, options = start_orthanc(tmp_path / "db"), PullOptions(credentials=USER)
    source, archive = getattr(orthanc, way), tmp_path / "a"
    try:
        for folder in studies[:2]:
            orthanc.store(folder)
        pull(source, archive, None, options, **SMALL)
        before = kept(archive)
        for folder in studies[2:]:
            orthanc.store(folder)
        with monkeypatch.context() as patched:
            patched.setattr(Incoming, "whole", killing(orthanc, Incoming.whole))
            report = pull(source, archive, None, options)
        assert (report.unchanged, report.brought, report.indexed) == (2, 0, ())
        assert len(report.failed) == 2
        assert all("cut the connection" in why for why in report.failed.values())
        assert kept(archive) == before
        assert not list((tmp_path / "work").glob(f"{private_folder.PREFIX}*/study-*"))
        orthanc.start()
        report = pull(source, archive, None, options)
        assert (report.unchanged, report.brought, report.n_cases) == (2, 2, 4)
        assert {read_case(folder).id for folder in studies} == set(kept(archive))
    finally:
        orthanc.kill()


def killing(orthanc: Orthanc, whole: Callable[[Incoming], None]) -> Callable[[Incoming], None]:
    """In place of `whole`: the node is gone when a fourth object has come."""
    came: list[Incoming] = []

    def instead(incoming: Incoming) -> None:
        whole(incoming)
        came.append(incoming)
        if len(came) == 4:
            orthanc.kill()

    return instead
