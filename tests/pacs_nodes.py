"""Nodes to bring studies from: a real Orthanc, and one of our own that misbehaves when told to."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pydicom
import pytest

from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.pacs.address import opened, parse
from isohash.sources.pacs.credentials import Credentials
from isohash.sources.pacs.fetching import bring
from isohash.sources.pacs.node import Wanted
from isohash.sources.phantom import phantom_case
from isohash.sources.reading import read_case

SHAPE = (8, 24, 24)
ORTHANC = "/usr/sbin/Orthanc"
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
USER = Credentials("ci", "secret")


def write_studies(
    folder: Path, members: int = 3, shape: tuple[int, int, int] = SHAPE
) -> list[Path]:
    """Phantoms of named patients, a folder each."""
    folders = []
    for member in range(members):
        name = f"Sesostris^Amenemhet{member}"
        write_dicom(
            phantom_case(member % 2, member, shape=shape),
            folder / f"patient-{member}",
            WriteOptions(identity=name),
        )
        folders.append(folder / f"patient-{member}")
    return folders


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Orthanc:
    """A running one."""

    folder: Path
    http: int
    dicom: int
    ours: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def web(self) -> str:
        return f"dicomweb:http://127.0.0.1:{self.http}/dicom-web"

    @property
    def dimse(self) -> str:
        return f"dimse:ORTHANC@127.0.0.1:{self.dicom}"

    def start(self) -> None:
        config = {
            "StorageDirectory": str(self.folder), "IndexDirectory": str(self.folder),
            "Plugins": [PLUGIN], "HttpPort": self.http, "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True, "RegisteredUsers": {"ci": "secret"},
            "DicomAet": "ORTHANC", "DicomPort": self.dicom, "DicomCheckCalledAet": False,
            "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowMove": True, "DicomAlwaysAllowGet": True,
            "DicomModalities": {"us": ["ISOHASH", "127.0.0.1", self.ours]},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        settings = self.folder / "orthanc.json"
        settings.write_text(json.dumps(config))
        self.process = subprocess.Popen(  # without delay on its side, too
            [ORTHANC, str(settings)],
            env={"TCP_NODELAY": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self) -> None:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", self.dicom), 1).close()
                socket.create_connection(("127.0.0.1", self.http), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("Orthanc does not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def store(self, folder: Path) -> None:
        with associated(self.dicom) as peer:
            assert peer.is_established
            for file in sorted(folder.rglob("*.dcm")):
                assert peer.send_c_store(pydicom.dcmread(file)).Status == 0


@contextmanager
def associated(port: int, ours: str = "PYNETDICOM", theirs: str = "ANY-SCP") -> Iterator[Any]:
    """An association that may send anything, established or refused; its connection is closed."""
    from pynetdicom import AE, evt
    from pynetdicom.presentation import StoragePresentationContexts

    from isohash.sources.pacs.connections import Connections

    ae = AE(ae_title=ours)
    ae.requested_contexts = StoragePresentationContexts
    with closing(Connections()) as connections:
        handlers = [(evt.EVT_CONN_OPEN, connections.opened)]
        peer = ae.associate("127.0.0.1", port, ae_title=theirs, evt_handlers=handlers)
        yield peer
        if peer.is_established:
            peer.release()


def start_orthanc(folder: Path) -> Orthanc:
    """Skips where it is not installed."""
    if not Path(ORTHANC).exists() or not Path(PLUGIN).exists():
        pytest.skip("needs a PACS: apt-get install orthanc orthanc-dicomweb")
    folder.mkdir(parents=True)
    orthanc = Orthanc(folder, free_port(), free_port(), free_port())
    orthanc.start()
    return orthanc


Reaction = Callable[[BaseHTTPRequestHandler, bytes], bool]


@dataclass
class Fake:
    """DICOMweb over files, and `react` that may answer in place of it (True: it has).

    `pages` is how many studies a page has at most, whatever was asked for.
    """

    objects: dict[str, dict[str, list[bytes]]] = field(default_factory=dict)  # study, series
    modality: dict[str, str] = field(default_factory=dict)  # of a series
    patient: dict[str, str] = field(default_factory=dict)  # of a study
    react: Reaction = lambda handler, body: False
    pages: int = 1000
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"dicomweb:http://127.0.0.1:{self.port}/dicom-web"

    def add(self, folder: Path) -> str:
        """The study in a folder; its UID."""
        for file in sorted(folder.rglob("*.dcm")):
            header = pydicom.dcmread(file, stop_before_pixels=True)
            study, series = str(header.StudyInstanceUID), str(header.SeriesInstanceUID)
            self.objects.setdefault(study, {}).setdefault(series, []).append(file.read_bytes())
            self.modality[series] = str(header.Modality)
            self.patient[study] = str(header.PatientID)
        return study

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[str, bytes] | None:
        """Type and body; None for 404."""
        parts = path.strip("/").split("/")[1:]
        if parts == ["studies"]:
            return _json([self._study(uid) for uid in self._page(query)])
        if parts == ["series"]:
            wanted = query.get("SeriesInstanceUID", [""])[0]
            found = [(s, u) for s, several in self.objects.items() for u in several if u == wanted]
            return _json([self._series(s, u) for s, u in found])
        if len(parts) == 3 and parts[1] in self.objects:
            return _json([self._series(parts[1], uid) for uid in self.objects[parts[1]]])
        if len(parts) == 4:
            return _multipart(self.objects[parts[1]][parts[3]])
        return None

    def _page(self, query: dict[str, list[str]]) -> list[str]:
        def one(name: str, default: str = "") -> str:
            return query.get(name, [default])[0]

        modality, wanted = one("ModalitiesInStudy"), one("StudyInstanceUID")
        uids = [
            uid
            for uid, several in self.objects.items()
            if (not wanted or uid == wanted)
            and (not modality or modality in {self.modality[s] for s in several})
        ]
        start = int(one("offset", "0"))
        return uids[start : start + min(self.pages, int(one("limit", "1000")))]

    def _study(self, uid: str) -> dict[str, object]:
        n = sum(map(len, self.objects[uid].values()))
        return _row({"0020000D": uid, "00100020": self.patient[uid], "00201208": n})

    def _series(self, study: str, uid: str) -> dict[str, object]:
        n = len(self.objects[study][uid])
        said = {"0020000D": study, "0020000E": uid, "00080060": self.modality[uid], "00201209": n}
        return _row({**said, "00180015": "PELVIS" if self.modality[uid] == "CT" else ""})


def _row(said: dict[str, object]) -> dict[str, object]:
    return {
        tag: {"vr": "LO", "Value": [value]} if value else {"vr": "LO"}
        for tag, value in said.items()
    }


def _json(rows: list[dict[str, object]]) -> tuple[str, bytes]:
    return "application/dicom+json", json.dumps(rows).encode()


def _multipart(objects: list[bytes]) -> tuple[str, bytes]:
    head = b"\r\n--a-boundary\r\nContent-Type: application/dicom\r\n\r\n"
    body = b"".join(head + one for one in objects) + b"\r\n--a-boundary--\r\n"
    return 'multipart/related; type="application/dicom"; boundary=a-boundary', body


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    """Serve it on a port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.asked.append(self.path)
            parts = urlsplit(self.path)
            found = fake.answer(parts.path, parse_qs(parts.query))
            kind, body = found or ("text/plain", b"")
            if fake.react(self, body):
                return
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def empty(folder: Path) -> bool:
    """Whether nothing lies below a folder (or it is gone)."""
    return not any(one.is_file() for one in folder.rglob("*"))


def brought(address: str, study: str, folder: Path, wanted: Wanted | None = None, local=None):
    node = opened(parse(address), local, USER)
    try:
        return bring(node, node.study(study), wanted or Wanted(), folder)
    finally:
        node.close()


def assert_same_case(a: Path, b: Path) -> None:
    one, other = read_case(a), read_case(b)
    for name in ("id", "patient", "prescription_gy", "warnings", "label", "facts"):
        assert getattr(one, name) == getattr(other, name)
    pairs = [(one.ct, other.ct), (one.dose, other.dose)]
    pairs += [(one.structures[name], other.structures[name]) for name in one.structures]
    assert list(one.structures) == list(other.structures)
    for mine, theirs in pairs:
        assert np.array_equal(mine.array, theirs.array)
        assert np.array_equal(mine.affine, theirs.affine)


def uid_of(folder: Path) -> str:
    return str(pydicom.dcmread(next(folder.glob("*.dcm"))).StudyInstanceUID)
