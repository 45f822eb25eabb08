"""Where objects that are sent to us wait until their study is whole.

A folder for its owner alone. What has been acknowledged to the sender is safe on disk; it lies as
it came until its header has been read, then in the folder of its study. A study is whole when it
has what was asked for and the images that it refers to, and nothing has come for a while. What does
not become whole in time is thrown away, and told.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from isohash.sources.dicom.find import scan
from isohash.sources.dicom.scan import Instance
from isohash.sources.found import Skipped
from isohash.sources.identity.pseudonyms import load_key, pseudonym
from isohash.whole_files import private_folder, write_whole

ARRIVED = "arrived"
PART = ".tmp"  # of what a kill left half-written
MOST_WAITING = 64 << 30  # bytes in all: more is refused until some have gone


class Spool:
    """The folder, and what lies in it."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self.folder = private_folder(folder)
        self._arrived = private_folder(folder / ARRIVED)
        self._now = now
        for half in self._arrived.glob(f".*{PART}"):
            half.unlink()
        self._counting = threading.Lock()
        self._n_bytes = self._count()

    def room(self, n_bytes: int) -> bool:
        """Whether there is room for an object."""
        free = shutil.disk_usage(self.folder).free
        return n_bytes < free // 2 and self._n_bytes + n_bytes < MOST_WAITING

    def add(self, pieces: tuple[bytes | memoryview, ...]) -> None:
        """Keep an object; it is safe on disk when this returns."""
        write_whole(self._arrived / secrets.token_hex(12), pieces, kept_up=True)
        with self._counting:
            self._n_bytes += sum(map(len, pieces))

    def sort(self) -> list[Skipped]:
        """Put what has arrived into the folders of its studies; what is of no use goes."""
        files = sorted(one for one in self._arrived.iterdir() if one.suffix != PART)
        skipped: list[Skipped] = []
        for header in scan(files, load_key(), skipped) if files else ():
            study = private_folder(self.folder / pseudonym(load_key(), "study", header.study_uid))
            os.utime(header.path, (0, 0))
            header.path.rename(study / f"{pseudonym(load_key(), 'file', header.sop_uid)}.dcm")
            os.utime(study, (self._now(), self._now()))
        for one in skipped:
            Path(one.path).unlink()
        self._recount()
        return [Skipped("an object that came", one.reason) for one in skipped]

    def waiting(self) -> list[Path]:
        """The folders of studies, the oldest first."""
        found = [one for one in self.folder.iterdir() if one.is_dir() and one.name != ARRIVED]
        return sorted(found, key=lambda one: one.stat().st_mtime)

    def age(self, study: Path) -> float:
        """Seconds since the last object of a study came."""
        return self._now() - study.stat().st_mtime

    def remove(self, study: Path) -> None:
        """A study is done with."""
        shutil.rmtree(study, ignore_errors=True)
        self._recount()

    def _recount(self) -> None:
        with self._counting:
            self._n_bytes = self._count()

    def _count(self) -> int:
        return sum(one.stat().st_size for one in self.folder.rglob("*") if one.is_file())


def lacking(study: Path, modality: str) -> str:
    """What a study lacks: an object of the modality, images that structures are drawn on; or ""."""
    skipped: list[Skipped] = []
    headers = scan(sorted(study.iterdir()), load_key(), skipped)
    if all(one.kind != modality for one in headers):
        return f"no {modality} came"
    here = {one.sop_uid for one in headers if one.kind == "CT"}
    if missing := _drawn_on(headers) - here:
        return f"{len(missing)} images that structures are drawn on did not come"
    return ""


def _drawn_on(headers: list[Instance]) -> frozenset[str]:
    return frozenset(uid for one in headers for uid in one.images)
