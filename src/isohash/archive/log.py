"""The log of an archive: segments are published, the catalogue follows, readers look on.

    publish (written, fsynced, renamed, folder fsynced) -> catalogue -> acknowledged

The rename is the moment of truth: a segment that has its name counts, and the catalogue is
brought up to date from the segments where it lags. Nothing is ever overwritten in place.
"""

from __future__ import annotations

import mmap
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from isohash.archive import catalogue, compaction, files, folder
from isohash.archive.segment_format import CONTENT, Draft, Pieces, lay_out
from isohash.archive.segments import Segment, check_size, write_segment
from isohash.archive.state import Change, LogEntry, Record, State, news, open_segment, segment_path
from isohash.archive.writer import Writer
from isohash.errors import InputError
from isohash.progress import Progress

MAX_OPEN = 256  # segments kept open; arrays handed out keep theirs open by themselves


class Log:
    """An open archive: its recipe, its state, and with a writer the right to change them."""

    def __init__(
        self,
        path: Path,
        recipe: dict[str, Any],
        state: State,
        lock: folder.Lock | None,
        writer: Writer | None,
    ) -> None:
        self.path = path
        self.recipe = recipe
        self.state = state
        self._writer = writer
        self._open: dict[int, Segment] = {}
        self._mapped: weakref.WeakKeyDictionary[mmap.mmap, Path] = weakref.WeakKeyDictionary()
        self._opening = threading.Lock()
        self._mutex = threading.RLock()
        self._release = weakref.finalize(self, _release, lock, writer)

    @classmethod
    def begin(cls, path: Path, recipe: dict[str, Any]) -> Log:
        """Start a new archive; until `finish` the folder is none."""
        lock = folder.begin(path)
        try:
            with refusals(path):
                Writer.create(path, folder.dump(recipe))
            return cls._start(path, recipe, lock)
        except BaseException:
            lock.release()
            raise

    def finish(self) -> None:
        """Make the new folder an archive."""
        with refusals(self.path):
            folder.finish(self.path, self.recipe)

    @classmethod
    def open_to_read(cls, path: Path) -> Log:
        """The state of this moment; it stays, whatever a writer does."""
        recipe = folder.read_recipe(path)
        folder.check_places(path)
        lock = folder.lock_shared(path / folder.READERS)
        try:
            with folder.loading(path):
                state, copy = catalogue.load(path)
                recipe = _in_force(path, recipe, copy)
            for change in news(path, state):
                state.apply(change)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return cls(path, recipe, state, lock, None)

    @classmethod
    def open_to_write(cls, path: Path) -> Log:
        """The one writer; clears away what a killed writer left."""
        folder.read_recipe(path)
        folder.check_places(path)
        lock = folder.lock_writer(path)
        try:
            folder.sweep(path)
            return cls._start(path, _settled(path), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _start(cls, path: Path, recipe: dict[str, Any], lock: folder.Lock) -> Log:
        with refusals(path):
            writer = Writer(path)
        known = writer.state
        state = State(known.sequence, dict(known.cases), dict(known.segments))
        log = cls(path, recipe, state, lock, writer)
        try:
            for change in news(path, state):
                log.commit(change)
            writer.follow_recipe(folder.dump(recipe))
            log._remove_replaced(writer)
        except BaseException:
            log.close()
            raise
        return log

    def close(self) -> None:
        """Release the locks; a writer seals the catalogue."""
        self._release()
        self._open.clear()

    @property
    def writable(self) -> bool:
        """Whether this log may be written."""
        return self._writer is not None and self._release.alive

    def segment(self, sequence: int) -> Segment:
        """A segment of the log, open and known to be the one that the catalogue means."""
        if not self._release.alive:
            raise InputError(f"archive {self.path} is closed; open it again")
        with self._opening:
            segment = self._open.pop(sequence, None)
            if segment is None:
                segment = open_segment(self.path, self.state.segments[sequence])
                if segment.mapped is not None:
                    self._mapped[segment.mapped.bytes] = segment.path
                while len(self._open) >= MAX_OPEN:
                    del self._open[next(iter(self._open))]
            self._open[sequence] = segment
            return segment

    def check_mapped(self) -> None:
        """DamagedArchive if a file that arrays in use are mapped from has another size by now."""
        with self._opening:
            for mapped, path in list(self._mapped.items()):
                check_size(mapped, path)

    @contextmanager
    def writing(self) -> Iterator[Log]:
        """Write only as the writer, and only when the catalogue has all that went before."""
        with self._mutex:
            writer = self._writing()
            with refusals(self.path):
                writer.catch_up()
            yield self
            writer.shorten_log()

    def _writing(self) -> Writer:
        if self._writer is None or not self._release.alive:
            state = "open for reading only" if self._release.alive else "closed"
            raise InputError(f"archive {self.path} is {state}; open it with writable=True")
        return self._writer

    def publish(
        self,
        kind: str,
        content: bytes,
        shapes: Sequence[tuple[str, np.dtype[Any], tuple[int, ...]]],
        sources: Sequence[Pieces],
        **extra: Any,
    ) -> LogEntry:
        """Write the next segment: its content, then one block for each of `shapes`."""
        sequence = self.state.sequence + 1
        blocks = lay_out([(CONTENT, np.dtype("u1"), (len(content),)), *shapes])
        draft = Draft(sequence, kind, blocks, {**extra, **folder.copy_of(self.recipe)})
        with refusals(self.path):
            size, sha256 = write_segment(segment_path(self.path, sequence), draft, sources)
        return LogEntry(sequence, kind, extra.get("name", ""), size, sha256)

    def commit(self, change: Change) -> None:
        """Take in a published segment: it counts from here on, even if the catalogue fails."""
        self.state.apply(change)
        self._writing().follow(change)

    def set_recipe(self, recipe: dict[str, Any]) -> None:
        """Replace the recipe."""
        writer = self._writing()
        try:
            with refusals(self.path):
                writer.break_seal()
                folder.write_recipe(self.path, recipe)
        finally:  # a failure after the rename has replaced it all the same
            self.recipe = folder.read_recipe(self.path)
            writer.follow_recipe(folder.dump(self.recipe))
        content = folder.dump([]).encode()  # a segment that changes nothing, with the recipe's copy
        self.commit(Change(self.publish("delete", content, [], [[content]])))

    def compact(
        self, progress: Progress | None = None, changed: Mapping[str, Record] | None = None
    ) -> None:
        """Merge all segments into one and remove them, unless a reader needs them.

        With `changed` records of some cases stand in place of what they are, in one step.
        """
        if changed or not compaction.is_compact(self.state):
            state = self.state
            state = State(state.sequence, {**state.cases, **(changed or {})}, state.segments)
            with refusals(self.path):
                change = compaction.write_compacted(
                    self.path, state, self.recipe, self.segment, progress
                )
            self.commit(change)
            self._open.clear()
        self._remove_replaced(self._writing())

    def _remove_replaced(self, writer: Writer) -> None:
        """Remove what a compaction has replaced, once the catalogue knows of the compaction."""
        if not writer.is_behind:
            compaction.remove_replaced(self.path, self.state)


def _in_force(path: Path, recipe: dict[str, Any], copy: str) -> dict[str, Any]:
    """The recipe that belongs to the catalogue.

    Of a backup under way that is the catalogue's `copy`: recipe.json is put in place after it.
    """
    return folder.parse_copy(copy) if copy and folder.is_unfinished_backup(path) else recipe


def _settled(path: Path) -> dict[str, Any]:
    """The recipe in force, for a writer, who leaves no other beside it."""
    recipe = folder.read_recipe(path)
    if folder.is_unfinished_backup(path):
        recipe = _in_force(path, recipe, catalogue.load(path)[1])
        folder.write_recipe(path, recipe)
    return recipe


def _release(lock: folder.Lock | None, writer: Writer | None) -> None:
    try:
        if writer is not None:
            writer.close()
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def refusals(archive: Path) -> Iterator[None]:
    """One line for a disk that refuses, whoever was writing."""
    with files.writing(archive):
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(
                f"cannot write to archive {archive}: its catalogue says {error}; "
                "free space, check the permissions and run the command again"
            ) from error
