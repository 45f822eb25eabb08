"""`CaseStore`: cases (metadata and arrays) and named files in one folder that survives anything.

    put -> segment file (written, fsynced, renamed, folder fsynced) -> catalogue -> acknowledged

A put is durable when it returns, and all or nothing if it does not: the rename is the moment of
truth, the catalogue follows and is brought up to date from the segments when it lags. There is
one writer at a time (a lock says so) and any number of readers, each with the state of the moment
it was opened. Nothing is ever overwritten in place. Every byte is under a checksum: a damaged
byte is an error that names the file, never a wrong answer. See docs/archive-format.md.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive import catalogue, columns, compaction, files, folder
from isohash.archive.columns import Rows
from isohash.archive.repair import Repair, repair
from isohash.archive.segments import (
    CONTENT,
    DTYPES,
    Pieces,
    Plan,
    Segment,
    array_bytes,
    lay_out,
    write_segment,
)
from isohash.archive.state import (
    Change,
    Entry,
    Record,
    State,
    encode_records,
    news,
    open_segment,
    row_ranges,
    segment_path,
)
from isohash.archive.verify import Progress, Report, verify
from isohash.errors import InputError

MAX_OPEN = 256  # segments kept open; arrays handed out keep theirs open by themselves
_BYTES = np.dtype("u1")


class CaseStore:
    """An archive of cases; made by `create` or `open`, usable as a context manager."""

    def __init__(
        self,
        path: Path,
        recipe: dict[str, Any],
        state: State,
        lock: folder.Lock | None,
        writer: catalogue.Writer | None,
    ) -> None:
        self.path = path
        self.writable = writer is not None
        self._recipe = recipe
        self._state = state
        self._writer = writer
        self._behind: list[Change] = []  # changes that the catalogue has not got yet
        self._open: dict[int, Segment] = {}
        self._mutex = threading.RLock()
        self._opening = threading.Lock()
        self._ids: tuple[str, ...] | None = None
        self._close = weakref.finalize(self, _release, path, lock, writer)

    @classmethod
    def create(
        cls, path: str | Path, recipe: Mapping[str, Any], files: Mapping[str, bytes] | None = None
    ) -> CaseStore:
        """Make a new archive in a new or empty folder and open it for writing.

        All or nothing: until the last step the folder is no archive, and creating again takes
        over what a killed creation left.
        """
        archive = Path(path)
        content = _as_recipe(recipe)
        lock = folder.begin(archive)
        try:
            with _writing(archive):
                catalogue.Writer.create(archive, folder.dump(content))
            store = _start_writing(cls, archive, content, lock)
        except BaseException:
            lock.release()
            raise
        try:
            for name, data in (files or {}).items():
                store.put_file(name, data)
            with _writing(archive):
                folder.finish(archive, content)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, path: str | Path, writable: bool = False) -> CaseStore:
        """Open an archive; InputError if there is none, it is newer, damaged or locked."""
        archive = Path(path)
        recipe = folder.read_recipe(archive)
        return _open_writer(cls, archive) if writable else _open_reader(cls, archive, recipe)

    def verify(self, progress: Progress | None = None) -> Report:
        """Read and check every byte of the archive's folder; `verify` in verify.py says what."""
        return verify(self.path, progress)

    def close(self) -> None:
        """Release the locks; a writer seals the catalogue. Arrays handed out stay valid."""
        with suppress(InputError):
            self._catch_up()
        self._close()
        self._open.clear()

    @staticmethod
    def repair(path: str | Path, progress: Progress | None = None) -> Repair:
        """Make a damaged archive usable again; see repair.py for what is kept."""
        return repair(path, progress)

    def __enter__(self) -> CaseStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- reading ---------------------------------------------------------------------------------

    @property
    def recipe(self) -> dict[str, Any]:
        """How the archive was made: a fresh copy of its JSON."""
        copy: dict[str, Any] = json.loads(folder.dump(self._recipe))
        return copy

    def __len__(self) -> int:
        return len(self._state.cases)

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._state.cases

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids())

    def ids(self) -> tuple[str, ...]:
        """The case ids in the order of their first put; an upsert keeps a case's place."""
        if self._ids is None:
            self._ids = tuple(self._state.cases)
        return self._ids

    def metadata(self, case_id: str) -> dict[str, Any]:
        """The metadata of a case, a fresh copy."""
        found: dict[str, Any] = json.loads(self._record(case_id).metadata)
        return found

    def fingerprint(self, case_id: str) -> str:
        """What `put` was given to tell whether the case's source has changed."""
        return self._record(case_id).fingerprint

    def array_names(self, case_id: str) -> tuple[str, ...]:
        """The names of a case's arrays, in the order they were put."""
        return tuple(row_ranges(self._record(case_id)))

    def arrays(self, case_id: str, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """The arrays of a case (or those named), read-only, not copied, their bytes checked."""
        record = self._record(case_id)
        ranges = row_ranges(record)
        for name in names or ():
            if name not in ranges:
                raise InputError(
                    f"case {case_id!r} has no array {name!r}; it has {', '.join(ranges) or 'none'}"
                )
        segment = self._segment(record.segment)
        wanted = ranges if names is None else {name: ranges[name] for name in names}
        return {n: segment.rows(b, first, first + k) for n, (b, first, k) in wanted.items()}

    def gather(self, name: str) -> Rows:
        """One array of all cases, joined along its first axis in the order of ids().

        Not copied where one compacted segment holds it all. InputError if no case has it, or if
        its dtype or row shape differs between cases.
        """
        return columns.gather(name, tuple(self._state.cases.values()), self._segment)

    def chunks(self, name: str, max_bytes: int = 1 << 26) -> Iterator[Rows]:
        """`gather` in pieces of whole cases of at most `max_bytes`, for what exceeds memory."""
        records = tuple(self._state.cases.values())
        return columns.chunks(name, records, self._segment, max_bytes)

    def file_names(self) -> tuple[str, ...]:
        """The names of the files kept beside the cases."""
        return tuple(self._state.files())

    def read_file(self, name: str) -> bytes:
        """The content of a file put by `put_file`, checked."""
        sequence = self._state.files().get(name)
        if sequence is None:
            known = ", ".join(self.file_names()) or "none"
            raise InputError(f"archive {self.path} has no file {name!r}; it has {known}")
        return self._segment(sequence).content()

    def info(self) -> dict[str, Any]:
        """Counts, sizes and versions."""
        entries = self._state.segments.values()
        names: dict[str, None] = {}
        for record in self._state.cases.values():
            names.update(dict.fromkeys(row_ranges(record)))
        return {
            "path": str(self.path),
            "format": folder.FORMAT,
            "cases": len(self),
            "segments": len(entries),
            "bytes": sum(entry.size for entry in entries),
            "arrays": list(names),
            "files": {n: self._state.segments[s].size for n, s in self._state.files().items()},
            "sequence": self._state.sequence,
        }

    # -- writing ---------------------------------------------------------------------------------

    def put(
        self,
        case_id: str,
        metadata: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        fingerprint: str = "",
    ) -> None:
        """Add a case, or replace it in its place; durable when it returns."""
        _check_text(case_id, "a case id", empty=False)
        _check_text(fingerprint, "a fingerprint")
        meta = folder.dump(folder.normalised(dict(metadata), f"metadata of case {case_id!r}"))
        columns_ = {name: _as_column(name, array) for name, array in arrays.items()}
        with self._mutex, self._ready():
            sequence = self._state.sequence + 1
            rows = {n: [i, 0, len(a)] for i, (n, a) in enumerate(columns_.items(), 1)}
            known = self._state.cases.get(case_id)
            position = known.position if known else sequence
            record = Record(position, case_id, fingerprint, sequence, folder.dump(rows), meta)
            content = encode_records([record])
            shapes = [(n, a.dtype, a.shape) for n, a in columns_.items()]
            sources: list[Pieces] = [[content], *([array_bytes(a)] for a in columns_.values())]
            entry = self._write("case", content, shapes, sources)
            self._commit(Change(entry, (record,)))

    def delete(self, case_id: str) -> None:
        """Remove a case; its rows leave the disk at the next `compact`."""
        with self._mutex, self._ready():
            self._record(case_id)
            content = folder.dump([case_id]).encode()
            entry = self._write("delete", content, [], [[content]])
            self._commit(Change(entry, deleted=(case_id,)))

    def put_file(self, name: str, data: bytes) -> None:
        """Keep a small named file (weights, hash parameters), or replace it at once."""
        _check_text(name, "a file name", empty=False)
        with self._mutex, self._ready():
            entry = self._write("file", data, [], [[data]], name=name)
            self._commit(Change(entry))

    def set_recipe(self, recipe: Mapping[str, Any]) -> None:
        """Replace the recipe at once."""
        content = _as_recipe(recipe)
        with self._mutex, self._ready() as writer:
            try:
                with _writing(self.path):
                    writer.break_seal()
                    folder.write_recipe(self.path, content)
            finally:  # a failure after the rename has replaced it all the same
                self._recipe = folder.read_recipe(self.path)
            with suppress(InputError):
                self._catch_up()

    def compact(self, progress: Progress | None = None) -> None:
        """Merge all segments into one and drop deleted and overwritten rows.

        Needs free space for all live rows. Readers keep what they have opened: what they may need
        is removed by a later writer. Does nothing if there is nothing to merge or drop.
        """
        with self._mutex, self._ready():
            if not compaction.is_compact(self._state):
                sequence = self._state.sequence + 1
                with _writing(self.path):
                    change = compaction.write_compacted(
                        self.path, self._state, sequence, self._segment, progress
                    )
                self._commit(change)
                self._open.clear()
            self._remove_replaced()

    # -- within ----------------------------------------------------------------------------------

    def _record(self, case_id: str) -> Record:
        record = self._state.cases.get(case_id)
        if record is None:
            raise InputError(f"archive {self.path} has no case {case_id!r}; see its ids")
        return record

    def _segment(self, sequence: int) -> Segment:
        """A segment of the log, open and known to be the one that the catalogue means."""
        if not self._close.alive:
            raise InputError(f"archive {self.path} is closed; open it again")
        with self._opening:
            segment = self._open.pop(sequence, None)
            if segment is None:
                segment = open_segment(self.path, self._state.segments[sequence])
                while len(self._open) >= MAX_OPEN:
                    del self._open[next(iter(self._open))]
            self._open[sequence] = segment
            return segment

    @contextmanager
    def _ready(self) -> Iterator[catalogue.Writer]:
        """Write only as the writer, and only when the catalogue has all that went before."""
        if self._writer is None or not self._close.alive:
            state = "closed" if not self._close.alive else "open for reading only"
            raise InputError(f"archive {self.path} is {state}; open it with writable=True")
        self._catch_up()
        yield self._writer
        self._ids = None

    def _write(
        self,
        kind: str,
        content: bytes,
        shapes: Sequence[tuple[str, np.dtype[Any], tuple[int, ...]]],
        sources: Sequence[Pieces],
        **extra: Any,
    ) -> Entry:
        """Publish the next segment."""
        sequence = self._state.sequence + 1
        blocks = lay_out([(CONTENT, _BYTES, (len(content),)), *shapes])
        plan = Plan(sequence, kind, blocks, extra)
        with _writing(self.path):
            size, sha256 = write_segment(segment_path(self.path, sequence), plan, sources)
        return Entry(sequence, kind, extra.get("name", ""), size, sha256)

    def _commit(self, change: Change) -> None:
        """Take in a published segment: from here on it counts, even if the catalogue fails."""
        self._state.apply(change)
        self._behind.append(change)
        with suppress(InputError):
            self._catch_up()

    def _remove_replaced(self) -> None:
        """Remove what a compaction has replaced, once the catalogue knows of the compaction."""
        if not self._behind:
            compaction.remove_replaced(self.path, self._state)

    def _catch_up(self) -> None:
        """Bring the catalogue up to date."""
        writer = self._writer
        if writer is None or not self._close.alive:
            return
        with _writing(self.path):
            while self._behind:
                writer.apply(self._behind[0])
                del self._behind[0]
            if writer.recipe != folder.dump(self._recipe):
                writer.set_recipe(folder.dump(self._recipe))
            if writer.wants_checkpoint:
                with suppress(BlockingIOError), folder.folding(self.path, wait=False):
                    writer.checkpoint()


def _open_reader(cls: type[CaseStore], archive: Path, recipe: dict[str, Any]) -> CaseStore:
    lock = folder.lock_shared(archive / folder.READERS)
    try:
        with folder.loading(archive):
            state, _ = catalogue.load(archive)
        for change in news(archive, state):
            state.apply(change)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    return cls(archive, recipe, state, lock, None)


def _open_writer(cls: type[CaseStore], archive: Path) -> CaseStore:
    lock = folder.lock_writer(archive)
    try:
        recipe = folder.read_recipe(archive)
        folder.sweep(archive)
        return _start_writing(cls, archive, recipe, lock)
    except BaseException:
        lock.release()
        raise


def _start_writing(
    cls: type[CaseStore], archive: Path, recipe: dict[str, Any], lock: folder.Lock
) -> CaseStore:
    with _writing(archive):
        writer = catalogue.Writer(archive)
    state = State(writer.state.sequence, dict(writer.state.cases), dict(writer.state.segments))
    store = cls(archive, recipe, state, lock, writer)
    try:
        for change in news(archive, state):
            store._commit(change)
        store._catch_up()
        store._remove_replaced()
    except BaseException:
        store.close()
        raise
    return store


def _release(path: Path, lock: folder.Lock | None, writer: catalogue.Writer | None) -> None:
    """Close and seal. A disk that refuses leaves the archive unsealed, which loses nothing."""
    try:
        if writer is not None:
            with suppress(OSError, sqlite3.Error), folder.folding(path, wait=True):
                writer.close()
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def _writing(archive: Path) -> Iterator[None]:
    """One line for a disk that refuses, whoever was writing."""
    with files.writing(archive):
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(
                f"cannot write to archive {archive}: its catalogue says {error}; "
                "free space, check the permissions and run the command again"
            ) from error


def _as_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = folder.normalised(dict(recipe), "the recipe")
    return content


def _as_column(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """An array as it is stored: little-endian, contiguous, with at least one axis."""
    _check_text(name, "an array name", empty=False)
    found = np.asarray(array)
    if found.dtype.newbyteorder("<").str not in DTYPES:
        raise InputError(
            f"array {name!r} has dtype {found.dtype}; the archive holds integers, floats and bool"
        )
    if found.ndim == 0:
        raise InputError(f"array {name!r} is a scalar; put it into the metadata or give it an axis")
    return np.ascontiguousarray(found, dtype=found.dtype.newbyteorder("<"))


def _check_text(text: str, what: str, empty: bool = True) -> None:
    if not isinstance(text, str) or (not text and not empty):
        raise InputError(f"{what} must be text{'' if empty else ' and not empty'}, got {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{what} must be valid Unicode, got {text!r}") from None
