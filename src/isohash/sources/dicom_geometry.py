"""From the planes of DICOM images to one array with one affine, or a refusal with its reason.

DICOM gives each plane the position of its first pixel centre, two direction cosines and
`PixelSpacing` = (distance between rows, distance between columns). Slices are ordered by where they
lie along their common normal, never by name or number; the distance between slices comes from the
positions, never from SliceThickness. Lengths are mm, positions LPS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def stack(planes: Sequence[Plane]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Order of the planes along their normal and the affine of the ordered stack.

    Raises InputError for mixed orientations or sizes, duplicates, gaps and gantry tilt.
    """
    first = planes[0]
    first.check()
    if len(planes) < 2:
        raise InputError("one slice only, which is no volume")
    for plane in planes[1:]:
        _check_same(first, plane)
    positions = np.array([plane.position for plane in planes])
    along = positions @ first.normal
    order = np.argsort(along, kind="stable")
    _check_steps(np.diff(along[order]), along[order])
    path = positions[order] - positions[order[0]]
    sideways = path - np.outer(path @ first.normal, first.normal)
    drift = float(np.linalg.norm(sideways, axis=1).max())
    if drift > DRIFT_MM:
        raise InputError(
            f"the slices shift sideways by {drift:.2f} mm over the stack (gantry tilt); "
            "export it resampled without tilt"
        )
    step = path[-1] / (len(planes) - 1)
    return order, planes[order[0]].affine(step)


def _check_same(first: Plane, plane: Plane) -> None:
    if (plane.rows, plane.columns) != (first.rows, first.columns):
        raise InputError(
            f"slices differ in size: {first.rows} x {first.columns} and "
            f"{plane.rows} x {plane.columns}"
        )
    if not np.allclose(plane.orientation, first.orientation, atol=SAME_ORIENTATION, rtol=0):
        raise InputError("slices differ in orientation (a scout among them, or two stacks)")
    if not np.allclose(plane.spacing, first.spacing, atol=0, rtol=1e-4):
        raise InputError(f"slices differ in PixelSpacing: {first.spacing} and {plane.spacing}")
    if not np.isfinite(plane.position).all():
        raise InputError("ImagePositionPatient is not finite")


def _check_steps(steps: NDArray[Any], along: NDArray[Any]) -> None:
    usual = float(np.median(steps))
    if steps.min() < SAME_POSITION_MM:
        at = along[int(steps.argmin())]
        raise InputError(f"two slices lie at the same place ({at:.2f} mm along the normal)")
    if _unevenness(along) > _allowed(usual):
        which = int(np.argmax(np.abs(steps - usual)))
        raise InputError(
            f"slices are missing or uneven: one distance is {steps[which]:.3f} mm "
            f"(at {along[which]:.2f} mm along the normal), most are {usual:.3f}; "
            "export the whole series"
        )


def _allowed(step_mm: float) -> float:
    """How far in mm a plane may lie off the even ladder through the first and the last."""
    return max(UNEVEN * abs(step_mm), UNEVEN_MM)


def _unevenness(along: NDArray[Any]) -> float:
    ladder = np.linspace(along[0], along[-1], len(along))
    return float(np.abs(along - ladder).max())


def frame_stack(plane: Plane, offsets: Sequence[float]) -> NDArray[np.float64]:
    """Affine of a multi-frame dose grid from its first plane and GridFrameOffsetVector.

    Two conventions exist (PS3.3 C.8.8.3.2): offsets from the first plane along the normal,
    beginning with 0, or, for axial planes only, the patient's z of every plane.
    """
    plane.check()
    values = np.asarray(offsets, dtype=np.float64)
    if values.size < 2:
        raise InputError("the dose grid has one plane only, which is no volume")
    if not np.isfinite(values).all():
        raise InputError("GridFrameOffsetVector is not finite")
    steps = np.diff(values)
    usual = float(steps.mean())
    if abs(usual) < SAME_POSITION_MM or _unevenness(values) > _allowed(usual):
        raise InputError(
            f"the planes of the dose grid are uneven ({steps.min():.3f} to {steps.max():.3f} mm)"
        )
    relative = abs(values[0]) < SAME_POSITION_MM
    absolute = abs(values[0] - plane.position[2]) < SAME_POSITION_MM
    axial = abs(abs(plane.normal[2]) - 1) < COSINE_TOLERANCE
    if relative and absolute and axial and plane.normal[2] < 0:
        raise InputError(
            "GridFrameOffsetVector can be read in two ways (it begins with 0, the first plane "
            "lies at z = 0 and the normal points to the feet)"
        )
    if relative:
        return plane.affine(usual * plane.normal)
    if absolute and axial:
        return plane.affine(np.array([0.0, 0.0, usual]))
    raise InputError(
        f"GridFrameOffsetVector begins with {values[0]:g}: neither 0 nor the z of the first plane"
    )


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
