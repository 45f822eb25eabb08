"""A PACS by DIMSE: lists by C-FIND, objects by C-GET, or by C-MOVE to a port of ours (PS3.4 C)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind as FIND,
)
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet as GET,
)
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelMove as MOVE,
)

from isohash.sources.pacs.connections import Connections
from isohash.sources.pacs.contexts import contexts
from isohash.sources.pacs.credentials import Credentials
from isohash.sources.pacs.door import Door
from isohash.sources.pacs.node import Inbox, Local, PacsError, Retry, Series, Study, Wanted, uid_in
from isohash.sources.pacs.wires import Receiver, Wire, entity

PENDING = (0xFF00, 0xFF01)
SUCCESS = 0x0000
PARTLY = 0xB000  # some sub-operations failed
OF_STUDIES = {"NumberOfStudyRelatedInstances": ""}
STUDY_KEYS = {"PatientID": "", **OF_STUDIES}
SERIES_KEYS = {"Modality": "", "NumberOfSeriesRelatedInstances": "", "BodyPartExamined": ""}


class Dimse:
    """A node with a title at a host and port; see `Node`."""

    def __init__(
        self, aet: str, host: str, port: int, local: Local, credentials: Credentials
    ) -> None:
        self._aet, self._host, self._port = aet, host, port
        self._local, self._credentials = local, credentials
        self._door: Door | None = None

    def studies(self, wanted: Wanted) -> Iterator[Study]:
        """Listed whole before the first is brought: the connection is not held open."""
        keys = {"ModalitiesInStudy": wanted.modality, "StudyDate": wanted.days()}
        seen: dict[str, Study] = {}
        for row in self._find("STUDY", {**keys, "StudyInstanceUID": "", **STUDY_KEYS}):
            if (one := _study(row)).uid:
                seen.setdefault(one.uid, one)
        yield from seen.values()

    def study(self, uid: str) -> Study:
        """See `Node`."""
        rows = self._find("STUDY", {"StudyInstanceUID": uid, **STUDY_KEYS})
        found = [one for one in map(_study, rows) if one.uid == uid]
        if not found:
            raise PacsError(f"{self}: has no such study; check the UID")
        return found[0]

    def series(self, study_uid: str) -> list[Series]:
        """See `Node`."""
        keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": "", **SERIES_KEYS}
        return [one for r in self._find("SERIES", keys) if (one := _series(r, study_uid)).uid]

    def series_elsewhere(self, uids: frozenset[str], study: Study) -> list[Series]:
        """Among the studies of the same patient: the model has no search for a series alone."""
        if not study.patient:
            return []
        keys = {"PatientID": study.patient, "StudyInstanceUID": "", **OF_STUDIES}
        others = {_study(row).uid for row in self._find("STUDY", keys)} - {study.uid, ""}
        return [one for uid in sorted(others) for one in self.series(uid) if one.uid in uids]

    def fetch(self, series: Series, inbox: Inbox) -> None:
        """See `Node`."""
        receiver = Receiver(inbox, Wire())
        asked = _dataset(
            "SERIES", {"StudyInstanceUID": series.study_uid, "SeriesInstanceUID": series.uid}
        )
        if self._local.receive_port is None:
            status = self._get(asked, receiver)
        else:
            status = self._move(asked, receiver, self._local.receive_port)
        if receiver.failure is not None:
            raise receiver.failure
        self._check(status, "a series")

    def store(self, files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """See `Node`; all through one connection, each as it is written."""
        ae = entity(self._local.aet)
        for uid, way in sorted({_kind(file) for file in files}):
            ae.add_requested_context(uid, way)
        with self._connected(ae, [(evt.EVT_CONN_OPEN, Wire().opened)]) as peer:
            for file in files:
                yield file, self._stored(peer, file)

    def _stored(self, peer: Any, file: Path) -> str:
        """Why an object was not taken; "" if it was."""
        try:
            status = getattr(peer.send_c_store(file), "Status", None)
        except (RuntimeError, ValueError) as error:  # the link was lost, or its kind was refused
            return f"{self}: {error}"
        if status == SUCCESS:
            return ""
        why = "cut the connection" if status is None else f"status {status:04X}"
        return f"{self}: does not take it ({why})"

    def close(self) -> None:
        """See `Node`; every question has its own connection, which is closed."""
        if self._door is not None:
            self._door.close()
            self._door = None

    def __str__(self) -> str:
        return f"dimse:{self._aet}@{self._host}:{self._port}"

    def _find(self, level: str, keys: dict[str, str]) -> list[Dataset]:
        ae = entity(self._local.aet)
        ae.add_requested_context(FIND)
        found, last = [], None
        with self._connected(ae, [(evt.EVT_CONN_OPEN, Wire().opened)]) as peer:
            for status, row in peer.send_c_find(_dataset(level, keys), FIND):
                last = getattr(status, "Status", None)
                if last in PENDING and row is not None:
                    found.append(row)
        self._check(last, "a list")
        return found

    def _get(self, asked: Dataset, receiver: Receiver) -> int | None:
        ae = entity(self._local.aet)
        offered = contexts()
        ae.requested_contexts = [build_context(GET), *offered]
        roles = [build_role(uid, scp_role=True) for uid in {c.abstract_syntax for c in offered}]
        with self._connected(ae, receiver.handlers(), roles) as peer:
            return _last(peer.send_c_get(asked, GET))

    def _move(self, asked: Dataset, receiver: Receiver, port: int) -> int | None:
        """To the receiver of our own, which is opened at the first use."""
        if self._door is None:
            self._door = Door(self._aet, self._local.aet, port, self._credentials)
        self._door.receiver = receiver
        ae = entity(self._local.aet)
        ae.add_requested_context(MOVE)
        with self._connected(ae, [(evt.EVT_CONN_OPEN, Wire().opened)]) as peer:
            return _last(peer.send_c_move(asked, self._local.aet, MOVE))

    @contextmanager
    def _connected(
        self, ae: AE, handlers: list[Any], roles: list[Any] | None = None
    ) -> Iterator[Any]:
        with closing(Connections()) as ours:
            opened = (evt.EVT_CONN_OPEN, ours.opened)
            peer = self._associated(ae, [opened, *handlers], roles or [])
            try:
                yield peer
            except (RuntimeError, ValueError) as error:  # the link was lost, or a context refused
                raise Retry(f"{self}: {error}") from error
            finally:
                if peer.is_established:
                    peer.release()

    def _associated(self, ae: AE, handlers: list[Any], roles: list[Any]) -> Any:
        secured = self._credentials
        peer = ae.associate(
            self._host,
            self._port,
            ae_title=self._aet,
            ext_neg=roles,
            evt_handlers=handlers,
            tls_args=(secured.context(), self._host) if secured.tls else None,
        )
        if peer.is_established:
            return peer
        if peer.is_rejected:
            raise PacsError(
                f"{self}: does not know us as {self._local.aet}; add that title there, or give "
                "the one it knows with --aet"
            )
        raise Retry(f"{self}: cannot be reached, or cut the connection")

    def _check(self, status: int | None, what: str) -> None:
        if status == SUCCESS:
            return
        if status is None:
            raise Retry(f"{self}: cut the connection while it sent {what}")
        why = "could not send all of" if status == PARTLY else "refuses"
        raise Retry(f"{self}: {why} {what} (status {status:04X})")


def _kind(file: Path) -> tuple[str, str]:
    """Class and transfer syntax of an object in a file."""
    meta = read_file_meta_info(file)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def _dataset(level: str, keys: dict[str, str]) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    return asked


def _last(answers: Iterator[tuple[Dataset, Dataset | None]]) -> int | None:
    """The final status; None if the link was lost before."""
    status = None
    for answer, _ in answers:
        status = getattr(answer, "Status", None)
    return status


def _study(row: Dataset) -> Study:
    return Study(
        uid_in(_text(row, "StudyInstanceUID")),
        _text(row, "PatientID"),
        _number(row, "NumberOfStudyRelatedInstances"),
    )


def _series(row: Dataset, study_uid: str) -> Series:
    return Series(
        study_uid,
        uid_in(_text(row, "SeriesInstanceUID")),
        _text(row, "Modality"),
        _number(row, "NumberOfSeriesRelatedInstances"),
        _text(row, "BodyPartExamined"),
    )


def _text(row: Dataset, keyword: str) -> str:
    value = row.get(keyword, "")
    return str(value).strip() if isinstance(value, str) else ""


def _number(row: Dataset, keyword: str) -> int | None:
    try:
        return int(row.get(keyword))
    except (TypeError, ValueError):
        return None
