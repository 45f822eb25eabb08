"""RTSTRUCT to masks on a grid, RTPLAN to prescription."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from isohash.dosimetry.structures import rasterise
from isohash.errors import InputError
from isohash.records import Volume
from isohash.sources.dicom_scan import Instance, numbers, read_dataset, value

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
MAX_POINTS = 1 << 24
STRUCTURE_TAGS = ["StructureSetROISequence", "ROIContourSequence"]
PLAN_TAGS = ["DoseReferenceSequence", "FractionGroupSequence", "PrescriptionDescription"]


def read_structures(
    file: Instance, grid: Volume, frame_uid: str, warnings: list[str]
) -> dict[str, Volume]:
    """Masks by name on `grid`; what is empty, open or elsewhere leaves a warning."""
    dataset = read_dataset(
        file.path, specific_tags=["StructureSetROISequence", "ROIContourSequence"]
    )
    names = _names(dataset, frame_uid, warnings)
    shape = (grid.array.shape[0], grid.array.shape[1], grid.array.shape[2])
    structures: dict[str, Volume] = {}
    drawn = _drawn(dataset, names, warnings)
    step = _step(grid, [contour for contours in drawn.values() for contour in contours])
    for name, contours in drawn.items():
        try:
            result = rasterise(contours, grid.affine, shape, step)
        except InputError as error:
            warnings.append(f"structure {name} left out: {error}")
            continue
        warnings += [f"structure {name}: {note}" for note in result.notes]
        if result.mask.any():
            structures[name] = Volume(result.mask, grid.affine)
        else:
            warnings.append(f"structure {name} left out: it holds no voxel of the grid")
    return structures


def read_prescription(file: Instance) -> float | None:
    """Prescribed dose in Gy of the highest target, None if the plan does not say."""
    dataset = read_dataset(file.path, specific_tags=PLAN_TAGS)
    doses = [
        dose
        for reference in value(dataset, "DoseReferenceSequence") or ()
        if value(reference, "DoseReferenceType") == "TARGET"
        and (dose := _optional(reference, "TargetPrescriptionDose")) is not None
    ]
    return max((dose for dose in doses if dose > 0), default=None)


def _names(dataset: Dataset, frame_uid: str, warnings: list[str]) -> dict[int, str]:
    """ROI number -> name, of the ROIs in this frame of reference, made unique."""
    names: dict[int, str] = {}
    elsewhere = 0
    for item in value(dataset, "StructureSetROISequence") or ():
        number = _number(item, "ROINumber")
        frame = value(item, "ReferencedFrameOfReferenceUID")
        if not number:
            continue
        if frame is not None and str(frame) != frame_uid:
            elsewhere += 1
            continue
        name = str(value(item, "ROIName") or f"ROI {number}").strip()
        names[number] = name if name not in names.values() else f"{name} ({number})"
    if elsewhere:
        warnings.append(f"{elsewhere} structure(s) lie in another frame of reference, left out")
    return names


def _number(item: Dataset, keyword: str) -> int | None:
    found = value(item, keyword)
    try:
        return None if found is None else int(found)
    except (TypeError, ValueError):
        return None


def _optional(item: Dataset, keyword: str) -> float | None:
    try:
        return numbers(item, keyword, 1)[0]
    except InputError:
        return None


def _drawn(
    dataset: Dataset, names: dict[int, str], warnings: list[str]
) -> dict[str, list[NDArray[np.float64]]]:
    """Closed contours by name of structure."""
    drawn: dict[str, list[NDArray[np.float64]]] = {}
    for item in value(dataset, "ROIContourSequence") or ():
        name = names.get(_number(item, "ReferencedROINumber") or 0)
        if name is None:
            continue
        try:
            contours, notes = _contours(item)
        except InputError as error:
            warnings.append(f"structure {name} left out: {error}")
            continue
        warnings += [f"structure {name}: {note}" for note in notes]
        drawn[name] = contours
    return drawn


def _step(grid: Volume, contours: list[NDArray[np.float64]]) -> float | None:
    """The usual distance in mm between the planes of all contours, along the grid's slices."""
    along = grid.affine[:3, 0] / np.linalg.norm(grid.affine[:3, 0])
    levels = np.unique(
        np.round([float(points[0] @ along) for points in contours if len(points)], 2)
    )
    steps = np.diff(levels)
    return float(np.median(steps)) if steps.size else None


def _contours(item: Dataset) -> tuple[list[NDArray[np.float64]], list[str]]:
    contours, n_open = [], 0
    for contour in value(item, "ContourSequence") or ():
        kind = value(contour, "ContourGeometricType")
        if kind in CLOSED:
            contours.append(_points(contour))
        elif kind != "POINT":
            n_open += 1
    notes = [f"{n_open} contour(s) that are not closed left out"] if n_open else []
    return contours, notes


def _points(contour: Dataset) -> NDArray[np.float64]:
    data = numbers(contour, "ContourData")
    points = np.array(data)
    if len(data) % 3 or len(data) > 3 * MAX_POINTS or not np.isfinite(points).all():
        raise InputError("ContourData is not a list of finite points in three dimensions")
    return points.reshape(-1, 3)
