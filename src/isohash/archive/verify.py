"""Check every byte of an archive's folder, whether or not it can be opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from isohash.archive import catalogue, files, folder, sql
from isohash.archive.files import DamagedArchive
from isohash.archive.segments import Segment
from isohash.archive.state import (
    LogEntry,
    Record,
    State,
    change_of,
    news,
    open_segment,
    segment_files,
    segment_path,
)
from isohash.progress import Progress, tell

_FILES = {folder.RECIPE, folder.BACKUP, catalogue.SEAL, *folder.LOCKS}
_FILES |= {sql.NAME + suffix for suffix in ("", "-wal", "-shm")}


@dataclass(frozen=True)
class Damage:
    """Damage in one file of the archive; `segment` is its path within the folder."""

    segment: str
    what: str


@dataclass(frozen=True)
class Report:
    """What `verify` found. `notes` are no damage: leftovers, a catalogue not yet sealed."""

    problems: tuple[Damage, ...]
    notes: tuple[str, ...]
    n_bytes_checked: int
    n_segments: int

    @property
    def ok(self) -> bool:
        """Whether every byte is as it was written."""
        return not self.problems


def verify(path: str | Path, progress: Progress | None = None) -> Report:
    """Read every byte below `path` and name each file that is damaged or missing."""
    archive = Path(path)
    with suppress(DamagedArchive):
        folder.read_recipe(archive)  # refuses what is no archive, or a newer one
    if wrong := tuple(_misplaced(archive)):
        return Report(wrong, ("nothing else was looked at",), 0, 0)
    lock = folder.lock_shared(archive / folder.READERS)
    try:
        return _Check(archive, progress).report()
    finally:
        if lock is not None:
            lock.release()


class _Check:
    """One pass over an archive."""

    def __init__(self, archive: Path, progress: Progress | None) -> None:
        self.archive = archive
        self.progress = progress
        self.problems: list[Damage] = []
        self.notes: list[str] = []
        self._done = self._total = 0
        self._live: dict[int, set[Record]] = {}
        self.n_bytes = 0
        self.n_segments = 0

    def report(self) -> Report:
        """Check everything, in the order in which it is built on."""
        state = self._catalogue()
        self._segments(state)
        self._others()
        return Report(tuple(self.problems), tuple(self.notes), self.n_bytes, self.n_segments)

    def _add(self, path: Path, what: str) -> None:
        """Name a file once, by the first that was found wrong with it."""
        where = str(path.relative_to(self.archive))
        if all(where != problem.segment for problem in self.problems):
            self.problems.append(Damage(where, what))

    def _recipe(self) -> str | None:
        """The recipe, if it can be read."""
        try:
            return folder.dump(folder.read_recipe(self.archive))
        except DamagedArchive as error:
            self._add(error.path, error.what)
            return None

    def _catalogue(self) -> State | None:
        """The state that the catalogue and the newest segments give, if they can be read."""
        try:
            with folder.loading(self.archive):
                sealed = self._seal()
                state, copy = catalogue.load(self.archive)
        except DamagedArchive as error:
            self._add(error.path, error.what)
            state, copy, sealed = None, None, False
        recipe = self._recipe()
        if sealed and recipe is not None and copy != recipe and catalogue.check_seal(self.archive):
            # a writer that has just replaced the recipe would have broken the seal before
            self._add(self.archive / sql.NAME, "its copy of the recipe is not the recipe")
        if state is None:
            return None
        try:
            for change in news(self.archive, state):
                state.apply(change)
        except DamagedArchive:
            pass  # the pass over the segments finds and names it
        return state

    def _seal(self) -> bool:
        """Compare a closed catalogue with its seal; whether it is sealed."""
        for name in (folder.RECIPE, sql.NAME, catalogue.SEAL):
            if (self.archive / name).is_file():
                self.n_bytes += (self.archive / name).stat().st_size
        try:
            sealed = catalogue.check_seal(self.archive)
        except DamagedArchive as error:
            self._add(error.path, error.what)
            return False
        if not sealed:
            self.notes.append(
                "the catalogue is not sealed: a writer is at work, or was killed; "
                "opening the archive for writing seals it"
            )
        return sealed

    def _segments(self, state: State | None) -> None:
        """Check each segment of the log, or each segment there is if the log is unknown."""
        for record in state.cases.values() if state else ():
            self._live.setdefault(record.segment, set()).add(record)
        found = segment_files(self.archive)
        entries = state.segments if state else {}
        listed = {segment_path(self.archive, s): entry for s, entry in entries.items()}
        unlisted = [(path, sequence) for path, sequence in found if path not in listed]
        todo = sorted({*listed, *(self._beyond(unlisted, state))})
        self._total = sum(path.stat().st_size for path in todo if path.exists())
        for path in todo:
            self._segment(path, listed.get(path))
        tell(self.progress, self._total, self._total, "verified")

    def _seen(self, n_bytes: int) -> None:
        """Report progress in bytes."""
        self._done += n_bytes
        tell(self.progress, self._done, self._total, "verifying")

    def _beyond(self, unlisted: list[tuple[Path, int]], state: State | None) -> Iterator[Path]:
        """Segments to check although the log does not list them."""
        expected = state.sequence + 1 if state else 0
        if unlisted and folder.is_unfinished_backup(self.archive):
            self.notes.append("a backup into this folder was not finished: run it again")
            return
        for path, sequence in unlisted:
            if sequence < expected:  # a reader needed it when a compaction replaced it
                self.notes.append(f"{path.name} is left over from a compaction")
                continue
            if state and sequence > expected:
                self._add(path, "it is not in the log: segments before it are missing")
            expected = sequence + 1  # one that follows the log was written meanwhile
            yield path

    def _segment(self, path: Path, entry: LogEntry | None) -> None:
        self.n_segments += 1
        try:
            if not path.exists():
                raise DamagedArchive(path, "it is missing")
            segment = open_segment(self.archive, entry) if entry else Segment(path)
            self.n_bytes += segment.size
            segment.check_all(self._seen)
            change = change_of(segment)
        except DamagedArchive as error:
            self._add(error.path, error.what)
            return
        if entry and not self._live.get(change.entry.sequence, set()) <= set(change.records):
            self._add(path, "its cases are not those that the catalogue knows")

    def _others(self) -> None:
        """Files beside the segments: locks are empty, anything unknown is only noted."""
        for path in sorted(self.archive.iterdir()):
            if path.name in folder.LOCKS and path.stat().st_size:
                self._add(path, "a lock file must be empty")
            elif path.is_file() and path.name not in _FILES:
                self.notes.append(f"{path.name} is not part of the archive")
        for path in sorted((self.archive / folder.SEGMENTS).glob("*")):
            if path.suffix != ".seg":
                self.notes.append(f"{path.name} is left over from a killed writer")


def _misplaced(archive: Path) -> Iterator[Damage]:
    """Links, pipes and devices that have the names of an archive's files or folders."""
    for path in sorted(archive.iterdir()):
        try:
            if path.name in (folder.SEGMENTS, folder.QUARANTINE):
                files.check_folder(path)
            elif path.name in _FILES:
                files.check_regular(path)
        except DamagedArchive as error:
            yield Damage(path.name, error.what)
