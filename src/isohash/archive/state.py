"""What an archive holds at one moment, and how a segment changes it.

The segments are the truth: replayed in the order of their sequence numbers they give the state.
The catalogue keeps the same state, so that opening need not read every segment.

A case has a position for life, behind those of all cases that are there when it comes. An upsert
keeps it, so that updating a case moves no tie; delete and put again moves the case to the end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from isohash.archive.files import DamagedArchive
from isohash.archive.segments import Segment


class Record(NamedTuple):
    """One case: where its rows lie. `rows` is JSON: array name -> [block, first row, count]."""

    position: int
    id: str
    fingerprint: str
    segment: int
    rows: str
    metadata: str

    @property
    def n_text(self) -> int:
        """Characters of its text; a file that holds it has at least as many bytes."""
        return len(self.id) + len(self.fingerprint) + len(self.rows) + len(self.metadata)

    def digest(self) -> int:
        """A 128-bit digest of the row."""
        head = f"{self.position},{self.segment},{len(self.id)},{len(self.fingerprint)}"
        text = f"{head},{len(self.rows)}:{self.id}{self.fingerprint}{self.rows}{self.metadata}"
        return _digest(text)


class LogEntry(NamedTuple):
    """One segment of the log; `name` is that of the file it holds, if it holds one."""

    sequence: int
    kind: str
    name: str
    size: int
    sha256: bytes

    @property
    def n_text(self) -> int:
        """Characters of its text; a file that holds it has at least as many bytes."""
        return len(self.kind) + len(self.name)

    def digest(self) -> int:
        """A 128-bit digest of the row."""
        head = f"{self.sequence},{self.kind},{self.size},{self.sha256.hex()}"
        return _digest(f"{head}:{self.name}")


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


@dataclass(frozen=True)
class Change:
    """What one segment does: add or replace records, delete ids, or (compaction) start afresh."""

    entry: LogEntry
    records: tuple[Record, ...] = ()
    deleted: tuple[str, ...] = ()
    kept: frozenset[int] | None = None  # a compaction keeps only these earlier segments


@dataclass
class State:
    """The live cases by id in the order of their positions, and the segments of the log."""

    sequence: int = 0
    cases: dict[str, Record] = field(default_factory=dict)
    segments: dict[int, LogEntry] = field(default_factory=dict)

    def apply(self, change: Change) -> None:
        """Do what a segment says."""
        if change.kept is not None:
            self.cases = {}
            self.segments = {s: e for s, e in self.segments.items() if s in change.kept}
        for case_id in change.deleted:
            self.cases.pop(case_id, None)
        for record in change.records:
            self.cases[record.id] = record
        self.segments[change.entry.sequence] = change.entry
        self.sequence = change.entry.sequence

    @property
    def next_position(self) -> int:
        """That of the next new case: of one case a segment, the segment's own number."""
        last = next(reversed(self.cases.values())).position if self.cases else 0
        return max(last, self.sequence) + 1

    def files(self) -> dict[str, int]:
        """The sequence number of the segment that holds each file."""
        return {e.name: s for s, e in sorted(self.segments.items()) if e.kind == "file"}


def segment_path(archive: Path, sequence: int) -> Path:
    """Where a segment lies."""
    return archive / "segments" / f"{sequence:012d}.seg"


def segment_files(archive: Path) -> list[tuple[Path, int]]:
    """The segment files that there are, in order."""
    paths = sorted((archive / "segments").glob("*.seg"))
    return [(path, int(path.stem)) for path in paths if path.stem.isdecimal()]


def change_of(segment: Segment) -> Change:
    """What a segment says, read from the segment itself; DamagedArchive if it makes no sense."""
    header = segment.header
    try:
        name = header.extra["name"] if header.kind == "file" else ""
        entry = LogEntry(header.sequence, header.kind, name, segment.size, segment.digest)
        if header.kind == "file":
            return Change(entry)
        content = json.loads(segment.content())
        if not isinstance(content, list):
            raise ValueError("it is no list")
        if header.kind == "delete":
            return Change(entry, deleted=tuple(map(_text, content)))
        kept = frozenset(header.extra["kept"]) if header.kind == "compact" else None
        return Change(entry, tuple(_records(content, header.sequence)), kept=kept)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, DamagedArchive):
            raise
        raise DamagedArchive(segment.path, f"its content cannot be understood ({error})") from None


def _records(content: Any, sequence: int) -> Iterator[Record]:
    for position, case_id, fingerprint, rows, metadata in content:
        if type(position) is not int:
            raise ValueError(f"case {case_id!r} has no position")
        texts = map(_text, (case_id, fingerprint, rows, metadata))
        case_id, fingerprint, rows, metadata = texts
        record = Record(position, case_id, fingerprint, sequence, rows, metadata)
        row_ranges(record)
        parsed_metadata(record)
        yield record


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    return value


def encode_records(records: Iterable[Record]) -> bytes:
    """The content block of a segment that holds cases."""
    rows = [[r.position, r.id, r.fingerprint, r.rows, r.metadata] for r in records]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()


def row_ranges(record: Record) -> dict[str, tuple[int, int, int]]:
    """Array name -> (block, first row, number of rows) of a case; ValueError if it is no such."""
    ranges = {}
    for name, run in json.loads(record.rows).items():
        if type(run) is not list or [type(n) for n in run] != [int, int, int] or min(run) < 0:
            raise ValueError(f"the rows of case {record.id!r} are not counts")
        ranges[name] = (run[0], run[1], run[2])
    return ranges


def parsed_metadata(record: Record) -> dict[str, Any]:
    """The metadata of a case; ValueError if they are no JSON object."""
    found = json.loads(record.metadata)
    if not isinstance(found, dict):
        raise ValueError(f"the metadata of case {record.id!r} are no JSON object")
    return found


def news(archive: Path, state: State) -> Iterator[Change]:
    """What the segments say that the catalogue did not know yet; apply each before the next."""
    while (path := segment_path(archive, state.sequence + 1)).exists():
        segment = Segment(path)
        if segment.header.sequence != state.sequence + 1:
            raise DamagedArchive(
                path, f"it is segment {segment.header.sequence} under another name"
            )
        yield change_of(segment)


def open_segment(archive: Path, entry: LogEntry) -> Segment:
    """A segment of the log, known to be the one that the catalogue means."""
    path = segment_path(archive, entry.sequence)
    segment = Segment(path)
    if segment.digest != entry.sha256 or segment.header.sequence != entry.sequence:
        raise DamagedArchive(path, "it is not the segment that the catalogue knows")
    return segment
