"""What rows of vectors are called: by their file's `ids`, or FILE:ROW where it has none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.retrieval.inventory import meant

SUGGESTED = 10_000
NAMES = "name"  # the array of an entry that keeps ids: (rows, longest) UTF-8, padded with zeros


def encoded(ids: Sequence[str]) -> NDArray[np.uint8]:
    """Names as the bytes that an entry keeps."""
    return np.array([name.encode() for name in ids]).view(np.uint8).reshape(len(ids), -1)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one entry: `n` of a file's, from its row `first` on, and their ids if known."""

    file: str
    first: int
    n: int
    ids: NDArray[np.bytes_] | None

    def name(self, row: int) -> str:
        """What a row of the entry is called."""
        return self.place(row) if self.ids is None else bytes(self.ids[row]).decode()

    def place(self, row: int) -> str:
        """FILE:ROW."""
        return f"{self.file}:{self.first + row}"

    def called(self, name: str) -> list[int]:
        """The row of that id."""
        return [] if self.ids is None else np.flatnonzero(self.ids == name.encode()).tolist()

    def at(self, name: str) -> list[int]:
        """The row of that FILE:ROW."""
        file, _, row = name.rpartition(":")
        inside = int(row) - self.first if row.isdecimal() else -1
        return [inside] if file == self.file and 0 <= inside < self.n else []


@dataclass(frozen=True, eq=False)
class RowNames:
    """The names of all rows of an archive, by their position in its order."""

    store: CaseStore

    @cached_property
    def entries(self) -> list[Rows]:
        """The entries in the archive's order."""
        return [self._rows(entry) for entry in self.store.ids()]

    def _rows(self, entry: str) -> Rows:
        facts, ids = self.store.metadata(entry), None
        if NAMES in self.store.array_names(entry):
            kept = np.ascontiguousarray(self.store.arrays(entry, [NAMES])[NAMES])
            ids = kept.view(f"S{kept.shape[1]}")[:, 0]
        return Rows(facts["file"], facts["first"], facts["n_rows"], ids)

    @cached_property
    def start(self) -> NDArray[np.int64]:
        """(entries + 1,): the position of each entry's first row; last, how many rows there are."""
        return np.cumsum([0, *(rows.n for rows in self.entries)])

    def entry_of(self, position: int) -> tuple[int, int]:
        """Which entry holds the row at a position, and which of its rows that is."""
        entry = int(np.searchsorted(self.start, position, side="right")) - 1
        return entry, position - int(self.start[entry])

    def name(self, position: int) -> str:
        """What the row at a position is called."""
        entry, row = self.entry_of(position)
        return self.entries[entry].name(row)

    def has(self, name: str) -> bool:
        """Whether a row is called that, by its id or by FILE:ROW."""
        return bool(self._positions(name))

    def position(self, name: str) -> int:
        """Where the row of that id is, or else of that FILE:ROW; InputError if none or several."""
        found = self._positions(name)
        if not found:
            raise InputError(
                f"{name} is neither a path nor an id or row FILE:ROW of this archive"
                f"{meant(name, self._some())} isohash list {self.store.path} shows the ids"
            )
        if len(found) > 1:
            places = ", ".join(self._place(position) for position in found[:5])
            raise InputError(f"{len(found)} rows are called {name}: ask for one of {places}")
        return found[0]

    def _some(self) -> list[str]:
        """Names to suggest from: not all of millions."""
        return [self.name(position) for position in range(min(SUGGESTED, int(self.start[-1])))]

    def _positions(self, name: str) -> list[int]:
        found = list(self._each(lambda rows: rows.called(name)))
        return found or list(self._each(lambda rows: rows.at(name)))

    def _each(self, rows_of: Callable[[Rows], list[int]]) -> Iterator[int]:
        for entry, rows in enumerate(self.entries):
            yield from (int(self.start[entry]) + row for row in rows_of(rows))

    def _place(self, position: int) -> str:
        entry, row = self.entry_of(position)
        return self.entries[entry].place(row)


class RowLabels:
    """Classes of rows by position: an int, or None where the row's file had none."""

    def __init__(self, store: CaseStore, names: RowNames) -> None:
        self._names = names
        ids = store.ids()
        self._of_entry = [
            store.arrays(one, ["label"])["label"] if "label" in store.array_names(one) else None
            for one in ids
        ]

    def __getitem__(self, position: int) -> int | None:
        entry, row = self._names.entry_of(position)
        labels = self._of_entry[entry]
        return None if labels is None else int(labels[row])

    @property
    def all(self) -> list[int | None]:
        """Of every row."""
        found: list[int | None] = []
        for rows, labels in zip(self._names.entries, self._of_entry, strict=True):
            found += [None] * rows.n if labels is None else labels.tolist()
        return found
