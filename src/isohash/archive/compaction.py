"""Merge the segments of an archive into one, without deleted and overwritten rows.

The new segment holds all live cases in order, one block per array name, dtype and row shape, so
that `gather` is one view. Its rename is the moment at which it replaces all earlier segments
(but those that hold files); they are removed afterwards, when no reader uses them any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isohash import whole_files
from isohash.archive import folder
from isohash.archive.columns import Opener, RowRange, merge
from isohash.archive.segment_format import CHUNK, CONTENT, Draft, Pieces, lay_out
from isohash.archive.segments import Segment, array_bytes, write_segment
from isohash.archive.state import (
    Change,
    LogEntry,
    Record,
    State,
    encode_records,
    row_ranges,
    segment_files,
    segment_path,
)
from isohash.progress import Progress, tell


@dataclass
class _Column:
    """One block of the new segment."""

    name: str
    dtype: np.dtype[Any]
    row_shape: tuple[int, ...]
    runs: list[RowRange] = field(default_factory=list)
    n: int = 0


def is_compact(state: State) -> bool:
    """Whether there is nothing to merge and nothing to drop."""
    files_kept = set(state.files().values())
    others = [entry for s, entry in state.segments.items() if s not in files_kept]
    return not others or [entry.kind for entry in others] == ["compact"]


def write_compacted(
    archive: Path,
    state: State,
    recipe: Mapping[str, Any],
    open_segment: Opener,
    progress: Progress | None = None,
    sequence: int | None = None,
) -> Change:
    """Publish all live cases and files as one new segment; returns what it changes.

    It is the next one, unless a `sequence` number is given, and carries a copy of the recipe.

    Raises OSError if the disk refuses, DamagedArchive if rows that are needed are damaged, and
    InputError if the arrays are of too many shapes; each leaves the archive as it was.
    """
    sequence = state.sequence + 1 if sequence is None else sequence
    columns, records = _plan(state, sequence, open_segment)
    content = encode_records(records)
    kept = sorted(state.files().values())
    blocks = lay_out(
        [
            (CONTENT, np.dtype("u1"), (len(content),)),
            *((c.name, c.dtype, (c.n, *c.row_shape)) for c in columns),
        ]
    )
    draft = Draft(sequence, "compact", blocks, {"kept": kept, **folder.copy_of(recipe)})
    total = sum(block.n_bytes for block in blocks)
    rows = _Reporting(open_segment, progress, total)
    sources: list[Pieces] = [[content], *(rows.pieces(column) for column in columns)]
    size, sha256 = write_segment(segment_path(archive, sequence), draft, sources)
    tell(progress, total, total, "compacted")
    entry = LogEntry(sequence, "compact", "", size, sha256)
    return Change(entry, tuple(records), kept=frozenset(kept))


def _plan(state: State, sequence: int, open_segment: Opener) -> tuple[list[_Column], list[Record]]:
    """Where the rows of each live case go."""
    columns: dict[tuple[Any, ...], tuple[int, _Column]] = {}
    records = []
    for record in state.cases.values():
        placed = {}
        for name, run in row_ranges(record).items():
            block = open_segment(record.segment).block_of(run[0])
            key = (name, block.dtype.str, block.shape[1:])
            fresh = (len(columns) + 1, _Column(name, block.dtype, block.shape[1:]))
            number, column = columns.setdefault(key, fresh)
            placed[name] = [number, column.n, run[2]]
            column.runs.append(RowRange(record.segment, *run))
            column.n += run[2]
        records.append(record._replace(segment=sequence, rows=folder.dump(placed)))
    return [column for _, column in columns.values()], records


class _Reporting:
    """Reads the rows of columns piece by piece and says how far it is."""

    def __init__(self, open_segment: Opener, progress: Progress | None, total: int) -> None:
        self._open = open_segment
        self._progress = progress
        self._total = total
        self._done = 0

    def pieces(self, column: _Column) -> Iterator[bytes | memoryview]:
        for run in merge(column.runs):
            for piece in _pieces(self._open(run.segment), run):
                self._done += len(piece)
                tell(self._progress, self._done, self._total, column.name)
                yield piece


def _pieces(segment: Segment, run: RowRange) -> Iterator[bytes | memoryview]:
    """The bytes of a run of rows, about a chunk at a time, checked."""
    block = segment.header.blocks[run.block]
    row_bytes = max(1, block.n_bytes // max(1, block.shape[0]))
    step = max(1, CHUNK // row_bytes)
    for first in range(run.first, run.first + run.n, step):
        last = min(first + step, run.first + run.n)
        yield array_bytes(segment.rows(run.block, first, last))


def remove_replaced(archive: Path, state: State) -> None:
    """Remove segments that a compaction has replaced, unless a reader may still need them."""
    paths = list(replaced(archive, state))
    if not paths:
        return
    with suppress(OSError):
        lock = folder.Lock(archive / folder.READERS, exclusive=True, wait=False)
        try:
            for path in paths:
                whole_files.unlink(path)
        finally:
            lock.release()


def replaced(archive: Path, state: State) -> Iterator[Path]:
    """Segments older than the last compaction that are no part of the log any more."""
    compactions = [s for s, entry in state.segments.items() if entry.kind == "compact"]
    for path, sequence in segment_files(archive):
        if compactions and sequence < max(compactions) and sequence not in state.segments:
            yield path
