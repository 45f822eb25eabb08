"""Many byte strings sought in much data at once: windows of bytes are looked up in tables.

Exact, and linear in the data whatever the number of patterns: of each place the first four bytes
are looked up, and where they begin some pattern of eight bytes or more, the first eight; what is
left, hardly more than what is there, is compared. 16 MB take a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

WINDOW, LONG = 4, 8  # bytes: patterns shorter than the first cannot be sought
BLOCK = 1 << 20
SMALL = 256  # bytes: in so few each place is looked up
_TABLE_BITS = (16, 27)  # of a table: eight places a pattern, within these bounds
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Patterns:
    """Byte strings of `WINDOW` bytes or more."""

    def __init__(self, patterns: Collection[bytes]) -> None:
        self._known = patterns
        self._lengths: dict[bytes, set[int]] = {}
        for pattern in patterns:
            if len(pattern) >= WINDOW:
                self._lengths.setdefault(pattern[:WINDOW], set()).add(len(pattern))
        short = {head for head, lengths in self._lengths.items() if min(lengths) < LONG}
        self._heads = _Table(self._lengths, WINDOW)
        self._short = _Table(short, WINDOW)
        self._long = _Table({p[:LONG] for p in patterns if len(p) >= LONG}, LONG)

    def find(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(offset, pattern) of every occurrence."""
        for at in self._likely(data):
            for length in self._lengths.get(data[at : at + WINDOW], ()):
                if (found := data[at : at + length]) in self._known and len(found) == length:
                    yield at, found

    def _likely(self, data: bytes) -> Iterable[int]:
        """Where a pattern may begin."""
        return range(len(data)) if len(data) < SMALL else self._in_tables(data)

    def _in_tables(self, data: bytes) -> Iterator[int]:
        array = np.frombuffer(data + bytes(LONG - WINDOW), np.uint8)  # each place has a long window
        last = len(data) - WINDOW + 1
        for first in range(0, last if self._lengths else 0, BLOCK):
            stop = min(first + BLOCK, last)
            heads = _windows(array[first : stop + WINDOW - 1], WINDOW)
            at = np.flatnonzero(self._heads.has(heads))
            long = _numbers(array[first + at + i] for i in range(LONG))
            kept = self._short.has(heads[at]) | self._long.has(long)
            yield from (first + at[kept]).tolist()


class _Table:
    """Whether a window may be one of some: those that are, and hardly another."""

    def __init__(self, windows: Collection[bytes], width: int) -> None:
        bits = max(_TABLE_BITS[0], min(_TABLE_BITS[1], len(windows).bit_length() + 3))
        self._shift = np.uint64(64 - bits)
        self._is_there = np.zeros(1 << bits, dtype=bool)
        together = np.frombuffer(b"".join(windows), np.uint8).reshape(-1, width)
        self._is_there[self._slots(_numbers(together.T))] = True

    def has(self, windows: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Of each window."""
        return self._is_there[self._slots(windows)]

    def _slots(self, windows: NDArray[np.uint64]) -> NDArray[np.int64]:
        return ((windows * _MIX) >> self._shift).astype(np.int64)


def _windows(array: NDArray[np.uint8], width: int) -> NDArray[np.uint64]:
    """A number for each run of so many bytes."""
    n = len(array) - width + 1
    return _numbers([array[i : i + n] for i in range(width)])


def _numbers(columns: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint64]:
    """A number for each row of bytes."""
    numbers: NDArray[np.uint64] | None = None
    for i, column in enumerate(columns):
        shifted = column.astype(np.uint64) << np.uint64(8 * i)
        numbers = shifted if numbers is None else numbers | shifted
    return np.zeros(0, np.uint64) if numbers is None else numbers
