"""What was drawn of a structure: planes of closed contours, and the slab that each stands for.

Contours of one plane are taken together by the even-odd rule, after copies are dropped and partial
overlaps joined (see overlaps). Along the normal a plane stands for a slab (see slabs).

Lengths are mm in the frame of a grid: along its slices, rows and columns from the centre of its
first voxel. Nothing here depends on how fine that grid is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.overlaps import settle
from isohash.dosimetry.scanlines import (
    Crossings,
    Lines,
    Ring,
    areas,
    cover,
    crossings,
    together,
    union,
)
from isohash.dosimetry.slabs import SAME_PLANE, Ruler, slabs
from isohash.errors import InputError

OFF_PLANE = 0.05  # slices: contours whose points leave their plane by more are not planar


@dataclass(frozen=True, eq=False)
class Plane:
    """Rings (n, 2) of one plane as (row, column), and the slab from `low` to `high`; all mm.

    Rings of one group make a union; between groups the even-odd rule holds.
    """

    low: float
    high: float
    rings: tuple[Ring, ...]
    groups: tuple[int, ...]

    @property
    def thickness(self) -> float:
        """Height of the slab."""
        return self.high - self.low

    @cached_property
    def bounds(self) -> NDArray[np.float64]:
        """Lowest and highest row and column, shape (2, 2)."""
        every = self.rings[0] if len(self.rings) == 1 else np.concatenate(self.rings)
        return np.array([every.min(axis=0), every.max(axis=0)])

    @property
    def box(self) -> NDArray[np.float64]:
        """Lowest and highest mm along slices, rows and columns, shape (2, 3)."""
        return np.column_stack([[self.low, self.high], self.bounds])

    def crossed(self, lines: Lines) -> Crossings:
        """Where the inside begins and ends on lines along the columns."""
        members: dict[int, list[Ring]] = defaultdict(list)
        for group, ring in zip(self.groups, self.rings, strict=True):
            members[group].append(ring)
        alone = [rings[0] for rings in members.values() if len(rings) == 1]
        joined = [rings for rings in members.values() if len(rings) > 1]
        parts = [crossings(alone, lines)] if alone else []
        parts += [union([crossings([ring], lines) for ring in rings]) for rings in joined]
        return together(parts)

    def cells(
        self, corner: tuple[float, float], step: tuple[float, float], n: tuple[int, int], fine: int
    ) -> NDArray[np.float64]:
        """Share inside of each cell (rows, columns) from `corner` on; rows are met by `fine` lines.

        Along a row the share is exact.
        """
        lines = Lines.through(corner[0], corner[0] + n[0] * step[0], n[0] * fine)
        return cover(self.crossed(lines), fine, n, corner[1], step[1])

    @property
    def area(self) -> float:
        """Area inside in mm²."""
        lines = Lines.between_corners(self.rings)
        return self.crossed(lines).area(lines)

    @property
    def joined(self) -> bool:
        """Whether some of its rings make a union."""
        return len(set(self.groups)) < len(self.groups)

    @cached_property
    def length(self) -> float:
        """Length of all rings in mm."""
        steps = (np.roll(ring, -1, axis=0) - ring for ring in self.rings)
        return float(sum(np.linalg.norm(step, axis=1).sum() for step in steps))


@dataclass(frozen=True, eq=False)
class Drawing:
    """The planes of a structure from the first slice on, and notes on what was left out."""

    planes: tuple[Plane, ...]
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """Area inside of each plane in mm²."""
        found = areas([plane.rings for plane in self.planes])
        for at, plane in enumerate(self.planes):
            if plane.joined:
                found[at] = plane.area
        return found

    @property
    def volume_cc(self) -> float:
        """Area of each plane times the thickness of its slab."""
        return float(self.areas @ [plane.thickness for plane in self.planes]) / 1000.0

    def bounds(self) -> NDArray[np.float64]:
        """Lowest and highest mm along slices, rows and columns, shape (2, 3)."""
        boxes = np.array([plane.box for plane in self.planes])
        return np.array([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])


def draw(
    contours: Iterable[NDArray[np.float64]],
    affine: NDArray[np.float64],
    step_mm: float | None = None,
    end_cap: float = 0.5,
    ruler: Ruler | None = None,
    even_odd: bool = False,
) -> Drawing:
    """Put closed contours, each (n, 3) points in mm of the patient, into planes of a grid.

    `step_mm` is the distance between the planes that the whole set is drawn in; it decides for
    structures of few planes whether these join (default: the distance between slices). `ruler` says
    which slices the contours were drawn on, where that is known (see `slabs`). `end_cap`
    is how far, in usual distances, a structure goes on beyond its last plane; some planning systems
    use 0. With `even_odd` the contours are combined by that rule alone (CLOSEDPLANAR_XOR).
    Contours of fewer than three points are left out with a note; contours that do not lie in
    slices of the grid are refused with InputError.
    """
    contours = list(contours)
    usable = [points for points in contours if len(points) >= 3]
    few = len(contours) - len(usable)
    notes = [f"{few} contour(s) of fewer than 3 points left out"] if few else []
    slice_mm = float(np.linalg.norm(affine[:3, 0]))
    on_slices, ruler = ruler is not None, ruler or Ruler.even(slice_mm)
    by_level = _planes(usable, affine, ruler)
    lows, highs = slabs(np.array(list(by_level)), ruler, step_mm or slice_mm, end_cap, on_slices)
    planes, copies, across = [], 0, 0
    for low, high, rings in zip(lows.tolist(), highs.tolist(), by_level.values(), strict=True):
        if even_odd:
            planes.append(Plane(low, high, tuple(rings), tuple(range(len(rings)))))
            continue
        settled = settle(rings)
        planes.append(Plane(low, high, settled.rings, settled.groups))
        copies, across = copies + settled.copies, across + settled.across
    if copies:
        notes.append(f"{copies} contour(s) that are given twice count once")
    if across:
        notes.append(f"{across} pair(s) of contours overlap in part: what either holds is inside")
    return Drawing(tuple(planes), tuple(notes))


def in_frame(points: NDArray[np.float64], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (n, 3) of the patient as mm along slices, rows and columns of a grid."""
    to_index = np.linalg.inv(affine)
    at = points @ to_index[:3, :3].T + to_index[:3, 3]
    scaled: NDArray[np.float64] = at * np.linalg.norm(affine[:3, :3], axis=0)
    return scaled


def _planes(
    contours: list[NDArray[np.float64]], affine: NDArray[np.float64], ruler: Ruler
) -> dict[float, list[Ring]]:
    """Rings by the fractional slice in which they lie, ascending."""
    planes: dict[float, list[Ring]] = {}
    if not contours:
        return planes
    sizes = np.array([len(points) for points in contours])
    at = in_frame(np.concatenate(contours), affine)  # all at once: contours are many and small
    begin = np.cumsum(sizes) - sizes
    means = np.add.reduceat(at[:, 0], begin) / sizes
    off = np.abs(at[:, 0] - np.repeat(means, sizes)).max() / np.linalg.norm(affine[:3, 0])
    if off > OFF_PLANE:
        raise InputError(
            f"a contour leaves its slice by {off:.2f} slices: "
            "it was not drawn in slices of this grid"
        )
    levels = ruler.slices(means)
    levels = np.where(np.abs(levels - np.rint(levels)) < SAME_PLANE, np.rint(levels), levels)
    rings = np.split(np.ascontiguousarray(at[:, 1:]), begin[1:])
    for which in np.argsort(levels, kind="stable"):
        level, known = float(levels[which]), next(reversed(planes), None)
        key = known if known is not None and level - known < SAME_PLANE else level
        planes.setdefault(key, []).append(rings[which])
    return planes
