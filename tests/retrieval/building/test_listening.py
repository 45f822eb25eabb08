"""What nodes send becomes a case when it is whole; what strangers send is refused."""

from __future__ import annotations

import gc
import shutil
import socket
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.retrieval.building.indexing import build_archive
from isohash.retrieval.building.listening import Listening, ListenOptions
from isohash.sources.pacs import spool, wires
from isohash.sources.phi_scan import scan
from isohash.sources.reading import read_case
from pacs_nodes import associated, write_studies

N = 3
SMALL = {"dose_model": False, "bits": 64, "dim": 4}
US = ListenOptions(("PLANNING",), port=0, stable=0.0)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is not in the archive."""
    return write_studies(tmp_path_factory.mktemp("new"), N + 1)[-1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_studies(folder / "studies", N)
    build_archive(folder / "studies", folder / "archive", **SMALL)
    return folder / "archive"


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "a"))


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def listening(archive: Path, told: list[str]) -> Iterator[Listening]:
    with Listening(archive, US, told.append) as one:
        yield one


def send(port: int, files: list[Path], title: str = "PLANNING", to: str = "ISOHASH") -> list[int]:
    """The status of each object; [] if the association is refused."""
    with associated(port, title, to) as peer:
        if not peer.is_established:
            return []
        return [getattr(peer.send_c_store(pydicom.dcmread(f)), "Status", -1) for f in files]


def size(archive: Path) -> int:
    with CaseStore.open(archive) as store:
        return len(store)


def parts(folder: Path, *kinds: str) -> list[Path]:
    return sorted(one for one in folder.glob("*.dcm") if one.name.startswith(kinds))


def waiting(listening: Listening) -> int:
    return sum(1 for one in listening.spool.folder.rglob("*") if one.is_file())


def test_a_study_is_indexed_when_it_is_whole(
    listening: Listening, archive: Path, new: Path, told: list[str]
) -> None:
    assert set(send(listening.port, parts(new, "RD", "RP", "RS"))) == {0}
    listening.step()
    assert size(archive) == N
    assert "8 images that structures are drawn on did not come" in told[-1]
    assert set(send(listening.port, parts(new, "CT"))) == {0}
    listening.step()
    assert size(archive) == N + 1
    assert waiting(listening) == 0
    case = read_case(new)
    with CaseStore.open(archive) as store:
        facts = store.metadata(case.id)
    assert (facts["patient"], facts["prescription_gy"]) == (case.patient, case.prescription_gy)
    assert len(facts["structures"]) == len(case.structures)
    assert "Sesostris" not in "".join(told)
    assert scan(archive, new).leaks == ()


def test_only_known_titles_are_let_in(listening: Listening, new: Path) -> None:
    files = parts(new, "RD")
    assert send(listening.port, files, title="STRANGER") == []
    assert send(listening.port, files, to="OTHER") == []
    assert send(listening.port, files) == [0]
    assert waiting(listening) == 1


def test_what_was_acknowledged_is_there_after_a_restart(
    archive: Path, new: Path, told: list[str]
) -> None:
    with Listening(archive, US, told.append) as one:
        assert set(send(one.port, parts(new, "CT", "RD", "RP", "RS"))) == {0}
        (one.spool.folder / spool.ARRIVED / ".torn.tmp").write_bytes(b"half")
    with Listening(archive, US, told.append) as two:
        assert stat.S_IMODE(two.spool.folder.stat().st_mode) == 0o700
        two.step()
    assert size(archive) == N + 1


def test_the_same_object_again_is_one_object(listening: Listening, new: Path) -> None:
    for _ in range(2):
        send(listening.port, parts(new, "CT"))
        listening.step()
    assert waiting(listening) == 8


def test_a_study_without_a_dose_waits_and_goes_in_the_end(
    archive: Path, new: Path, told: list[str]
) -> None:
    with Listening(archive, US, told.append) as one:
        send(one.port, parts(new, "CT"))
        one.step()
        one.step()
        assert [line for line in told if "no RTDOSE came" in line] == told
        assert len(told) == 1
    days = ListenOptions(("PLANNING",), port=0, stable=0.0, patience=0.0)
    with Listening(archive, days, told.append) as one:
        one.step()
        assert "thrown away" in told[-1]
        assert waiting(one) == 0


def test_a_study_stays_while_the_archive_is_busy(
    listening: Listening, archive: Path, new: Path, told: list[str]
) -> None:
    send(listening.port, parts(new, "CT", "RD", "RP", "RS"))
    with CaseStore.open(archive, writable=True):
        listening.step()
        listening.step()
    assert sum("stays for now" in line for line in told) == 1
    listening.step()
    assert size(archive) == N + 1


def test_rubbish_is_told_and_gone(listening: Listening, tmp_path: Path, told: list[str]) -> None:
    listening.spool.add((b"rubbish" * 100,))
    listening.step()
    assert told[-1].startswith("skipped: an object that came")
    assert waiting(listening) == 0


def test_a_full_spool_refuses(
    listening: Listening, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MOST_WAITING", 10)
    assert send(listening.port, parts(new, "RD")) == [wires.REFUSED]


def test_a_pdu_that_promises_too_much_ends_the_connection(listening: Listening, new: Path) -> None:
    with socket.create_connection(("127.0.0.1", listening.port), 10) as peer:
        peer.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFF0))
        peer.settimeout(10)
        assert peer.recv(1000)[:1] in (b"", b"\x07")  # closed, or an abort
    assert send(listening.port, parts(new, "RD")) == [0]


def test_an_object_without_end_is_cut(
    listening: Listening, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wires, "MOST_OBJECT", 2000)
    assert send(listening.port, parts(new, "RD")) in ([], [-1])
    assert waiting(listening) == 0


def test_connections_that_end_in_silence_do_not_keep_others_out(
    listening: Listening, new: Path
) -> None:
    held = [socket.create_connection(("127.0.0.1", listening.port), 10) for _ in range(30)]
    for one in held:
        one.close()
    for _ in range(200):  # until it has seen that they are gone
        if send(listening.port, parts(new, "RD")) == [0]:
            gc.collect()  # which warns of what was left open
            return
        time.sleep(0.1)
    raise AssertionError("nobody is let in any more")


def test_who_may_send_must_be_named_and_others_need_tls(archive: Path, told: list[str]) -> None:
    for options, why in (
        (ListenOptions(()), "name who may send"),
        (ListenOptions(("PLANNING",), host="0.0.0.0"), "give certificates"),
    ):
        with pytest.raises(InputError, match=why), Listening(archive, options, told.append):
            pass
    with pytest.raises(InputError, match="there is no archive"):
        Listening(archive.with_name("none"), US, told.append)
