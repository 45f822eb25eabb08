"""A copy of an archive, also of one that is being written: consistent, incremental, verified.

A backup is an archive. What is copied is the state that a reader sees at one moment: its segments
(immutable, so those that the backup has already are not copied again), its recipe, a catalogue
written anew. `backup.json` says what the folder is, so that no other archive is written over. A
backup that was killed is made whole by the next run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isohash import whole_files
from isohash.archive import compaction, files, folder
from isohash.archive.files import DamagedArchive
from isohash.archive.log import Log
from isohash.archive.repair import replace_catalogue
from isohash.archive.segments import Segment
from isohash.archive.state import open_segment, segment_path
from isohash.archive.verify import verify
from isohash.errors import InputError
from isohash.progress import Progress, tell

MARK = folder.BACKUP
PIECE = 1 << 22


@dataclass(frozen=True)
class Backup:
    """What a backup copied: segments that it lacked, and all that it holds now."""

    n_cases: int
    n_segments: int
    n_copied: int
    n_bytes_copied: int


def backup(
    archive: str | Path, destination: str | Path, progress: Progress | None = None
) -> Backup:
    """Bring the backup at `destination` up to date, or make it; InputError if it is another's.

    The archive may be written meanwhile. Every byte of the backup is read again at the end:
    InputError names what is damaged there.
    """
    source, target = Path(archive), Path(destination)
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"{destination} is the archive itself; choose another folder")
    log = Log.open_to_read(source)
    try:
        lock = _begin(target)
        try:
            with files.writing(target):
                copied = _copy(log, target, progress)
                _finish(log, target)
        finally:
            lock.release()
    finally:
        log.close()
    found = verify(target, progress)
    if not found.ok:
        raise InputError(
            f"the backup {target} is damaged: {found.problems[0].segment}: "
            f"{found.problems[0].what}; back up into a new folder, and check that disk"
        )
    return Backup(len(log.state.cases), len(log.state.segments), len(copied), sum(copied))


def _begin(target: Path) -> folder.Lock:
    """The writer's lock of a backup: of one that is there, or of a new folder."""
    if not (target / folder.RECIPE).exists():
        return folder.begin(target)
    if not files.check_regular(target / MARK):
        raise InputError(f"{target} is an archive, not a backup of one; choose a new folder")
    folder.read_recipe(target)
    folder.check_places(target)
    lock = folder.lock_writer(target)
    folder.sweep(target)
    return lock


def _copy(log: Log, target: Path, progress: Progress | None) -> list[int]:
    """Copy the segments that the backup lacks; the size of each."""
    _refuse_others(log, target)
    _mark(target, unfinished=True)
    missing = [e for e in log.state.segments.values() if not _has(target, log, e.sequence)]
    copied: list[int] = []
    total = sum(entry.size for entry in missing)
    for entry in missing:
        tell(progress, sum(copied), total, "copying")
        segment = open_segment(log.path, entry)  # keeps the file, should a compaction remove it
        files.publish(segment_path(target, entry.sequence), _pieces(segment))
        open_segment(target, entry)
        copied.append(entry.size)
    tell(progress, total, total, "copied")
    return copied


def _refuse_others(log: Log, target: Path) -> None:
    """InputError unless a backup is an earlier state of this archive, as far as can be told."""
    if not (target / folder.RECIPE).exists():
        return
    before = Log.open_to_read(target)
    before.close()
    old, new = before.state, log.state
    common = old.segments.keys() & new.segments.keys()
    same = all(old.segments[s].sha256 == new.segments[s].sha256 for s in common)
    if not common:  # compacted since then; positions are for life
        known = {(record.position, record.id) for record in new.cases.values()}
        same = not old.cases or any((r.position, r.id) in known for r in old.cases.values())
    if not same or old.sequence > new.sequence:
        raise InputError(f"{target} is not a backup of {log.path}; choose a new folder")


def _has(target: Path, log: Log, sequence: int) -> bool:
    """Whether the backup has a segment, whole as far as its header and checksums tell."""
    try:
        open_segment(target, log.state.segments[sequence])
    except DamagedArchive:
        return False
    return True


def _pieces(segment: Segment) -> Iterator[bytes]:
    """The bytes of a segment's file."""
    with files.opened(segment.path) as file:
        while piece := file.read(PIECE):
            yield piece


def _finish(log: Log, target: Path) -> None:
    """Make what was copied count."""
    replace_catalogue(target, log.state, log.recipe)
    _mark(target, sequence=log.state.sequence)
    whole_files.unlink(target / folder.CREATING)
    whole_files.sync_folder(target)
    whole_files.sync_folder(target.parent)
    compaction.remove_replaced(target, log.state)


def _mark(target: Path, **said: object) -> None:
    """Say that the folder is a backup, and up to which change, or that one is under way."""
    text = folder.dump({"isohash backup": True, **said})
    files.publish(target / MARK, [text.encode() + b"\n"])
