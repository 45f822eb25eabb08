"""The catalogue: the archive's state in SQLite, so that opening reads one file, not all segments.

It follows the segments and can always be rebuilt from them: a commit that never reached it is
made up for from the segments at the next open. SQLite has no checksums of its own, so every row
carries a digest, and one row carries the number and the XOR of all the others': a lost, added
or changed row is found when the catalogue is read. When the writer closes, SQLite's log is folded
into the main file and the file's SHA-256 written beside it: the seal.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from isohash.archive import files
from isohash.archive.files import DamagedArchive
from isohash.archive.state import LogEntry, Record, State
from isohash.errors import InputError

NAME = "catalogue.sqlite"
SEAL = "catalogue.seal"

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


def load(folder: Path) -> tuple[State, str]:
    """The state and the copy of the recipe; DamagedArchive unless every row is as written.

    A whole file that matches its seal needs no look at the digests of its rows.
    """
    sealed = not has_log(folder) and check_seal(folder)
    with guard(folder), closing(_connect_reading(folder)) as connection:
        connection.execute("BEGIN")
        state, recipe, _ = read(connection, sealed)
        return state, recipe


def read(connection: sqlite3.Connection, sealed: bool) -> tuple[State, str, list[int]]:
    """State, copy of the recipe, sums of the state row; ValueError unless all is as written."""
    found = connection.execute("SELECT * FROM state").fetchall()
    rows = _trusted_rows if sealed else _checked_rows
    entries, entries_total = rows(connection, "segments", "sequence", LogEntry)
    records, records_total = rows(connection, "cases", "position", Record)
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} state rows")
    _, sequence, *sums, recipe, digest = found[0]
    totals = [len(entries), entries_total, len(records), records_total]
    if not sealed and sums != totals:
        raise ValueError("rows are missing or were added")
    if digest != state_digest(sequence, sums, recipe):
        raise ValueError("its state row does not match its digest")
    cases = {record.id: record for record in records}
    segments = {entry.sequence: entry for entry in entries}
    if len(cases) != len(records) or not {r.segment for r in records} <= segments.keys():
        raise ValueError("its rows contradict each other")
    n_segments, segments_sum, n_cases, cases_sum = sums
    numbers = [n_segments, _number(segments_sum), n_cases, _number(cases_sum)]
    return State(sequence, cases, segments), recipe, numbers


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
        if digest != blob(row.digest()):
            raise ValueError(f"row {row[0]!r} of {table} does not match its digest")
        if not previous < row[0]:
            raise ValueError(f"the rows of {table} are not in order")
        previous = row[0]
        total ^= _number(digest)
        rows.append(row)
    return rows, blob(total)


def blob(digest: int) -> bytes:
    """A 128-bit digest as it is stored."""
    return digest.to_bytes(16, "big")


def _number(stored: bytes) -> int:
    return int.from_bytes(stored, "big")


def state_digest(sequence: int, sums: list[Any], recipe: str) -> bytes:
    """The digest of the state row, which vouches for all the others."""
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
    if has_log(folder):
        connection = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            connection.execute("SELECT 1 FROM state").fetchall()
            return connection
        except sqlite3.OperationalError:
            connection.close()
    return sqlite3.connect(address + "&immutable=1", uri=True, isolation_level=None)


def has_log(folder: Path) -> bool:
    """Whether SQLite's log beside the catalogue holds anything."""
    log = folder / (NAME + "-wal")
    return log.exists() and log.stat().st_size > 0


@contextmanager
def guard(folder: Path) -> Iterator[None]:
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
    except (ValueError, TypeError, OverflowError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise DamagedArchive(path, str(error)) from None


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
