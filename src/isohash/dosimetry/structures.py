"""Contours become masks: the share of every voxel that lies inside a structure.

All closed contours of one plane are taken together by the XOR (even-odd) rule, which makes holes of
inner contours, keeps islands, and reads keyholes (one line that runs in and out of a hole) right.
Within a row the share of each voxel is exact; a voxel's height is sampled at `SUB_ROWS` rows.

Along the normal, a plane of contours stands for a slab: half way to the next plane on either side.
Planes further apart than 1.5 times the usual distance do not join. Beyond its last plane a
structure goes on for half a usual distance (the end cap). Voxel slices take the share of their
thickness that each slab covers, so contours that lie between slices are weighed, not lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError

SUB_ROWS = 8
JOIN = 1.5  # usual distances between planes beyond which a structure has a gap
OFF_PLANE = 0.05  # slices: contours whose points leave their plane by more are not planar
SAME_PLANE = 0.02  # slices: contours nearer than this lie in one plane
FEW = 3  # distances between planes below which a structure does not tell its own step
WIDEST_MM = 10.0  # planes further apart are islands, not a structure drawn on every n-th slice


@dataclass(frozen=True, eq=False)
class Rasterised:
    """Shares (z, y, x) in 0..1 of the voxels inside, and notes on contours left out."""

    shares: NDArray[np.float32]
    notes: tuple[str, ...] = ()

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Voxels of which at least half lies inside."""
        return self.shares >= 0.5


def rasterise(
    contours: Sequence[NDArray[np.float64]],
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    step_mm: float | None = None,
    end_cap: float = 0.5,
) -> Rasterised:
    """Rasterise closed contours, each (n, 3) points in mm, onto the grid (`affine`, `shape`).

    `step_mm` is the distance between the planes that the whole set is drawn in; it decides for
    structures of few planes whether these join (default: the distance between slices). `end_cap`
    is how far, in usual distances, a structure goes on beyond its last plane; some planning systems
    use 0.
    Contours of fewer than three points are left out with a note; contours that do not lie in
    slices of the grid are refused with InputError.
    """
    to_index = np.linalg.inv(affine)
    inside = [to_index[:3, :3] @ points.T + to_index[:3, 3:] for points in contours]
    usable = [at for at in inside if at.shape[1] >= 3]
    notes = []
    if len(usable) < len(inside):
        notes.append(f"{len(inside) - len(usable)} contour(s) of fewer than 3 points left out")
    planes = _planes(usable)
    shares = np.zeros(shape, dtype=np.float32)
    slice_mm = float(np.linalg.norm(affine[:3, 0]))
    for level, (low, high) in _slabs(list(planes), slice_mm, step_mm or slice_mm, end_cap).items():
        area = _area(planes[level], shape[1:])
        if area is None:
            continue
        (top, left), cover = area
        box = np.s_[top : top + cover.shape[0], left : left + cover.shape[1]]
        for k in range(max(0, round(low)), min(shape[0] - 1, round(high)) + 1):
            thickness = min(high, k + 0.5) - max(low, k - 0.5)
            if thickness > 1e-9:
                part = shares[k][box]
                np.clip(part + np.float32(thickness) * cover, 0.0, 1.0, out=part)
    if planes and (min(planes) < -0.5 or max(planes) > shape[0] - 0.5):
        notes.append("it reaches beyond the first or last slice")
    return Rasterised(shares, tuple(notes))


def _planes(contours: list[NDArray[np.float64]]) -> dict[float, list[NDArray[np.float64]]]:
    """Contours (2, n) = (row, column) by the fractional slice in which they lie."""
    planes: dict[float, list[NDArray[np.float64]]] = {}
    for at in sorted(contours, key=lambda at: float(at[0].mean())):
        level = float(at[0].mean())
        if abs(level - round(level)) < SAME_PLANE:
            level = float(round(level))
        if np.abs(at[0] - level).max() > OFF_PLANE:
            raise InputError(
                f"a contour leaves its slice by {np.abs(at[0] - level).max():.2f} slices: "
                "it was not drawn in slices of this grid"
            )
        known = next(reversed(planes), None)
        key = known if known is not None and level - known < SAME_PLANE else level
        planes.setdefault(key, []).append(at[1:])
    return planes


def _slabs(
    levels: list[float], slice_mm: float, step_mm: float, end_cap: float
) -> dict[float, tuple[float, float]]:
    """The range of fractional slices for which each plane stands."""
    if not levels:
        return {}
    gaps = np.diff(levels)
    sensible = gaps[gaps * slice_mm <= WIDEST_MM]
    usual = float(np.median(sensible)) if sensible.size else step_mm / slice_mm
    if sensible.size < FEW:
        usual = min(usual, step_mm / slice_mm)
    apart = gaps > JOIN * usual
    half = np.where(apart, end_cap * usual, gaps / 2.0)
    before = np.concatenate([[end_cap * usual], half])
    after = np.concatenate([half, [end_cap * usual]])
    return {
        level: (level - below, level + above)
        for level, below, above in zip(levels, before.tolist(), after.tolist(), strict=True)
    }


def _area(
    contours: list[NDArray[np.float64]], shape: tuple[int, ...]
) -> tuple[tuple[int, int], NDArray[np.float32]] | None:
    """Shares of the pixels inside an odd number of contours: corner and values of a box."""
    start = np.concatenate(contours, axis=1)
    end = np.concatenate([np.roll(contour, -1, axis=1) for contour in contours], axis=1)
    top, left = (max(0, int(np.floor(low + 0.5))) for low in start.min(axis=1))
    bottom = min(shape[0] - 1, int(np.ceil(start[0].max() - 0.5)))
    right = min(shape[1] - 1, int(np.ceil(start[1].max() - 0.5)))
    if bottom < top or right < left:
        return None
    n_rows, n_columns = bottom - top + 1, right - left + 1
    row, column = _crossings(start, end, top, n_rows)
    edge = np.clip(column - left + 0.5, 0.0, n_columns)  # from the left border of the box
    sign = np.where(np.arange(len(edge)) % 2 == 0, -1.0, 1.0)  # begin and end of a span
    cell = np.floor(edge).astype(np.intp)
    rise = np.zeros((n_rows * SUB_ROWS, n_columns + 2))
    np.add.at(rise, (row, np.zeros_like(row)), sign)
    np.add.at(rise, (row, cell), sign * (edge - cell - 1.0))
    np.add.at(rise, (row, cell + 1), -sign * (edge - cell))
    share = np.cumsum(rise, axis=1)[:, :n_columns]
    cover = share.reshape(n_rows, SUB_ROWS, n_columns).mean(axis=1)
    return (top, left), cover.astype(np.float32)


def _crossings(
    start: NDArray[np.float64], end: NDArray[np.float64], top: int, n_rows: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Where the edges cross the sub-rows: (sub-row, column), sorted, an even number in each.

    Sub-row s lies at row `top - 0.5 + (s + 0.5) / SUB_ROWS`. An edge owns its lower end only, so
    that a corner on a sub-row counts once.
    """
    scaled = (np.stack([start[0], end[0]]) - top + 0.5) * SUB_ROWS - 0.5
    low, high = np.ceil(scaled.min(axis=0)), np.ceil(scaled.max(axis=0))
    low = np.clip(low, 0, n_rows * SUB_ROWS).astype(np.intp)
    high = np.clip(high, 0, n_rows * SUB_ROWS).astype(np.intp)
    count = high - low
    edge = np.repeat(np.arange(len(count)), count)
    sub_row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + low[edge]
    along = (sub_row - scaled[0, edge]) / (scaled[1, edge] - scaled[0, edge])
    column = start[1, edge] + along * (end[1, edge] - start[1, edge])
    order = np.lexsort((column, sub_row))
    return sub_row[order], column[order]
