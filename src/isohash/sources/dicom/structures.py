"""RTSTRUCT to masks on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from isohash.dosimetry.structures import Rasterised, rasterise
from isohash.errors import InputError
from isohash.records import Volume
from isohash.sources.dicom.elements import numbers, read_dataset, value, whole_number
from isohash.sources.dicom.geometry import Ladder, canonical
from isohash.sources.dicom.packed import PackedMask
from isohash.sources.dicom.scan import Instance
from isohash.sources.identity.phi import names_somebody, personal_words, without_person

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
OFF_SLICE = 0.05  # slices: contours further from a slice than this were drawn on another CT
MAX_POINTS = 1 << 24

Contours = list[NDArray[np.float64]]  # each (n, 3) in mm


def read_structures(
    file: Instance,
    grid: Volume,
    frame_uid: str | None,
    warnings: list[str],
    ladder: Ladder | None = None,
) -> dict[str, Volume]:
    """Masks by name on `grid`; what is empty, open or elsewhere leaves a warning.

    `ladder` is given where `grid` was resampled from uneven planes: contours are then drawn on
    those planes, and the shares inside are resampled like the CT.
    With `frame_uid` None the frame of reference cannot be compared; then every contour must lie in
    a slice of the grid, within its borders, or all structures are left out.
    """
    dataset = read_dataset(file.path)
    drawn = _drawn(dataset, _names(dataset, frame_uid, warnings), warnings)
    canvas = _Canvas.of(grid, ladder)
    drawn = {name: [canvas.place(c) for c in contours] for name, contours in drawn.items()}
    every = [contour for contours in drawn.values() for contour in contours]
    if frame_uid is None and not canvas.holds(every):
        warnings.append("structures left out: their contours do not lie in the slices of the CT")
        return {}
    step = canvas.step(every)
    structures: dict[str, Volume] = {}
    for name, contours in drawn.items():
        try:
            result = rasterise(contours, canvas.affine, canvas.shape, step)
        except InputError as error:
            warnings.append(f"structure {name} left out: {error}")
            continue
        warnings += [f"structure {name}: {note}" for note in result.notes]
        mask = canvas.mask(result)
        if mask.any():
            structures[name] = PackedMask.of(mask, grid.affine)
        else:
            warnings.append(f"structure {name} left out: it holds no voxel of the grid")
    return structures


def _names(dataset: Dataset, frame_uid: str | None, warnings: list[str]) -> dict[int, str]:
    """ROI number -> name, of the ROIs in this frame of reference, made unique."""
    names: dict[int, str] = {}
    elsewhere, personal = 0, personal_words(dataset)
    for item in value(dataset, "StructureSetROISequence") or ():
        number = whole_number(item, "ROINumber")
        frame = value(item, "ReferencedFrameOfReferenceUID")
        if number is None:
            continue
        if None not in (frame, frame_uid) and str(frame) != frame_uid:
            elsewhere += 1
            continue
        name = _harmless(str(value(item, "ROIName") or ""), number, personal, warnings)
        names[number] = name if name not in names.values() else f"{name} ({number})"
    if elsewhere:
        warnings.append(f"{elsewhere} structure(s) lie in another frame of reference, left out")
    return names


def _harmless(name: str, number: int, personal: set[str], warnings: list[str]) -> str:
    """The name without control characters, or a number in its place if it names a person."""
    name = "".join(letter for letter in name if letter.isprintable()).strip()[:64]
    if names_somebody(name, personal):
        warnings.append(f"structure {number}: its name held identity and was replaced")
        return without_person(name, personal) or f"ROI {number}"
    return name or f"ROI {number}"


def _drawn(dataset: Dataset, names: dict[int, str], warnings: list[str]) -> dict[str, Contours]:
    """Closed contours by name of structure."""
    drawn: dict[str, Contours] = {}
    for item in value(dataset, "ROIContourSequence") or ():
        number = whole_number(item, "ReferencedROINumber")
        if number is None or number not in names:
            continue
        name = names[number]
        try:
            contours, n_open = _contours(item)
        except InputError as error:
            warnings.append(f"structure {name} left out: {error}")
            continue
        if n_open:
            warnings.append(f"structure {name}: {n_open} contour(s) that are not closed left out")
        drawn[name] = contours
    return drawn


def _contours(item: Dataset) -> tuple[Contours, int]:
    """The closed contours of one ROI, and how many open ones it has."""
    contours: Contours = []
    n_open = 0
    for contour in value(item, "ContourSequence") or ():
        kind = value(contour, "ContourGeometricType")
        if kind in CLOSED:
            contours.append(_points(contour))
        elif kind != "POINT":
            n_open += 1
    return contours, n_open


def _points(contour: Dataset) -> NDArray[np.float64]:
    data = numbers(contour, "ContourData")
    points = np.array(data)
    if len(data) % 3 or len(data) > 3 * MAX_POINTS or not np.isfinite(points).all():
        raise InputError("ContourData is not a list of finite points in three dimensions")
    return points.reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class _Canvas:
    """What contours are drawn on: the grid itself, or the uneven planes it was resampled from."""

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    ladder: Ladder | None = None

    @classmethod
    def of(cls, grid: Volume, ladder: Ladder | None) -> _Canvas:
        if ladder is None or ladder.levels is None:
            z, y, x = grid.array.shape
            return cls(grid.affine, (z, y, x))
        shape = (len(ladder.levels), ladder.first.rows, ladder.first.columns)
        return cls(ladder.affine, shape, ladder)

    def place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points where they lie on the canvas."""
        return points if self.ladder is None else self.ladder.straight(points)

    def mask(self, result: Rasterised) -> NDArray[np.bool_]:
        """The mask on the grid."""
        if self.ladder is None:
            return result.mask
        even = canonical(self.ladder.even(result.shares), self.ladder.affine)
        inside: NDArray[np.bool_] = even.array >= 0.5
        return inside

    def holds(self, contours: Contours) -> bool:
        """Whether every contour lies in a slice and within its borders."""
        to_index = np.linalg.inv(self.affine)
        for points in contours:
            at = points @ to_index[:3, :3].T + to_index[:3, 3]
            if np.abs(at[:, 0] - np.rint(at[:, 0])).max() > OFF_SLICE:
                return False
            if (at < -0.5).any() or (at > np.array(self.shape) - 0.5).any():
                return False
        return True

    def step(self, contours: Contours) -> float | None:
        """The usual distance in mm between the planes of all contours, along the slices."""
        along = self.affine[:3, 0] / np.linalg.norm(self.affine[:3, 0])
        levels = np.unique(np.round([float(points[0] @ along) for points in contours], 2))
        steps = np.diff(levels)
        return float(np.median(steps)) if steps.size else None
