"""What a PACS is to the rest of isohash: studies that can be listed, and series that can be had."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from isohash.errors import InputError
from isohash.whole_files import OWNER_ONLY

RT_MODALITIES = ("RTPLAN", "RTSTRUCT", "RTDOSE")
MOST_OBJECTS = 20_000  # of one study
MOST_BYTES = 16 << 30  # of one study
UID = re.compile(r"[0-9][0-9.]{0,127}")


class PacsError(InputError):
    """A node that cannot be reached, refuses, or sends what it should not."""


class Retry(PacsError):
    """A failure that may be gone in a moment: the link was cut, an answer ended too early."""


def uid_in(text: object) -> str:
    """A UID as a peer tells it; "" for what is none (PS3.5 9.1, with room for longer ones)."""
    found = str(text).strip(" \0")
    return found if UID.fullmatch(found) else ""


@dataclass(frozen=True)
class Study:
    """A study as a node lists it; `n_objects` is None where the node does not say.

    All of it identifies: it stays in memory.
    """

    uid: str = field(repr=False)
    patient: str = field(default="", repr=False)
    n_objects: int | None = None


@dataclass(frozen=True)
class Series:
    """A series as a node lists it."""

    study_uid: str = field(repr=False)
    uid: str = field(repr=False)
    modality: str
    n_objects: int | None = None
    body_part: str = ""


@dataclass(frozen=True)
class Wanted:
    """Which studies to bring: with an object of `modality`, of days, body part, label of plan.

    `body_part` and `plan_label` are compared without regard to case; a study whose series tell no
    body part has none.
    """

    modality: str = "RTDOSE"
    since: dt.date | None = None
    until: dt.date | None = None
    body_part: str = ""
    plan_label: str = ""

    def days(self) -> str:
        """The days as DICOM writes a range (PS3.4 C.2.2.2.5.1); "" for all."""
        if self.since is None and self.until is None:
            return ""
        return "-".join("" if day is None else f"{day:%Y%m%d}" for day in (self.since, self.until))


@dataclass(frozen=True)
class Local:
    """Who we are to a DIMSE peer: our title, and the port that C-MOVE sends to (None: C-GET)."""

    aet: str = "ISOHASH"
    receive_port: int | None = None


class Node(Protocol):
    """A PACS, by whichever protocol."""

    def studies(self, wanted: Wanted) -> Iterator[Study]:
        """The studies with an object of the modality in the days that are wanted."""

    def study(self, uid: str) -> Study:
        """One study by its UID; PacsError if there is none."""

    def series(self, study_uid: str) -> list[Series]:
        """The series of a study."""

    def series_elsewhere(self, uids: frozenset[str], study: Study) -> list[Series]:
        """The series among `uids` that lie in other studies than `study`, which refers to them."""

    def fetch(self, series: Series, inbox: Inbox) -> None:
        """Write the objects of a series to `inbox`."""

    def store(self, files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Store objects; of each why the node did not take it, "" if it did."""

    def close(self) -> None:
        """End what is open."""


class Inbox:
    """The private folder that the objects of one study come to, within limits.

    Files are numbered as they come: nothing that a peer sends becomes part of a path. All get the
    same time, so that an object brought again is known again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []
        self._room = min(MOST_BYTES, shutil.disk_usage(folder).free // 2)

    def new(self) -> Incoming:
        """A file for the next object."""
        if len(self.files) >= MOST_OBJECTS:
            raise PacsError(f"a study of more than {MOST_OBJECTS} objects is not taken")
        return Incoming(self, self.folder / f"{len(self.files):06d}.dcm")

    def keep(self, path: Path) -> None:
        """An object that has come whole."""
        os.utime(path, (0, 0))
        self.files.append(path)

    def take(self, n_bytes: int) -> None:
        """Count bytes before they are written."""
        self._room -= n_bytes
        if self._room < 0:
            raise PacsError(
                f"a study of more than {MOST_BYTES >> 30} GiB, or than half of the free disk, is "
                "not taken"
            )


class Incoming:
    """One object on its way to a file; it is gone unless it came whole."""

    def __init__(self, inbox: Inbox, path: Path) -> None:
        self._inbox, self._path = inbox, path
        self._file = os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY), "wb"
        )

    def write(self, piece: bytes | memoryview) -> None:
        """Add bytes."""
        self._inbox.take(len(piece))
        self._file.write(piece)

    def whole(self) -> None:
        """The object has come whole."""
        self._file.close()
        self._inbox.keep(self._path)

    def drop(self) -> None:
        """The object has not come whole."""
        self._file.close()
        self._path.unlink(missing_ok=True)
