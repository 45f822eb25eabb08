"""From the planes of DICOM images to one array with one affine, or a refusal with its reason.

DICOM gives each plane the position of its first pixel centre, two direction cosines and
`PixelSpacing` = (distance between rows, distance between columns). Slices are ordered by where they
lie along their common normal, never by name or number; the distance between slices comes from the
positions, never from SliceThickness. Lengths are mm, positions LPS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.records import Volume

COSINE_TOLERANCE = 1e-3  # of unit length and right angle; files round cosines to 1e-6 or worse
SAME_ORIENTATION = 1e-4  # largest difference of cosines between slices of one stack
SAME_POSITION_MM = 0.01
DRIFT_MM = 0.1  # sideways drift over a whole stack that is still no gantry tilt
UNEVEN = 0.02  # share of the slice distance by which a plane may lie off the even ladder
UNEVEN_MM = 0.06  # and in mm, for positions rounded to 0.1
PIECE = 3  # equal distances in a row that make a piece of a stack whose spacing changes
WIDEST_STEP_MM = 10.0  # beyond it too much lies between two planes to be interpolated


@dataclass(frozen=True)
class Plane:
    """Geometry of one image plane."""

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    spacing: tuple[float, float]  # between rows, between columns
    rows: int
    columns: int

    def check(self) -> None:
        """Refuse what is no plane: cosines not orthonormal, spacing not positive, no pixels."""
        row, column = self.orientation[:3], self.orientation[3:]
        errors = [_dot(row, row) - 1, _dot(column, column) - 1]
        errors.append(_dot(row, column))
        if not all(map(math.isfinite, self.position)):
            raise InputError("ImagePositionPatient is not finite")
        if not all(abs(error) < COSINE_TOLERANCE for error in errors):
            raise InputError("ImageOrientationPatient is not two perpendicular unit vectors")
        if not all(math.isfinite(mm) and mm > 0 for mm in self.spacing):
            raise InputError(f"PixelSpacing must be two positive mm, got {self.spacing}")
        if self.rows < 1 or self.columns < 1:
            raise InputError(f"Rows x Columns is {self.rows} x {self.columns}")

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector from row and column direction by the right hand."""
        return np.cross(self.orientation[:3], self.orientation[3:])

    def affine(self, step: NDArray[np.float64]) -> NDArray[np.float64]:
        """Affine of a stack that begins here and advances by the vector `step` per slice."""
        affine = np.eye(4)
        affine[:3, 0] = step
        affine[:3, 1] = np.multiply(self.orientation[3:], self.spacing[0])
        affine[:3, 2] = np.multiply(self.orientation[:3], self.spacing[1])
        affine[:3, 3] = self.position
        return affine


@dataclass(frozen=True, eq=False)
class Ladder:
    """Parallel planes one behind the other: the first, and the step from each to the next.

    Where the distances change, `levels` are the mm of each plane along the normal, and `step` is
    the finest of them.
    """

    first: Plane
    step: NDArray[np.float64]
    levels: NDArray[np.float64] | None = None

    @property
    def affine(self) -> NDArray[np.float64]:
        """Affine of the even stack: of the planes, or of the grid that they are resampled to."""
        return self.first.affine(self.step)

    def even(self, planes: NDArray[Any]) -> NDArray[Any]:
        """The planes (n, rows, columns) on the even grid, interpolated linearly if need be."""
        if self.levels is None:
            return planes
        finest = float(np.linalg.norm(self.step))
        n = int(np.floor(self.levels[-1] / finest + UNEVEN)) + 1
        at = np.interp(finest * np.arange(n), self.levels, np.arange(len(self.levels)))
        low = np.minimum(at.astype(np.intp), len(planes) - 2)
        weight = (at - low).astype(np.float32)
        result = np.empty((n, *planes.shape[1:]), planes.dtype)
        for k in range(n):  # slice by slice: float copies of a whole CT would be large
            mixed = (1 - weight[k]) * planes[low[k]] + weight[k] * planes[low[k] + 1]
            result[k] = np.rint(mixed) if planes.dtype.kind == "i" else mixed
        return result

    def straight(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (n, 3) in mm moved along the normal so that plane k lies at k even steps."""
        if self.levels is None:
            return points
        finest, normal = float(np.linalg.norm(self.step)), self.first.normal
        along = (points - np.array(self.first.position)) @ normal
        k = np.clip(np.searchsorted(self.levels, along) - 1, 0, len(self.levels) - 2)
        low, high = self.levels[k], self.levels[k + 1]
        even = finest * (k + (along - low) / (high - low))
        moved: NDArray[np.float64] = points + np.outer(even - along, normal)
        return moved


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def stack(planes: Sequence[Plane]) -> tuple[NDArray[np.intp], Ladder]:
    """Order of the planes along their normal, and where they lie.

    Raises InputError for mixed orientations or sizes, duplicates, gaps and gantry tilt.
    """
    first = planes[0]
    first.check()
    if len(planes) < 2:
        raise InputError("one slice only, which is no volume")
    _check_same(planes)
    positions = np.array([plane.position for plane in planes])
    along = positions @ first.normal
    order = np.argsort(along, kind="stable")
    path = positions[order] - positions[order[0]]
    sideways = path - np.outer(path @ first.normal, first.normal)
    drift = float(np.linalg.norm(sideways, axis=1).max())
    if drift > DRIFT_MM and np.diff(along[order]).min() >= SAME_POSITION_MM:
        raise InputError(
            f"the slices shift sideways by {drift:.2f} mm over the stack (gantry tilt); "
            "export it resampled without tilt"
        )
    levels = _ladder(along[order])
    if levels is not None:
        return order, Ladder(planes[order[0]], float(np.diff(levels).min()) * first.normal, levels)
    return order, Ladder(planes[order[0]], path[-1] / (len(planes) - 1))


def _check_same(planes: Sequence[Plane]) -> None:
    first = planes[0]
    sizes = {(plane.rows, plane.columns) for plane in planes}
    if len(sizes) > 1:
        a, b = sorted(sizes)[:2]
        raise InputError(f"slices differ in size: {a[0]} x {a[1]} and {b[0]} x {b[1]}")
    turns = np.array([plane.orientation for plane in planes])
    if not np.allclose(turns, first.orientation, atol=SAME_ORIENTATION, rtol=0):
        raise InputError("slices differ in orientation (a scout among them, or two stacks)")
    spacings = np.array([plane.spacing for plane in planes])
    if not np.allclose(spacings, first.spacing, atol=0, rtol=1e-4):
        other = spacings[np.abs(spacings - first.spacing).max(axis=1).argmax()]
        raise InputError(f"slices differ in PixelSpacing: {first.spacing} and {tuple(other)}")
    if not all(math.isfinite(mm) for plane in planes for mm in plane.position):
        raise InputError("ImagePositionPatient is not finite")


def _ladder(along: NDArray[Any]) -> NDArray[np.float64] | None:
    """None if the planes are evenly spaced; their mm from the first if only piece by piece."""
    steps = np.diff(along)
    usual = float(np.median(steps))
    if steps.min() < SAME_POSITION_MM:
        at = along[int(steps.argmin())]
        raise InputError(f"two slices lie at the same place ({at:.2f} mm along the normal)")
    if _unevenness(along) <= _allowed(usual):
        return None
    if not _in_pieces(steps):
        which = int(np.argmax(np.abs(steps - usual)))
        raise InputError(
            f"slices are missing or uneven: one distance is {steps[which]:.3f} mm "
            f"(at {along[which]:.2f} mm along the normal), most are {usual:.3f}; "
            "export the whole series"
        )
    levels: NDArray[np.float64] = along - along[0]
    return levels


def _in_pieces(steps: NDArray[Any]) -> bool:
    """Whether the distances change only now and then, as where a scan protocol goes on coarser.

    A missing slice is one long step between short ones; each piece must have some alike in a row.
    """
    changes = np.abs(np.diff(steps)) > np.maximum(2 * UNEVEN_MM, UNEVEN * steps[1:])
    pieces = np.split(steps, np.flatnonzero(changes) + 1)
    return min(map(len, pieces)) >= PIECE and steps.max() <= WIDEST_STEP_MM


def _allowed(step_mm: float) -> float:
    """How far in mm a plane may lie off the even ladder through the first and the last."""
    return max(UNEVEN * abs(step_mm), UNEVEN_MM)


def _unevenness(along: NDArray[Any]) -> float:
    ladder = np.linspace(along[0], along[-1], len(along))
    return float(np.abs(along - ladder).max())


def frame_stack(plane: Plane, offsets: Sequence[float]) -> tuple[Ladder, bool]:
    """The planes of a multi-frame dose grid, and whether their frames are in reverse order.

    `offsets` is GridFrameOffsetVector. Two conventions exist (PS3.3 C.8.8.3.2): offsets from the
    first plane along the normal, beginning with 0, or, for axial planes only, the patient's z of
    every plane.
    """
    plane.check()
    values = np.asarray(offsets, dtype=np.float64)
    if values.size < 2:
        raise InputError("the dose grid has one plane only, which is no volume")
    if not np.isfinite(values).all():
        raise InputError("GridFrameOffsetVector is not finite")
    signs = np.sign(np.diff(values))
    if (signs == 0).any() or signs.min() != signs.max():
        raise InputError("the planes of the dose grid are uneven: offsets repeat or turn back")
    direction = _offset_direction(plane, float(values[0]))
    steps = values - values[0]
    if signs[0] > 0:
        return _dose_ladder(plane, steps, direction), False
    last = replace(plane, position=_moved(plane.position, steps[-1] * direction))
    return _dose_ladder(last, (steps - steps[-1])[::-1], direction), True


def _offset_direction(plane: Plane, first: float) -> NDArray[np.float64]:
    """Unit vector along which offsets grow, given the first of them."""
    relative = abs(first) < SAME_POSITION_MM
    absolute = abs(first - plane.position[2]) < SAME_POSITION_MM
    axial = abs(abs(plane.normal[2]) - 1) < COSINE_TOLERANCE
    if relative and absolute and axial and plane.normal[2] < 0:
        raise InputError(
            "GridFrameOffsetVector can be read in two ways (it begins with 0, the first plane "
            "lies at z = 0 and the normal points to the feet)"
        )
    if relative:
        return plane.normal
    if absolute and axial:
        return np.array([0.0, 0.0, 1.0])
    raise InputError(
        f"GridFrameOffsetVector begins with {first:g}: neither 0 nor the z of the first plane"
    )


def _dose_ladder(
    plane: Plane, levels: NDArray[np.float64], direction: NDArray[np.float64]
) -> Ladder:
    """The ladder from a first plane and ascending levels along `direction`."""
    usual = float(np.diff(levels).mean())
    if _unevenness(levels) <= _allowed(usual):
        return Ladder(plane, usual * direction)
    steps = np.diff(levels)
    if not _in_pieces(steps):
        raise InputError(
            f"the planes of the dose grid are uneven ({steps.min():.3f} to {steps.max():.3f} mm)"
        )
    return Ladder(plane, float(steps.min()) * direction, levels)


def _moved(
    position: tuple[float, float, float], by: NDArray[np.float64]
) -> tuple[float, float, float]:
    x, y, z = (np.array(position) + by).tolist()
    return x, y, z


def canonical(array: NDArray[Any], affine: NDArray[np.float64]) -> Volume:
    """The same voxels with axes ordered (z, y, x), running to the head, the back and the left.

    Axes are permuted and flipped, never interpolated; a turned grid keeps its turn in the affine.
    """
    relative = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
    axes = [int(relative[patient].argmax()) for patient in (2, 1, 0)]
    if sorted(axes) != [0, 1, 2]:
        raise InputError("the grid is turned by about 45 degrees: its axes have no clear names")
    array = array.transpose(axes)
    result = affine.copy()
    result[:3, :3] = affine[:3, axes]
    for axis, patient in enumerate((2, 1, 0)):
        if result[patient, axis] < 0:
            array = np.flip(array, axis)
            result[:3, 3] += result[:3, axis] * (array.shape[axis] - 1)
            result[:3, axis] *= -1.0
    result[np.abs(result) < 1e-12] = 0.0  # no minus zeros
    return Volume(np.ascontiguousarray(array), result)
