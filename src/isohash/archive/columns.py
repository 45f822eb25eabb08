"""One array of all cases as one column: zero-copy where a compacted segment holds it in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isohash.archive.segments import Segment
from isohash.archive.state import Record
from isohash.errors import InputError


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of consecutive cases: those of case `first + i` are array[start[i]:start[i + 1]].

    `array` (n, ...); `case` (n,) is each row's case as a position in ids(); `start` (n_cases + 1,).
    A case without the array has no rows.
    """

    array: NDArray[Any]
    case: NDArray[np.int64]
    start: NDArray[np.int64]
    first: int = 0


class Run(NamedTuple):
    """Consecutive rows of one block."""

    segment: int
    block: int
    first: int
    n: int


Opener = Callable[[int], Segment]


def gather(name: str, records: Sequence[Record], open_segment: Opener) -> Rows:
    """The column `name` of `records`, in their order."""
    pieces = _runs(name, records)
    return _column(name, records, pieces, open_segment, 0)


def chunks(
    name: str, records: Sequence[Record], open_segment: Opener, max_bytes: int
) -> Iterator[Rows]:
    """The column in pieces of whole cases, each of at most `max_bytes` (or a single case)."""
    pieces = _runs(name, records)
    row_bytes = next((_row_bytes(open_segment(p.segment), p) for p in pieces if p), 1)
    limit = max(1, max_bytes // max(1, row_bytes))
    begin, n = 0, 0
    for i, piece in enumerate(pieces):
        rows = piece.n if piece else 0
        if n and n + rows > limit:
            yield _column(name, records[begin:i], pieces[begin:i], open_segment, begin)
            begin, n = i, 0
        n += rows
    if begin < len(pieces) or not pieces:
        yield _column(name, records[begin:], pieces[begin:], open_segment, begin)


def _runs(name: str, records: Sequence[Record]) -> list[Run | None]:
    """Where each case's rows lie; all ranges are parsed in one go, which is many times faster."""
    ranges = json.loads("[" + ",".join(record.rows for record in records) + "]")
    return [
        Run(record.segment, *found[name]) if name in found else None
        for record, found in zip(records, ranges, strict=True)
    ]


def _row_bytes(segment: Segment, run: Run) -> int:
    block = segment.header.blocks[run.block]
    return block.n_bytes // max(1, block.shape[0])


def _column(
    name: str,
    records: Sequence[Record],
    pieces: Sequence[Run | None],
    open_segment: Opener,
    first: int,
) -> Rows:
    if not any(pieces):
        raise InputError(f"no case here holds an array {name!r}; see info() for what there is")
    counts = np.fromiter((p.n if p else 0 for p in pieces), np.int64, len(pieces))
    start = np.concatenate([[0], np.cumsum(counts)])
    case = np.repeat(np.arange(first, first + len(pieces)), counts)
    arrays = _arrays(name, merge(p for p in pieces if p), open_segment)
    array = next(arrays)
    rest = list(arrays)
    if rest:
        array = np.concatenate([array, *rest])
        array.flags.writeable = False
    return Rows(array, case, start, first)


def merge(runs: Iterable[Run]) -> list[Run]:
    """Join runs that follow each other in one block."""
    merged: list[Run] = []
    segment = block = first = end = -1
    for run in runs:
        if run.segment == segment and run.block == block and run.first == end:
            end += run.n
            continue
        if end >= 0:
            merged.append(Run(segment, block, first, end - first))
        segment, block, first, n = run
        end = first + n
    return [*merged, Run(segment, block, first, end - first)] if end >= 0 else merged


def _arrays(name: str, runs: Iterable[Run], open_segment: Opener) -> Iterator[NDArray[Any]]:
    """The rows of each run; all must have one dtype and one shape of row."""
    kind = None
    for run in runs:
        array = open_segment(run.segment).rows(run.block, run.first, run.first + run.n)
        kind = kind or (array.dtype, array.shape[1:])
        if (array.dtype, array.shape[1:]) != kind:
            raise InputError(
                f"array {name!r} is {kind[0]} rows of shape {kind[1]} in one case and "
                f"{array.dtype} of {array.shape[1:]} in another; read it case by case"
            )
        yield array
