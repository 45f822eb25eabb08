"""The catalogue's writer: it follows the segments, commit by commit.

WAL mode with full sync. A commit that the disk refuses is made up for before the next write, when
the archive is closed, or from the segments when it is next opened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from isohash import whole_files
from isohash.archive.catalogue import (
    SEAL,
    blob,
    check_seal,
    guard,
    read,
    state_digest,
    write_seal,
)
from isohash.archive.folder import folding
from isohash.archive.sql import NAME, connect_writing, create_tables, has_log
from isohash.archive.state import Change, LogEntry, Record, State

CHECKPOINT_EVERY = 256  # commits between checkpoints: the log stays below a few MB


class Writer:
    """The one connection that writes; holds the running sums of the state row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / NAME
        self._commits = 0
        self._behind: list[Change] = []
        self._has_seal = check_seal(folder)
        self._is_clean = self._has_seal and not has_log(folder)
        with guard(folder):
            if not self._path.is_file():
                raise ValueError("it is missing")
            self._connection = connect_writing(folder)
            try:
                self.state, recipe, self._sums = read(self._connection, folder, self._is_clean)
            except BaseException:
                self._connection.close()
                raise
        self._recipe = self._wanted_recipe = recipe

    @staticmethod
    def create(folder: Path, recipe: str) -> None:
        """Write an empty catalogue."""
        with closing(connect_writing(folder, new=True)) as connection:
            create_tables(connection)
            sums = [0, blob(0), 0, blob(0)]
            row = (1, 0, *sums, recipe, state_digest(0, sums, recipe))
            connection.execute("INSERT INTO state VALUES (?,?,?,?,?,?,?,?)", row)

    def follow(self, change: Change) -> None:
        """Take in what a published segment says, now or, if the disk refuses, later."""
        self._behind.append(change)
        with suppress(OSError, sqlite3.Error):
            self.catch_up()

    def follow_recipe(self, recipe: str) -> None:
        """Keep a copy of the recipe, now or later."""
        self._wanted_recipe = recipe
        with suppress(OSError, sqlite3.Error):
            self.catch_up()

    def catch_up(self) -> None:
        """Commit all that was followed; OSError or sqlite3.Error if the disk refuses."""
        while self._behind:
            self._apply(self._behind[0])
            del self._behind[0]
        if self._recipe != self._wanted_recipe:
            self._set_recipe(self._wanted_recipe)

    @property
    def is_behind(self) -> bool:
        """Whether something that was followed is not committed yet."""
        return bool(self._behind) or self._recipe != self._wanted_recipe

    def _apply(self, change: Change) -> None:
        """Commit what a segment says; the state changes with the commit or not at all."""
        with self._transaction():
            sums = list(self._sums)
            if change.kept is not None:
                self._clear(change.kept, sums)
            self._insert("segments", change.entry, sums, 0)
            for case_id in change.deleted:
                self._remove(self.state.cases.get(case_id), sums)
            for record in change.records:
                if change.kept is None:
                    self._remove(self.state.cases.get(record.id), sums)
                self._insert("cases", record, sums, 2)
            self._finish(change.entry.sequence, sums, self._recipe)
        self._sums = sums
        self.state.apply(change)

    def _set_recipe(self, recipe: str) -> None:
        with self._transaction():
            self._finish(self.state.sequence, self._sums, recipe)
        self._recipe = recipe

    def fill(self, state: State) -> None:
        """Take over a whole state into an empty catalogue."""
        sums: list[int] = [0, 0, 0, 0]
        with self._transaction():
            for entry in state.segments.values():
                self._insert("segments", entry, sums, 0)
            for record in state.cases.values():
                self._insert("cases", record, sums, 2)
            self._finish(state.sequence, sums, self._recipe)
        self._sums = sums
        self.state = state

    def _clear(self, kept: frozenset[int], sums: list[int]) -> None:
        self._connection.execute("DELETE FROM cases")
        sums[2:] = [0, 0]
        for entry in self.state.segments.values():
            if entry.sequence not in kept:
                key = (entry.sequence,)
                self._connection.execute("DELETE FROM segments WHERE sequence=?", key)
                sums[0] -= 1
                sums[1] ^= entry.digest()

    def _remove(self, record: Record | None, sums: list[int]) -> None:
        if record is not None:
            self._connection.execute("DELETE FROM cases WHERE position=?", (record.position,))
            sums[2] -= 1
            sums[3] ^= record.digest()

    def _insert(self, table: str, row: LogEntry | Record, sums: list[int], at: int) -> None:
        digest = row.digest()
        marks = ",".join("?" * (len(row) + 1))
        columns = ",".join((*row._fields, "digest"))
        sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
        self._connection.execute(sql, (*row, blob(digest)))
        sums[at] += 1
        sums[at + 1] ^= digest

    def _finish(self, sequence: int, sums: list[int], recipe: str) -> None:
        stored = [sums[0], blob(sums[1]), sums[2], blob(sums[3])]
        row = (sequence, *stored, recipe, state_digest(sequence, stored, recipe))
        self._connection.execute(
            "UPDATE state SET sequence=?,n_segments=?,segments=?,n_cases=?,cases=?,recipe=?,"
            "digest=?",
            row,
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.break_seal()
        whole_files.reach("commit", self._path)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._commits += 1

    def break_seal(self) -> None:
        """Remove the seal before the archive changes; once per opening."""
        self._is_clean = False
        if self._has_seal:
            whole_files.unlink(self.folder / SEAL)
            whole_files.sync_folder(self.folder)
            self._has_seal = False

    def shorten_log(self) -> None:
        """Fold a long log into the main file, unless a reader is loading or the disk refuses."""
        if self._commits >= CHECKPOINT_EVERY:
            with suppress(OSError, sqlite3.Error), folding(self.folder, wait=False):
                self._checkpoint()

    def _checkpoint(self) -> None:
        self.break_seal()
        whole_files.reach("checkpoint", self._path)
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._commits = 0

    def close(self) -> None:
        """Close; if anything was written, fold the log in and seal.

        A disk that refuses leaves the catalogue unsealed and perhaps behind, which loses nothing.
        """
        with suppress(OSError, sqlite3.Error), folding(self.folder, wait=True):
            try:
                self.catch_up()
                if not self._is_clean:
                    self._checkpoint()
            finally:
                self._connection.close()
            if not self._is_clean and not has_log(self.folder):
                write_seal(self.folder)
        self._connection.close()


def write_catalogue(folder: Path, state: State, recipe: str) -> None:
    """Write a new sealed catalogue of a state."""
    Writer.create(folder, recipe)
    writer = Writer(folder)
    try:
        writer.fill(state)
    finally:
        writer.close()
