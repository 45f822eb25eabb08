"""The catalogue: the archive's state in SQLite, so that opening reads one file, not all segments.

It follows the segments and can always be rebuilt from them: a commit that never reached it is
made up for from the segments at the next open. SQLite has no checksums of its own, so every row
carries a digest, and one row carries the number and the XOR of all the others': a lost, added
or changed row is found when the catalogue is read. The writer uses WAL mode with full sync; when
it closes, the log is folded into the main file and its SHA-256 written beside it (the seal).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

from isohash.archive import files
from isohash.archive.files import DamagedArchive
from isohash.archive.state import Change, Entry, Record, State
from isohash.errors import InputError

NAME = "catalogue.sqlite"
SEAL = "catalogue.seal"
VERSION = 1
CHECKPOINT_EVERY = 256  # commits between checkpoints: the log stays below a few MB

_REFUSALS = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}

_SCHEMA = """
CREATE TABLE segments (sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL,
    size INTEGER NOT NULL, sha256 BLOB NOT NULL, digest BLOB NOT NULL);
CREATE TABLE cases (position INTEGER PRIMARY KEY, id TEXT NOT NULL, fingerprint TEXT NOT NULL,
    segment INTEGER NOT NULL REFERENCES segments, rows TEXT NOT NULL, metadata TEXT NOT NULL,
    digest BLOB NOT NULL);
CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL,
    n_segments INTEGER NOT NULL, segments BLOB NOT NULL,
    n_cases INTEGER NOT NULL, cases BLOB NOT NULL, recipe TEXT NOT NULL, digest BLOB NOT NULL);
"""


def load(folder: Path) -> tuple[State, str]:
    """The state and the copy of the recipe; DamagedArchive unless every row is as written.

    A whole file that matches its seal needs no look at the digests of its rows.
    """
    sealed = not _has_log(folder) and check_seal(folder)
    with _guard(folder), closing(_connect_reading(folder)) as connection:
        connection.execute("BEGIN")
        return _read(connection, sealed)


def _read(connection: sqlite3.Connection, sealed: bool) -> tuple[State, str]:
    found = connection.execute("SELECT * FROM state").fetchall()
    rows = _trusted_rows if sealed else _checked_rows
    entries, entries_total = rows(connection, "segments", "sequence", Entry)
    records, records_total = rows(connection, "cases", "position", Record)
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} state rows")
    _, sequence, *sums, recipe, digest = found[0]
    totals = [len(entries), entries_total, len(records), records_total]
    if not sealed and sums != totals:
        raise ValueError("rows are missing or were added")
    if digest != _state_digest(sequence, sums, recipe):
        raise ValueError("its state row does not match its digest")
    cases = {record.id: record for record in records}
    segments = {entry.sequence: entry for entry in entries}
    if len(cases) != len(records) or not {r.segment for r in records} <= segments.keys():
        raise ValueError("its rows contradict each other")
    return State(sequence, cases, segments), recipe


def _trusted_rows(
    connection: sqlite3.Connection, table: str, key: str, kind: Any
) -> tuple[list[Any], bytes]:
    columns = ",".join(kind._fields)
    rows = connection.execute(f"SELECT {columns} FROM {table} ORDER BY {key}")
    return list(map(kind._make, rows)), b""


def _checked_rows(
    connection: sqlite3.Connection, table: str, key: str, kind: Any
) -> tuple[list[Any], bytes]:
    """The rows of a table in ascending order, each compared with its digest; the digests' XOR."""
    rows, previous, total = [], -1, 0
    columns = ",".join((*kind._fields, "digest"))
    for *fields, digest in connection.execute(f"SELECT {columns} FROM {table} ORDER BY {key}"):
        row = kind._make(fields)
        if digest != _blob(row.digest()):
            raise ValueError(f"row {row[0]!r} of {table} does not match its digest")
        if not previous < row[0]:
            raise ValueError(f"the rows of {table} are not in order")
        previous = row[0]
        total ^= int.from_bytes(digest, "big")
        rows.append(row)
    return rows, _blob(total)


def _blob(digest: int) -> bytes:
    return digest.to_bytes(16, "big")


def _state_digest(sequence: int, sums: list[Any], recipe: str) -> bytes:
    text = repr((sequence, sums, recipe))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _connect_reading(folder: Path) -> sqlite3.Connection:
    """Open read-only without leaving a trace.

    Without a log beside it the main file is complete and no one changes it (the caller holds the
    load lock), so it is opened as immutable, which also works on read-only media. With a log that
    cannot be read there, the main file alone is an earlier state; the segments tell the rest.
    """
    path = folder / NAME
    if not path.is_file():
        raise ValueError("it is missing")
    address = path.resolve().as_uri() + "?mode=ro"
    if _has_log(folder):
        connection = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            connection.execute("SELECT 1 FROM state").fetchall()
            return connection
        except sqlite3.OperationalError:
            connection.close()
    return sqlite3.connect(address + "&immutable=1", uri=True, isolation_level=None)


def _has_log(folder: Path) -> bool:
    log = folder / (NAME + "-wal")
    return log.exists() and log.stat().st_size > 0


@contextmanager
def _guard(folder: Path) -> Iterator[None]:
    """What goes wrong in reading means that the catalogue is damaged, or that the disk refuses."""
    path = folder / NAME
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _REFUSALS:
            raise InputError(
                f"cannot open {path}: {error}; check permissions, free space and the disk"
            ) from error
        raise DamagedArchive(path, str(error)) from None
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise DamagedArchive(path, str(error)) from None


class Writer:
    """The one connection that writes; holds the running sums of the state row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / NAME
        self._sealed = (folder / SEAL).exists()
        self._commits = 0
        check_seal(folder)
        with _guard(folder):
            if not self._path.is_file():
                raise ValueError("it is missing")
            self._connection = _connect_writing(self._path)
            try:
                state, recipe = _read(self._connection, sealed=False)
            except BaseException:
                self._connection.close()
                raise
        self._recipe = recipe
        self._sums: list[Any] = [len(state.segments), 0, len(state.cases), 0]
        self._sums[1] = reduce(xor, (e.digest() for e in state.segments.values()), 0)
        self._sums[3] = reduce(xor, (r.digest() for r in state.cases.values()), 0)
        self.state = state

    @staticmethod
    def create(folder: Path, recipe: str) -> None:
        """Write an empty catalogue."""
        with closing(_connect_writing(folder / NAME)) as connection:
            connection.executescript(f"{_SCHEMA} PRAGMA user_version={VERSION};")
            sums = [0, _blob(0), 0, _blob(0)]
            row = (1, 0, *sums, recipe, _state_digest(0, sums, recipe))
            connection.execute("INSERT INTO state VALUES (?,?,?,?,?,?,?,?)", row)

    @property
    def recipe(self) -> str:
        """The copy of the recipe."""
        return self._recipe

    def apply(self, change: Change) -> None:
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

    def fill(self, state: State) -> None:
        """Take over a whole state into an empty catalogue."""
        sums: list[Any] = [0, 0, 0, 0]
        with self._transaction():
            for entry in state.segments.values():
                self._insert("segments", entry, sums, 0)
            for record in state.cases.values():
                self._insert("cases", record, sums, 2)
            self._finish(state.sequence, sums, self._recipe)
        self._sums = sums
        self.state = state

    def set_recipe(self, recipe: str) -> None:
        """Keep a copy of the recipe."""
        with self._transaction():
            self._finish(self.state.sequence, self._sums, recipe)
        self._recipe = recipe

    def _clear(self, kept: frozenset[int], sums: list[Any]) -> None:
        self._connection.execute("DELETE FROM cases")
        sums[2:] = [0, 0]
        for entry in self.state.segments.values():
            if entry.sequence not in kept:
                key = (entry.sequence,)
                self._connection.execute("DELETE FROM segments WHERE sequence=?", key)
                sums[0] -= 1
                sums[1] ^= entry.digest()

    def _remove(self, record: Record | None, sums: list[Any]) -> None:
        if record is not None:
            self._connection.execute("DELETE FROM cases WHERE position=?", (record.position,))
            sums[2] -= 1
            sums[3] ^= record.digest()

    def _insert(self, table: str, row: Entry | Record, sums: list[Any], at: int) -> None:
        digest = row.digest()
        marks = ",".join("?" * (len(row) + 1))
        columns = ",".join((*row._fields, "digest"))
        sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
        self._connection.execute(sql, (*row, _blob(digest)))
        sums[at] += 1
        sums[at + 1] ^= digest

    def _finish(self, sequence: int, sums: list[Any], recipe: str) -> None:
        stored = [sums[0], _blob(sums[1]), sums[2], _blob(sums[3])]
        row = (sequence, *stored, recipe, _state_digest(sequence, stored, recipe))
        self._connection.execute(
            "UPDATE state SET sequence=?,n_segments=?,segments=?,n_cases=?,cases=?,recipe=?,"
            "digest=?",
            row,
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.break_seal()
        files.reach("commit", self._path)
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
        if self._sealed:
            files.unlink(self.folder / SEAL)
            files.sync_folder(self.folder)
            self._sealed = False

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the log has grown long."""
        return self._commits >= CHECKPOINT_EVERY

    def checkpoint(self) -> None:
        """Fold the log into the main file; the caller holds the load lock."""
        self.break_seal()
        files.reach("checkpoint", self._path)
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._commits = 0

    def close(self) -> None:
        """Close; if anything was written, fold the log in and seal. Needs the load lock."""
        if self._sealed:
            self._connection.close()
            return
        try:
            self.checkpoint()
        finally:
            self._connection.close()
        write_seal(self.folder)


def write(folder: Path, state: State, recipe: str) -> None:
    """Write a new sealed catalogue of a state."""
    Writer.create(folder, recipe)
    writer = Writer(folder)
    try:
        writer.fill(state)
    finally:
        writer.close()


def check_seal(folder: Path) -> bool:
    """Compare a closed catalogue with its seal; False if it has none, DamagedArchive if broken."""
    path = folder / NAME
    try:
        with files.reading(folder / SEAL):
            seal = (folder / SEAL).read_bytes()
    except DamagedArchive:
        if (folder / SEAL).exists():
            raise
        return False
    with files.reading(path):
        if seal != seal_of(path):
            raise DamagedArchive(path, "it does not match its seal")
    return True


def write_seal(folder: Path) -> None:
    """Write the SHA-256 of the closed catalogue beside it."""
    files.publish(folder / SEAL, [seal_of(folder / NAME)])


def seal_of(path: Path) -> bytes:
    """What the seal of a catalogue says."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode() + b"\n"


def _connect_writing(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA trusted_schema=OFF")
    except BaseException:
        connection.close()
        raise
    return connection
