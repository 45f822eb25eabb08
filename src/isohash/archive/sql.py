"""SQLite as the catalogue uses it: its tables, its connections, and what a stranger's file may do.

An archive may come from others, and SQLite runs what a file's schema says: views, triggers,
virtual tables. So the schema must be the catalogue's own, word for word, before any row is read;
the limits of the connection follow from the size of the file, and rows that would be more than the
file can hold (pages that are used twice) are refused while they are read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from isohash.archive import files

NAME = "catalogue.sqlite"
WAIT_S = 1.0  # for a stranger that locks the file; a commit that fails is made up for later

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

# No statement of ours comes near these.
_LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 20,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 1,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 10_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 8,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 100,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_STEPS = 1_000_000  # steps of SQLite's machine that reading may take, and one more per byte
_STEPS_A_LOOK = 10_000


def connect_writing(folder: Path, new: bool = False) -> sqlite3.Connection:
    """The connection of the one writer; ValueError unless the schema is ours, or there is none."""
    check_files(folder)
    if new:
        files.touch(folder / NAME)  # SQLite gives its log the mode of the main file
    connection = sqlite3.connect(
        folder / NAME, timeout=WAIT_S, isolation_level=None, check_same_thread=False
    )
    try:
        _harden(connection)
        if not new:
            _check_schema(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA secure_delete=ON")  # what is replaced may have held identity
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reading(folder: Path) -> sqlite3.Connection:
    """Open read-only without leaving a trace.

    Without a log beside it the main file is complete and no one changes it (the caller holds the
    load lock), so it is opened as immutable, which also works on read-only media. With a log that
    cannot be read there, the main file alone is an earlier state; the segments tell the rest.
    """
    check_files(folder)
    address = (folder / NAME).resolve().as_uri() + "?mode=ro"
    if has_log(folder):
        connection = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            _harden(connection)
            connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
            return connection
        except sqlite3.OperationalError:
            connection.close()
    connection = sqlite3.connect(address + "&immutable=1", uri=True, isolation_level=None)
    _harden(connection)
    return connection


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty catalogue."""
    connection.executescript(_SCHEMA)


def has_log(folder: Path) -> bool:
    """Whether SQLite's log beside the catalogue holds anything."""
    log = folder / (NAME + "-wal")
    return log.exists() and log.stat().st_size > 0


def check_files(folder: Path) -> None:
    """Refuse links, pipes and devices in the place of files that SQLite opens by itself.

    So is a rollback journal, which the catalogue never has: SQLite would play it back.
    """
    for suffix in ("", "-wal", "-shm"):
        files.check_regular(folder / (NAME + suffix))
    journal = folder / (NAME + "-journal")
    if files.check_regular(journal) and journal.stat().st_size:
        raise files.DamagedArchive(journal, "no archive has such a file")


@contextmanager
def distrusting(connection: sqlite3.Connection, folder: Path) -> Iterator[int]:
    """Read rows of a catalogue that may be a stranger's: right schema, steps and lengths bounded.

    Gives the number of bytes that its files have; no rows of it hold more text. ValueError if the
    schema is not the catalogue's.
    """
    most = sum(
        path.stat().st_size
        for suffix in ("", "-wal")
        if (path := folder / (NAME + suffix)).exists()
    )
    before = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(most, 1 << 16))
    left = (_STEPS + most) // _STEPS_A_LOOK

    def is_too_long() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    connection.set_progress_handler(is_too_long, _STEPS_A_LOOK)
    try:
        _check_schema(connection)
        yield most
    finally:
        connection.set_progress_handler(None, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, before)


def _harden(connection: sqlite3.Connection) -> None:
    for what, most in _LIMITS.items():
        connection.setlimit(what, most)
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA mmap_size=0")


def _check_schema(connection: sqlite3.Connection) -> None:
    if _schema(connection) != _own_schema():
        raise ValueError("its tables, views or triggers are not those of a catalogue")


def _schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """All that a schema says but page numbers, as it was written; at most one entry too many."""
    text = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name LIMIT 4"
    return connection.execute(text).fetchall()


@cache
def _own_schema() -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        create_tables(connection)
        return _schema(connection)
