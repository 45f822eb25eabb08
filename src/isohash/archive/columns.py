"""One array of all cases as one column: zero-copy where a compacted segment holds it in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.archive.segments import Segment
from isohash.archive.state import Record
from isohash.errors import InputError

Opener = Callable[[int], Segment]
BATCH = 4096  # records parsed at once


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


class RowRange(NamedTuple):
    """Consecutive rows of one block."""

    segment: int
    block: int
    first: int
    n: int


class Places:
    """Where the rows of every array of every case lie, as tables: their JSON is parsed once.

    ValueError if a record's rows are not what they should be.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._segment = np.array([record.segment for record in records], dtype=np.int64)
        self._runs: dict[str, NDArray[np.int64]] = {}
        for first in range(0, len(records), BATCH):
            self._read(records[first : first + BATCH], first)

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays that cases have, in the order in which they are first met."""
        return tuple(self._runs)

    def of(self, name: str) -> NDArray[np.int64]:
        """Segment, block, first row and count of each case's rows, as rows of (n_cases, 4).

        The block is -1 for a case without the array; InputError if no case has it.
        """
        if name not in self._runs:
            raise InputError(f"no case here holds an array {name!r}; see info() for what there is")
        return np.column_stack([self._segment, self._runs[name]])

    def _read(self, records: Sequence[Record], first: int) -> None:
        found = json.loads("[" + ",".join(record.rows for record in records) + "]")
        if len(found) != len(records):
            raise ValueError("the rows of a case are not one JSON object")
        alike: dict[tuple[str, ...], list[int]] = {}  # most cases have the same arrays
        for at, ranges in enumerate(found):
            alike.setdefault(tuple(ranges.keys()), []).append(at)
        for names, where in alike.items():
            if not names:
                continue
            runs = np.array([list(found[at].values()) for at in where])
            if runs.shape[1:] != (len(names), 3) or runs.dtype.kind != "i" or runs.min() < 0:
                raise ValueError("the rows of a case are not counts")
            for column, name in enumerate(names):
                self._runs_of(name)[first + np.array(where)] = runs[:, column]

    def _runs_of(self, name: str) -> NDArray[np.int64]:
        if name not in self._runs:
            self._runs[name] = np.tile(np.array([-1, 0, 0]), (len(self._segment), 1))
        return self._runs[name]


def gather(name: str, places: Places, open_segment: Opener) -> Rows:
    """The column `name` of all cases, in their order."""
    return _column(name, places.of(name), open_segment, 0)


def chunks(name: str, places: Places, open_segment: Opener, max_bytes: int) -> Iterator[Rows]:
    """The column in pieces of whole cases, each of at most `max_bytes` (or a single case)."""
    table = places.of(name)
    limit = max(1, max_bytes // _row_bytes(table, open_segment))
    begin, n = 0, 0
    for i, rows in enumerate(table[:, 3].tolist()):
        if n and n + rows > limit:
            yield _column(name, table[begin:i], open_segment, begin)
            begin, n = i, 0
        n += rows
    if begin < len(table):
        yield _column(name, table[begin:], open_segment, begin)


def _row_bytes(places: NDArray[np.int64], open_segment: Opener) -> int:
    """The size of a row of the first case that has the array."""
    segment, block = places[np.argmax(places[:, 1] >= 0), :2].tolist()
    found = open_segment(segment).block_of(block)
    return max(1, found.n_bytes // max(1, found.shape[0]))


def _column(name: str, places: NDArray[np.int64], open_segment: Opener, first: int) -> Rows:
    counts = places[:, 3]
    start = np.concatenate([[0], np.cumsum(counts)])
    case = np.repeat(np.arange(first, first + len(places)), counts)
    arrays = _arrays(name, merge(places[places[:, 1] >= 0]), open_segment)
    return Rows(_joined(arrays), case, start, first)


def merge(places: ArrayLike) -> list[RowRange]:
    """Join places that follow each other in one block."""
    table = np.asarray(places, dtype=np.int64).reshape(-1, 4)
    if not len(table):
        return []
    same_block = (table[1:, :2] == table[:-1, :2]).all(axis=1)
    follows = table[1:, 2] == table[:-1, 2] + table[:-1, 3]
    begins = np.flatnonzero(np.concatenate([[True], ~(same_block & follows)]))
    runs = table[begins].copy()
    runs[:, 3] = np.add.reduceat(table[:, 3], begins)
    return [RowRange(*run) for run in runs.tolist()]


def _arrays(name: str, runs: list[RowRange], open_segment: Opener) -> Iterator[NDArray[Any]]:
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


def _joined(arrays: Iterator[NDArray[Any]]) -> NDArray[Any]:
    found = list(arrays)
    if len(found) == 1:
        return found[0]
    array = np.concatenate(found)
    array.flags.writeable = False
    return array
