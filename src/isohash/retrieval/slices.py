"""Where the slices of cases lie, and which of them have a code in which view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.index.segments import rows_of_cases


@dataclass(frozen=True, eq=False)
class SliceTable:
    """Slices of one or many cases: case c owns rows start[c]:start[c+1].

    `index` is the slice's position in its volume, `z_mm` its height in the patient, and
    `row[view]` its row among the codes of that view, -1 where the slice has none.
    """

    start: NDArray[np.int64]
    index: NDArray[np.int64]
    z_mm: NDArray[np.float64]
    row: dict[str, NDArray[np.int64]]

    @property
    def n_cases(self) -> int:
        """How many cases there are."""
        return len(self.start) - 1

    def usable(self, views: Sequence[str]) -> NDArray[np.bool_]:
        """Which slices have codes in all of `views`."""
        return np.logical_and.reduce([self.row[view] >= 0 for view in views])

    def spacing_mm(self) -> NDArray[np.float64]:
        """Median distance between neighbouring slices of each case; nan for fewer than two."""
        spacing = np.full(self.n_cases, np.nan)
        case = np.repeat(np.arange(len(spacing)), np.diff(self.start))
        inside = case[1:] == case[:-1]
        steps, case = np.abs(np.diff(self.z_mm))[inside], case[1:][inside]
        steps = steps[np.lexsort((steps, case))]
        n = np.bincount(case, minlength=len(spacing))
        first, some = np.cumsum(n) - n, n > 0
        lower, upper = ((first + half)[some] for half in ((n - 1) // 2, n // 2))
        spacing[some] = (steps[lower] + steps[upper]) / 2.0
        return spacing

    def of_cases(self, cases: NDArray[np.int64]) -> SliceTable:
        """Some cases only, in the order given; `row` counts anew, in that order."""
        start = np.concatenate([[0], np.cumsum(np.diff(self.start)[cases])])
        kept = rows_of_cases(self.start, cases)
        row = {view: _renumbered(table[kept]) for view, table in self.row.items()}
        return SliceTable(start, self.index[kept], self.z_mm[kept], row)

    def some(self, kept: NDArray[np.bool_]) -> SliceTable:
        """Some slices of a table of one case; `row` stays as it is."""
        row = {view: table[kept] for view, table in self.row.items()}
        return SliceTable(np.array([0, int(kept.sum())]), self.index[kept], self.z_mm[kept], row)

    def heights(self, first: int, last: int) -> tuple[float, float]:
        """From where to where in mm slices with these places reach, halfway to their neighbours.

        ValueError where there is none.
        """
        inside = np.flatnonzero((self.index >= first) & (self.index <= last))
        if not len(inside):
            raise ValueError(f"slices lie in {self.index.min()}..{self.index.max()}")
        half = float(self.spacing_mm()[0]) / 2.0 if len(self.index) > 1 else 0.0
        heights = self.z_mm[inside]
        return float(heights.min()) - half, float(heights.max()) + half

    def one(self, slice_row: int) -> SliceTable:
        """A single slice of a table of one case; `row` stays as it is."""
        at = slice(slice_row, slice_row + 1)
        row = {view: table[at] for view, table in self.row.items()}
        return SliceTable(np.array([0, 1]), self.index[at], self.z_mm[at], row)


def check_slices(table: SliceTable, codes: Mapping[str, NDArray[np.int64]]) -> None:
    """ValueError unless a table read from an archive can be used.

    `codes[view]` (n_cases + 1,) says which case owns which codes of that view; the rows of views
    that it has must be among them.
    """
    n = int(table.start[-1])
    for found in (table.index, *table.row.values()):
        if found.shape != (n,) or found.dtype.kind != "i":
            raise ValueError("places of slices must be integers, one a slice")
    if table.z_mm.shape != (n,) or not np.isfinite(table.z_mm.astype(np.float64)).all():
        raise ValueError("heights of slices must be finite, one a slice")
    same = np.diff(table.z_mm) == 0
    same[table.start[1:-1][(table.start[1:-1] > 0) & (table.start[1:-1] < n)] - 1] = False
    if same.any():
        raise ValueError("two slices of a case lie at one height")
    for view, start in codes.items():
        most = np.repeat(np.diff(start), np.diff(table.start))
        if ((table.row[view] < -1) | (table.row[view] >= most)).any():
            raise ValueError(f"slices name codes ({view}) that are not there")


def _renumbered(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(rows >= 0, np.cumsum(rows >= 0) - 1, -1)
