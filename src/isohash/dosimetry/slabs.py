"""How far along the normal each plane of contours stands: the slabs that a structure is made of.

A plane stands for a slab, half way to the next plane on either side. Where planes are too far apart
a structure has a gap, and it ends half a usual distance beyond its outermost planes, at gaps and at
its ends (the end cap). What is too far follows from the distances that the structure is drawn in:

* 1.5 times the usual distance joins. Planes may be written twice, a little apart: a pair counts as
  one step, as do a plane and another put in near it.
* Planes between which no slice of the scan lies are joined whatever their distance: there is no
  slice that could have been left empty.
* Three wide distances in a row that are equal are no gaps, but a part drawn on every n-th slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

JOIN = 1.5  # usual distances between planes beyond which a structure has a gap
DOUBLED = 0.6  # usual distances below which two planes are of one step
SAME_PLANE = 0.02  # slices: contours nearer than this lie in one plane
FEW = 3  # distances between planes below which a structure does not tell its own step
WIDEST_MM = 10.0  # planes further apart are islands, not a structure drawn on every n-th slice

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ruler:
    """Where the slices lie that contours were drawn on: mm of each, ascending.

    Gaps between planes are counted in slices, so that a structure has none where a scan goes on in
    thicker ones.
    """

    levels: Numbers

    @classmethod
    def even(cls, step_mm: float) -> Ruler:
        """Slices at every multiple of a step."""
        return cls(np.array([0.0, step_mm]))

    def slices(self, mm: Numbers) -> Numbers:
        """Fractional slices at these mm, continued evenly beyond the ends."""
        k = np.clip(np.searchsorted(self.levels, mm) - 1, 0, len(self.levels) - 2)
        low, high = self.levels[k], self.levels[k + 1]
        return np.asarray(k + (mm - low) / (high - low))

    def mm(self, slices: Numbers) -> Numbers:
        """The inverse of `slices`."""
        k = np.clip(np.ceil(slices) - 1, 0, len(self.levels) - 2).astype(np.intp)
        low, high = self.levels[k], self.levels[k + 1]
        return np.asarray(low + (slices - k) * (high - low))


def usual_step(levels: Sequence[Numbers], slice_mm: float = 0.0) -> float | None:
    """The distance in mm between the planes that a set of structures is drawn in.

    `levels` are the mm of each structure's contours along the normal. Structures of several planes
    tell it; else the planes of all together do, unless they lie closer than the slices of a CT.
    """
    steps = [np.diff(np.unique(np.round(mm, 2))) for mm in levels]
    telling = [gaps for gaps in steps if len(gaps) >= FEW]
    if telling and (own := _usual(_near(np.concatenate(telling)))):
        return own
    every = np.concatenate([np.zeros(0), *levels])
    return max(slice_mm, _usual(_near(np.diff(np.unique(np.round(every, 2)))))) or None


def slabs(
    levels: Numbers, ruler: Ruler, step_mm: float, end_cap: float, on_slices: bool
) -> tuple[Numbers, Numbers]:
    """Where the slab of each plane begins and ends, in mm.

    `levels` are the fractional slices of the planes, ascending. `step_mm` is the usual distance of
    the set, for structures of too few planes to tell their own. `on_slices` says that the ruler's
    slices are those of the scan that was drawn on.
    """
    if not len(levels):
        return np.zeros(0), np.zeros(0)
    gaps, mm = np.diff(levels), ruler.mm(levels)
    step = step_mm * _slices_per_mm(levels, mm, ruler)
    near = np.diff(mm) <= WIDEST_MM
    usual = _own_step(gaps[near], step)
    joins = (gaps <= JOIN * _with_pairs(gaps[near], usual)) | (near & _in_a_row(gaps))
    if on_slices:
        joins |= np.ceil(levels[1:] - SAME_PLANE) - np.floor(levels[:-1] + SAME_PLANE) <= 1
    half = np.where(joins, gaps / 2.0, end_cap * usual)
    cap = [end_cap * usual]
    low = ruler.mm(levels - np.concatenate([cap, half]))
    return low, ruler.mm(levels + np.concatenate([half, cap]))


def _slices_per_mm(levels: Numbers, mm: Numbers, ruler: Ruler) -> float:
    if len(levels) > 1:
        return float((levels[-1] - levels[0]) / (mm[-1] - mm[0]))
    return 1.0 / float(np.diff(ruler.mm(levels[0] + np.array([-0.5, 0.5])))[0])


def _own_step(gaps: Numbers, step: float) -> float:
    """The usual distance of a structure; that of the set where few planes do not tell it."""
    if len(gaps) >= FEW:
        return _usual(gaps)
    wide = gaps[gaps > DOUBLED * step]
    return min(float(np.median(wide)), step) if wide.size else step


def _near(gaps: Numbers) -> Numbers:
    return gaps[gaps <= WIDEST_MM]


def _usual(gaps: Numbers) -> float:
    """The gap that half of the height lies in: planes written twice, a little apart, count less."""
    if not gaps.size:
        return 0.0
    gaps = np.sort(gaps)
    return float(gaps[np.searchsorted(np.cumsum(gaps), 0.5 * gaps.sum())])


def _with_pairs(gaps: Numbers, usual: float) -> float:
    """The usual distance where each gap that is no step of its own is added to the next."""
    if len(gaps) < FEW:
        return usual
    ends = np.flatnonzero(gaps > DOUBLED * usual)
    total = np.concatenate([[0.0], np.cumsum(gaps)])
    return max(usual, _usual(np.diff(total[np.concatenate([[0], ends + 1])])))


def _in_a_row(gaps: Numbers) -> NDArray[np.bool_]:
    """Gaps that are at least three equal ones in a row."""
    equal = np.abs(np.diff(gaps)) < SAME_PLANE
    found = np.zeros(len(gaps), dtype=bool)
    for at in np.flatnonzero(equal[1:] & equal[:-1]):
        found[at : at + FEW] = True
    return found
