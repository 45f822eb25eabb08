"""Studies that are sent to us become cases of an archive, as soon as they are whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.retrieval.building.given import findings_of
from isohash.retrieval.building.indexing import index_found
from isohash.sources.extras import ask_for_module
from isohash.sources.found import Findings
from isohash.sources.packed import as_packed, errors_of
from isohash.sources.pacs.credentials import Credentials, credentials_of
from isohash.sources.pacs.spool import Spool, lacking
from isohash.whole_files import refuse_in_archive

LOOPBACK = "127.0.0.1"
DAY = 86_400.0


@dataclass(frozen=True)
class ListenOptions:
    """How to listen: `peers` are the titles that may send, to `aet` at `host` and `port`.

    A study is indexed when it has an object of `modality` and nothing has come for `stable`
    seconds; one that is not whole after `patience` days goes. `spool` is the folder where studies
    wait (by default beside the archive).
    """

    peers: Sequence[str]
    aet: str = "ISOHASH"
    host: str = LOOPBACK
    port: int = 11112
    stable: float = 30.0
    patience: float = 14.0
    modality: str = "RTDOSE"
    spool: Path | None = None
    credentials: Credentials | None = None


class Listening:
    """An open port, and the studies that wait; a context manager.

    `tell` is called with one line for each thing that happens; no line names a patient.
    """

    def __init__(self, archive: Path, options: ListenOptions, tell: Callable[[str], None]) -> None:
        ask_for_module("pynetdicom", "dicomweb", "listening")
        with CaseStore.open(archive):  # which must be there: its encoders are fitted to many cases
            pass
        from isohash.sources.pacs.listener import Listener

        self.archive, self.options, self._tell = archive, options, tell
        secured = options.credentials or credentials_of()
        _check(options, secured)
        folder = options.spool or archive.with_name(f"{archive.name}.incoming")
        refuse_in_archive(folder)
        self.spool = Spool(folder)
        self._listener = Listener(
            self.spool, options.peers, options.aet, (options.host, options.port), secured
        )
        self._last = ""
        self._looked_at: dict[str, float] = {}  # studies that lack something, as of which change

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.close()

    @property
    def port(self) -> int:
        """The port that is open."""
        return self._listener.port

    def step(self) -> None:
        """Sort what has come, index what is whole, throw away what waits too long."""
        for one in self.spool.sort():
            self._tell(f"skipped: {one.path}: {one.reason}")
        for study in self.spool.waiting():
            try:
                self._look_at(study)
            except InputError as error:  # as while another process writes: it is tried again
                self._tell_once(f"{study.name}: stays for now: {error}")

    def _look_at(self, study: Path) -> None:
        age = self.spool.age(study)
        if age < self.options.stable or self._done(study):
            return
        if age > self.options.patience * DAY:
            self._tell(f"{study.name}: thrown away, for it did not become whole in time")
            self.spool.remove(study)

    def run(self, pause: float = 1.0) -> None:
        """Until interrupted."""
        while True:
            self.step()
            time.sleep(pause)

    def _tell_once(self, line: str) -> None:
        """What would be told every second is told when it is new."""
        if line != self._last:
            self._last = line
            self._tell(line)

    def _done(self, study: Path) -> bool:
        """Whether a study is whole, and was indexed or is of no use."""
        if self._looked_at.get(study.name, -1.0) == study.stat().st_mtime:
            return False
        if lacks := lacking(study, self.options.modality):
            self._looked_at[study.name] = study.stat().st_mtime
            self._tell(f"{study.name}: waits, for {lacks}")
            return False
        try:
            with errors_of(study, study.name):
                findings = findings_of(study)
        except InputError as error:
            self._tell(f"{study.name}: skipped: {error}")
        else:
            self._index(study, as_packed(findings, study, study.name))
        self.spool.remove(study)
        return True

    def _index(self, study: Path, findings: Findings) -> None:
        """Add its cases; InputError where the archive cannot be written: the study stays."""
        report = index_found(findings, self.archive, {})
        for one in report.skipped:
            self._tell(f"{study.name}: skipped: {one.reason}")
        for name in (*report.indexed, *report.unchanged):
            self._tell(f"{study.name}: {name}, of {report.n_cases} now in {self.archive}")
        if report.unmapped:
            self._tell(f"{study.name}: {len(report.unmapped)} names of structures became numbers")


def _check(options: ListenOptions, secured: Credentials) -> None:
    """InputError for what would let everybody in."""
    if not options.peers or any(not 0 < len(one) <= 16 for one in options.peers):
        raise InputError("name who may send, by --from TITLE (1 to 16 letters), once for each node")
    if options.host != LOOPBACK and not secured.tls and not os.environ.get("ISOHASH_PLAIN_DIMSE"):
        raise InputError(
            f"--host {options.host} is open to others: give certificates with --credentials (ca, "
            "certificate, key), or set ISOHASH_PLAIN_DIMSE=1 in a network that is closed otherwise"
        )
