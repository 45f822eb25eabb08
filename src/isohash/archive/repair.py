"""Make a damaged archive usable again: keep what is intact, say what is lost.

Cases are read from the catalogue if it is intact, else from the segments themselves. A case is
kept if every byte of its newest version is; an older version is never brought back. The cases
kept are written into one new segment, the damaged segments move to quarantine/, nothing that is
damaged is deleted. A repair that is killed can be started again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from isohash import whole_files
from isohash.archive import catalogue, compaction, files, folder, sql
from isohash.archive.files import DamagedArchive
from isohash.archive.segments import Segment
from isohash.archive.state import (
    Change,
    Record,
    State,
    change_of,
    open_segment,
    row_ranges,
    segment_files,
    segment_path,
)
from isohash.archive.writer import write_catalogue
from isohash.errors import InputError
from isohash.progress import Progress, tell


@dataclass(frozen=True)
class Repair:
    """What was done: files moved to quarantine/, ids and files that are lost, and why.

    `restored` are files that were lost and could be put back (`retrieval.soundness`).
    """

    quarantined: tuple[str, ...] = ()
    lost_cases: tuple[str, ...] = ()
    lost_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()


@dataclass
class _Findings:
    """The log as far as it can be read."""

    state: State
    catalogue_is_intact: bool
    bad: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lost_cases: list[str] = field(default_factory=list)
    lost_files: list[str] = field(default_factory=list)


def repair(path: str | Path, progress: Progress | None = None) -> Repair:
    """Repair the archive at `path`; InputError if its recipe is lost or another writes to it."""
    archive = Path(path)
    if not (archive / folder.SEGMENTS).is_dir():
        raise InputError(f"{archive} is not an isohash archive: it has no segments")
    folder.check_places(archive)
    lock = folder.lock_writer(archive)
    try:
        with files.writing(archive):
            folder.sweep(archive)
            return _repair(archive, progress)
    finally:
        lock.release()


def _repair(archive: Path, progress: Progress | None) -> Repair:
    recipe_note = _restore_recipe(archive)
    found = _read_log(archive)
    found.notes += recipe_note
    _check_segments(archive, found, progress)
    if found.catalogue_is_intact and not found.bad:
        compaction.remove_replaced(archive, found.state)
        return Repair(notes=tuple(found.notes))
    state = found.state
    if found.bad:
        _drop_lost(archive, found)
        state.apply(_rewrite(archive, state, progress))
    replace_catalogue(archive, state, folder.read_recipe(archive))
    moved = [_quarantine(archive, path) for path in found.bad if path.exists()]
    compaction.remove_replaced(archive, state)
    return Repair(
        tuple(moved), tuple(found.lost_cases), tuple(found.lost_files), tuple(found.notes)
    )


def _restore_recipe(archive: Path) -> list[str]:
    """Write recipe.json from the catalogue's copy if it is damaged; says so."""
    path = archive / folder.RECIPE
    try:
        folder.read_recipe(archive)
        return []
    except DamagedArchive as error:
        recipe, source = _recipe_elsewhere(archive)
        if recipe is None:
            raise InputError(
                f"{error.path}, its copy in {sql.NAME} and those in the segments are damaged or "
                "missing; restore recipe.json from a backup, then repair again"
            ) from None
        if os.path.lexists(path):  # a link to nowhere would be written through
            _quarantine(archive, path)
        folder.write_recipe(archive, recipe)
        return [f"recipe.json was damaged; it was restored from {source}"]


def _recipe_elsewhere(archive: Path) -> tuple[dict[str, Any] | None, str]:
    """The catalogue's copy or, where that is lost too, that of the newest segment that has one."""
    with suppress(DamagedArchive), catalogue.guard(archive):
        return folder.parse_copy(catalogue.load(archive)[1]), "the catalogue's copy"
    for path, _ in reversed(segment_files(archive)):
        with suppress(DamagedArchive):
            recipe = Segment(path).header.extra.get("recipe")
            if isinstance(recipe, dict):
                return recipe, f"the copy in {path.name}, the newest segment that has one"
    return None, ""


def _read_log(archive: Path) -> _Findings:
    """The state from the catalogue and the segments it does not know, or from all segments."""
    try:
        catalogue.check_seal(archive)
        intact, notes = True, []
    except DamagedArchive as error:
        intact, notes = False, [str(error)]
    try:
        state, _ = catalogue.load(archive)
        _check_agreement(archive, state)
        found = _Findings(state, intact, notes=notes)
    except DamagedArchive as error:
        notes = [f"{error.path} is damaged: {error.what}; it was rebuilt from the segments"]
        found = _Findings(State(), False, notes=notes)
    for path, sequence in segment_files(archive):
        if sequence > found.state.sequence:
            _replay(found, path, sequence)
    return found


def _check_agreement(archive: Path, state: State) -> None:
    """DamagedArchive if the catalogue says of a case what no segment that can be read says."""
    said: dict[int, set[Record]] = {}
    for path, sequence in segment_files(archive):
        if sequence in state.segments:
            with suppress(DamagedArchive):
                said[sequence] = set(_change(path, sequence).records)
    for record in state.cases.values():
        if record.segment in said and record not in said[record.segment]:
            what = f"case {record.id!r} is not what its segment says"
            raise DamagedArchive(archive / sql.NAME, what)


def _replay(found: _Findings, path: Path, sequence: int) -> None:
    """Apply one segment that the catalogue does not know."""
    expected = found.state.sequence + 1
    try:
        change = _change(path, sequence)
    except DamagedArchive as error:
        found.bad[path] = error.what
        found.notes.append(
            f"{path.name} cannot be read: a case it held is lost or back in an older version, "
            "a deletion it held is undone"
        )
        return
    for lost in sorted((change.kept or frozenset()) - found.state.segments.keys()):
        found.notes.append(f"segment {lost} is missing; it held a file")
    if change.kept is None and found.state.segments and sequence > expected:
        missing = [n for n in range(expected, sequence) if _unseen(path, n)]
        found.notes += [f"segment {n} is missing; what it held is unknown" for n in missing]
    found.state.apply(change)


def _unseen(path: Path, sequence: int) -> bool:
    return not path.with_name(f"{sequence:012d}.seg").exists()


def _change(path: Path, sequence: int) -> Change:
    segment = Segment(path)
    if segment.header.sequence != sequence:
        raise DamagedArchive(path, f"it is segment {segment.header.sequence} under another name")
    return change_of(segment)


def _check_segments(archive: Path, found: _Findings, progress: Progress | None) -> None:
    """Find the damaged ones among all segments that there are or should be."""
    there = dict(segment_files(archive))
    listed = {segment_path(archive, s): e for s, e in found.state.segments.items()}
    todo = sorted(there.keys() | listed.keys())
    for done, path in enumerate(todo):
        tell(progress, done, len(todo), path.name)
        try:
            segment = open_segment(archive, listed[path]) if path in listed else Segment(path)
            segment.check_all()
        except DamagedArchive as error:
            found.bad.setdefault(path, error.what)


def _drop_lost(archive: Path, found: _Findings) -> None:
    """Take out of the state what lies in damaged bytes."""
    state = found.state
    damaged = {s for s in state.segments if segment_path(archive, s) in found.bad}
    opened = _Opener(archive, state)
    for record in list(state.cases.values()):
        if record.segment in damaged and not _is_intact(opened, record):
            found.lost_cases.append(record.id)
            del state.cases[record.id]
    for name, sequence in state.files().items():
        if sequence in damaged:
            found.lost_files.append(name)
            for s in [s for s, e in state.segments.items() if e.name == name]:
                del state.segments[s]


def _is_intact(opened: _Opener, record: Record) -> bool:
    try:
        segment = opened(record.segment)
        for block, first, n in row_ranges(record).values():
            segment.rows(block, first, first + n)
    except DamagedArchive:
        return False
    return True


class _Opener:
    """Opens segments of a state, keeping the last one open."""

    def __init__(self, archive: Path, state: State) -> None:
        self._archive = archive
        self._state = state
        self._last: tuple[int, Segment] | None = None

    def __call__(self, sequence: int) -> Segment:
        if self._last is None or self._last[0] != sequence:
            segment = open_segment(self._archive, self._state.segments[sequence])
            self._last = sequence, segment
        return self._last[1]


def _rewrite(archive: Path, state: State, progress: Progress | None) -> Change:
    """Write what is left as one new segment, after every number that was ever used."""
    numbers = [sequence for _, sequence in segment_files(archive)]
    sequence = max([state.sequence, *numbers]) + 1
    opener = _Opener(archive, state)
    recipe = folder.read_recipe(archive)
    return compaction.write_compacted(archive, state, recipe, opener, progress, sequence)


def replace_catalogue(archive: Path, state: State, recipe: dict[str, Any]) -> None:
    """Build the catalogue anew beside the old one and put it in its place, and the recipe.

    The old seal is gone before, the new one comes last: a power failure in between never leaves one
    beside a catalogue that is not its own, or that has a copy of another recipe.
    """
    workplace = archive / (files.TEMPORARY + "repair")
    whole_files.make_folder(workplace)
    write_catalogue(workplace, state, folder.dump(recipe))
    for name in (sql.NAME + "-wal", sql.NAME + "-shm", catalogue.SEAL):
        whole_files.unlink(archive / name)
    whole_files.sync_folder(archive)
    whole_files.rename(workplace / sql.NAME, archive / sql.NAME)
    whole_files.sync_folder(archive)
    folder.write_recipe(archive, recipe)
    whole_files.rename(workplace / catalogue.SEAL, archive / catalogue.SEAL)
    whole_files.sync_folder(archive)
    shutil.rmtree(workplace)


def _quarantine(archive: Path, path: Path) -> str:
    """Move a damaged file away; returns its place within the archive."""
    place = archive / folder.QUARANTINE
    whole_files.make_folder(place)
    target = next(t for t in _names(place / path.name) if not t.exists())
    whole_files.rename(path, target)
    whole_files.sync_folder(place)
    whole_files.sync_folder(path.parent)
    return str(target.relative_to(archive))


def _names(path: Path) -> Iterator[Path]:
    """A file's name, then the same with 1, 2, ... behind it."""
    yield path
    for i in count(1):
        yield path.with_name(f"{path.name}.{i}")
