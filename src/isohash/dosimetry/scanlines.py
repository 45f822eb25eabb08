"""Where closed rings lie on parallel lines: the arithmetic below masks, areas and overlaps.

A ring is an array (n, 2) of corners (row, column), closed without repeating the first. Lines run
along the columns. On each line an odd number of crossings to the left means inside (the even-odd
rule), which makes holes of inner rings, keeps islands, and reads keyholes (one line that runs in
and out of a hole) right. Within a line all is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]
APART_MM = 1.0  # between planes that are laid one beside the other
MOST_CORNERS = 2000  # in rows apart: of more the areas are sampled


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines at `rows` (n,), ascending, each of which stands for a `height` (n,)."""

    rows: NDArray[np.float64]
    height: NDArray[np.float64]

    @classmethod
    def through(cls, low: float, high: float, count: int) -> Lines:
        """Lines in the middles of `count` equal parts of a range."""
        step = (high - low) / count
        rows = low + step * (np.arange(count, dtype=np.float64) + 0.5)
        return cls(rows, np.full(count, step))

    @classmethod
    def between_corners(cls, rings: Sequence[Ring]) -> Lines:
        """Lines half way between all corners, on which areas are exact (see `MOST_CORNERS`)."""
        rows = np.unique(np.concatenate([ring[:, 0] for ring in rings]))
        if len(rows) > MOST_CORNERS:
            return cls.through(float(rows[0]), float(rows[-1]), MOST_CORNERS)
        return cls(0.5 * (rows[1:] + rows[:-1]), np.diff(rows))


@dataclass(frozen=True, eq=False)
class Crossings:
    """Where rings cross lines: `line` and `column` (m,), sorted, an even number on each line."""

    line: NDArray[np.intp]
    column: NDArray[np.float64]

    def area(self, lines: Lines) -> float:
        """Area inside by the even-odd rule."""
        height = lines.height[self.line[::2]]
        return float(((self.column[1::2] - self.column[::2]) * height).sum())


def areas(planes: Sequence[Sequence[Ring]]) -> NDArray[np.float64]:
    """Area inside of each plane's rings by the even-odd rule.

    Many planes are measured at once, laid one beside the other: rings are many and small.
    """
    corners = [sum(map(len, rings)) for rings in planes]
    found = np.zeros(len(planes))
    begin = 0
    while begin < len(planes):
        count = int(np.searchsorted(np.cumsum(corners[begin:]), MOST_CORNERS, side="right"))
        end = begin + max(1, count)
        found[begin:end] = _areas(planes[begin:end])
        begin = end
    return found


def _areas(planes: Sequence[Sequence[Ring]]) -> NDArray[np.float64]:
    low = np.array([min(ring[:, 0].min() for ring in rings) for rings in planes])
    high = np.array([max(ring[:, 0].max() for ring in rings) for rings in planes])
    wide = high - low + APART_MM
    begin = np.cumsum(wide) - wide
    shifts = np.column_stack([begin - low, np.zeros(len(planes))])
    beside = [ring + at for rings, at in zip(planes, shifts, strict=True) for ring in rings]
    lines = Lines.between_corners(beside)
    met = crossings(beside, lines)
    line = met.line[::2]
    spans = (met.column[1::2] - met.column[::2]) * lines.height[line]
    plane = np.searchsorted(begin, lines.rows[line], side="right") - 1
    return np.bincount(plane, spans, len(planes)).astype(np.float64)


def crossings(rings: Sequence[Ring], lines: Lines) -> Crossings:
    """Crossings of all rings together."""
    line, column, _ = hits(rings, lines)
    return _in_order(line, column)


def hits(
    rings: Sequence[Ring], lines: Lines
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp]]:
    """Line, column and ring of every crossing, in no order.

    An edge owns its lower end only, so that a corner on a line counts once.
    """
    sizes = np.array([len(ring) for ring in rings])
    start = np.concatenate(rings)
    end = np.roll(start, -1, axis=0)
    last = np.cumsum(sizes) - 1
    end[last] = start[last - sizes + 1]
    met = np.searchsorted(lines.rows, np.sort(np.stack([start[:, 0], end[:, 0]]), axis=0))
    count = met[1] - met[0]
    edge = np.repeat(np.arange(len(count)), count)
    line = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + met[0, edge]
    along = (lines.rows[line] - start[edge, 0]) / (end[edge, 0] - start[edge, 0])
    column = start[edge, 1] + along * (end[edge, 1] - start[edge, 1])
    return line, column, np.repeat(np.arange(len(rings)), sizes)[edge]


def union(parts: Sequence[Crossings]) -> Crossings:
    """Crossings of what lies inside at least one of the parts."""
    line = np.concatenate([part.line for part in parts])
    column = np.concatenate([part.column for part in parts])
    turn = np.concatenate([1 - 2 * (np.arange(len(part.line)) % 2) for part in parts])
    order = np.lexsort((-turn, column, line))  # begin before end: parts that touch are one
    line, column, turn = line[order], column[order], turn[order]
    depth = np.cumsum(turn)
    outer = np.where(turn > 0, depth == 1, depth == 0)
    return Crossings(line[outer], column[outer])


def together(parts: Sequence[Crossings]) -> Crossings:
    """Crossings of what lies inside an odd number of the parts."""
    if len(parts) == 1:
        return parts[0]
    return _in_order(
        np.concatenate([part.line for part in parts]),
        np.concatenate([part.column for part in parts]),
    )


def cover(
    found: Crossings, fine: int, n: tuple[int, int], first: float, step: float
) -> NDArray[np.float64]:
    """Share inside of cells `n` (rows, columns) whose rows are met by `fine` lines each.

    Cell i of a row spans `first` + (i, i + 1) `step`.
    """
    edge = np.clip((found.column - first) / step, 0.0, n[1])
    weight = np.where(np.arange(len(edge)) % 2 == 0, 1.0, -1.0) / fine  # a span begins, or ends
    cell = np.floor(edge).astype(np.intp)
    width = n[1] + 2
    at = found.line // fine * width + cell
    rise = np.bincount(
        np.concatenate([at, at + 1]),
        np.concatenate([weight * (cell + 1.0 - edge), weight * (edge - cell)]),
        n[0] * width,
    )
    return np.asarray(np.cumsum(rise.reshape(n[0], width), axis=1)[:, : n[1]], dtype=np.float64)


def _in_order(line: NDArray[np.intp], column: NDArray[np.float64]) -> Crossings:
    order = np.lexsort((column, line))
    return Crossings(line[order], column[order])
