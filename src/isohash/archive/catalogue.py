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
from typing import Any, get_type_hints

from isohash.archive import files, sql
from isohash.archive.files import DamagedArchive
from isohash.archive.state import LogEntry, Record, State
from isohash.errors import InputError

SEAL = "catalogue.seal"
MOST_SEQUENCES = 10**12  # a segment's name has twelve digits
SEAL_BYTES = 1 << 10

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
    with guard(folder):
        if not files.check_regular(folder / sql.NAME):
            raise ValueError("it is missing")
    sealed = not sql.has_log(folder) and check_seal(folder)
    with guard(folder), closing(sql.connect_reading(folder)) as connection:
        connection.execute("BEGIN")
        state, recipe, _ = read(connection, folder, sealed)
        return state, recipe


def read(
    connection: sqlite3.Connection, folder: Path, sealed: bool
) -> tuple[State, str, list[int]]:
    """State, copy of the recipe, sums of the state row; ValueError unless all is as written."""
    with sql.distrusting(connection, folder) as most:
        sequence, sums, recipe = _state_row(connection)
        entries, entries_total = _rows(connection, "segments", LogEntry, sealed, most)
        records, records_total = _rows(connection, "cases", Record, sealed, most)
    n_segments, segments_sum, n_cases, cases_sum = sums
    if (len(entries), len(records)) != (n_segments, n_cases):
        raise ValueError("rows are missing or were added")
    numbers = [n_segments, _number(segments_sum), n_cases, _number(cases_sum)]
    if not sealed and numbers != [n_segments, entries_total, n_cases, records_total]:
        raise ValueError("rows are not those that its state row sums up")
    cases = {record.id: record for record in records}
    segments = {entry.sequence: entry for entry in entries}
    if len(cases) != len(records) or not {r.segment for r in records} <= segments.keys():
        raise ValueError("its rows contradict each other")
    if not max(segments, default=0) <= sequence < MOST_SEQUENCES:
        raise ValueError(f"its last sequence number is {sequence}")
    return State(sequence, cases, segments), recipe, numbers


def _state_row(connection: sqlite3.Connection) -> tuple[int, list[Any], str]:
    """The last sequence number, the sums of the tables, the copy of the recipe."""
    found = connection.execute("SELECT * FROM state LIMIT 2").fetchall()
    if len(found) != 1:
        raise ValueError("it has no state row, or several")
    if [type(value) for value in found[0]] != [int, int, int, bytes, int, bytes, str, bytes]:
        raise ValueError("its state row holds values of other types")
    _, sequence, *sums, recipe, digest = found[0]
    if digest != state_digest(sequence, sums, recipe):
        raise ValueError("its state row does not match its digest")
    return sequence, sums, recipe


def _rows(
    connection: sqlite3.Connection, table: str, kind: Any, sealed: bool, most: int
) -> tuple[list[Any], int]:
    """The rows of a table in ascending order, and the XOR of their digests where they are checked.

    Of a sealed catalogue the digests are not looked at. ValueError once the rows hold more than the
    `most` bytes that the file has, or are not in order: a page of it is used twice.
    """
    _check_types(connection, table, kind)
    rows, previous, total, n_bytes = [], -1, 0, 0
    columns = ",".join((*kind._fields, "digest"))
    found = connection.execute(f"SELECT {columns} FROM {table} ORDER BY {kind._fields[0]}")
    for *fields, digest in found:
        row = kind._make(fields)
        n_bytes += row.n_text
        if not previous < row[0] or n_bytes > most:
            raise ValueError(f"the rows of {table} are not in order, or more than the file holds")
        previous = row[0]
        if not sealed:
            if digest != blob(row.digest()):
                raise ValueError(f"row {row[0]!r} of {table} does not match its digest")
            total ^= _number(digest)
        rows.append(row)
    return rows, total


def _check_types(connection: sqlite3.Connection, table: str, kind: Any) -> None:
    """SQLite keeps values of any type in any column; ours have one each."""
    names = {int: "integer", str: "text", bytes: "blob"}
    types = {**get_type_hints(kind), "digest": bytes}
    wrong = " OR ".join(f"typeof({name})<>'{names[of]}'" for name, of in types.items())
    if connection.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchall():
        raise ValueError(f"table {table} holds values of other types")


def blob(digest: int) -> bytes:
    """A 128-bit digest as it is stored."""
    return digest.to_bytes(16, "big")


def _number(stored: bytes) -> int:
    return int.from_bytes(stored, "big")


def state_digest(sequence: int, sums: list[Any], recipe: str) -> bytes:
    """The digest of the state row, which vouches for all the others."""
    text = repr((sequence, sums, recipe))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


@contextmanager
def guard(folder: Path) -> Iterator[None]:
    """What goes wrong in reading means that the catalogue is damaged, or that the disk refuses."""
    path = folder / sql.NAME
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
    if not files.check_regular(folder / SEAL):
        return False
    if files.content(folder / SEAL, SEAL_BYTES) != seal_of(folder):
        raise DamagedArchive(folder / sql.NAME, "it does not match its seal")
    return True


def write_seal(folder: Path) -> None:
    """Write the SHA-256 of the closed catalogue beside it."""
    files.publish(folder / SEAL, [seal_of(folder)])


def seal_of(folder: Path) -> bytes:
    """What the seal of a catalogue says."""
    with files.opened(folder / sql.NAME) as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode() + b"\n"
