"""RTSTRUCT to masks on a grid."""

from __future__ import annotations

from collections.abc import Sequence
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
from isohash.sources.identity.naming import Naming, Typed
from isohash.sources.identity.personal import personal

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
OFF_SLICE = 0.05  # slices: contours further from a slice than this were drawn on another CT
MAX_POINTS = 1 << 24

Contours = list[NDArray[np.float64]]  # each (n, 3) in mm


@dataclass(frozen=True)
class TypedNames:
    """How the names in a structure set become those of case `case`.

    `headers` are of other files of the case, which may name a person that this one does not.
    """

    naming: Naming
    case: str
    headers: Sequence[Dataset] = ()

    def names(self, dataset: Dataset, typed: Sequence[Typed]) -> list[str]:
        """The names under which the structures of the set are known from here on."""
        return self.naming.names(self.case, typed, personal([dataset, *self.headers]))


def read_structures(
    file: Instance,
    grid: Volume,
    frame_uid: str | None,
    typed: TypedNames,
    warnings: list[str],
    ladder: Ladder | None = None,
) -> dict[str, Volume]:
    """Masks by name on `grid`; what is empty, open or elsewhere leaves a warning.

    What the file calls them goes to `typed`, which gives the names to use here and beyond.

    `ladder` is given where `grid` was resampled from uneven planes: contours are then drawn on
    those planes, and the shares inside are resampled like the CT.
    With `frame_uid` None the frame of reference cannot be compared; then every contour must lie in
    a slice of the grid, within its borders, or all structures are left out.
    """
    dataset = read_dataset(file.path)
    drawn = _drawn(dataset, _names(dataset, frame_uid, typed, warnings), warnings)
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


def _names(
    dataset: Dataset, frame_uid: str | None, typed: TypedNames, warnings: list[str]
) -> dict[int, str]:
    """ROI number -> name, of the ROIs in this frame of reference."""
    found: dict[int, Typed] = {}
    elsewhere, interpreted = 0, _interpreted(dataset)
    for item in value(dataset, "StructureSetROISequence") or ():
        number = whole_number(item, "ROINumber")
        frame = value(item, "ReferencedFrameOfReferenceUID")
        if number is None:
            continue
        if None not in (frame, frame_uid) and str(frame) != frame_uid:
            elsewhere += 1
            continue
        name = str(value(item, "ROIName") or "")
        found[number] = Typed(name, number, interpreted.get(number, ""))
    if elsewhere:
        warnings.append(f"{elsewhere} structure(s) lie in another frame of reference, left out")
    return dict(zip(found, typed.names(dataset, list(found.values())), strict=True))


def typed_structures(dataset: Dataset) -> list[Typed]:
    """What a structure set calls its structures."""
    types = _interpreted(dataset)
    return [
        Typed(str(value(item, "ROIName") or ""), number, types.get(number or 0, ""))
        for item in value(dataset, "StructureSetROISequence") or ()
        for number in (whole_number(item, "ROINumber"),)
    ]


def _interpreted(dataset: Dataset) -> dict[int, str]:
    """ROI number -> what the planning system says that the structure is."""
    types: dict[int, str] = {}
    for item in value(dataset, "RTROIObservationsSequence") or ():
        if (number := whole_number(item, "ReferencedROINumber")) is not None:
            types.setdefault(number, str(value(item, "RTROIInterpretedType") or ""))
    return types


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
