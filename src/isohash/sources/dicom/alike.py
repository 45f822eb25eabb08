"""Whether two files hold the same: the same pixels at the same place, the same contours or plan.

Archives hold copies under other names, planning systems give a new SOPInstanceUID at each export,
and two different objects may carry one UID. Sizes and dates tell none of these apart.
"""

from __future__ import annotations

import filecmp

import numpy as np
from pydicom.dataset import Dataset

from isohash.errors import InputError
from isohash.sources.dicom.elements import read_dataset
from isohash.sources.dicom.geometry import Plane
from isohash.sources.dicom.scan import Instance
from isohash.sources.dicom.volumes import read_dose, read_slices

SAME_MM = 0.01  # positions are text, rounded differently by different programs
SAME_DOSE = 1e-4  # of the highest dose: what 16 bits can tell apart, several times
OF_AN_EXPORT = (
    "SOPInstanceUID", "SeriesInstanceUID", "InstanceCreationDate", "InstanceCreationTime",
    "InstanceCreatorUID", "SpecificCharacterSet",
)  # fmt: skip


def alike(a: Instance, b: Instance) -> bool:
    """Whether two files of one kind hold the same, whatever their names, UIDs and bytes."""
    if a.size == b.size and filecmp.cmp(a.path, b.path, shallow=False):
        return True
    if a.kind != b.kind or not _same_place(a, b):
        return False
    try:
        if a.kind == "RTDOSE":
            return _same_dose(a, b)
        if a.kind == "CT":
            return np.array_equal(read_slices(a), read_slices(b))
        return _same_elements(read_dataset(a.path), read_dataset(b.path))
    except InputError:
        return False


def _same_place(a: Instance, b: Instance) -> bool:
    return len(a.planes) == len(b.planes) and all(map(_same_plane, a.planes, b.planes))


def _same_plane(a: Plane, b: Plane) -> bool:
    return (a.rows, a.columns) == (b.rows, b.columns) and all(
        np.allclose(one, other, rtol=0, atol=SAME_MM)
        for one, other in (
            (a.position, b.position),
            (a.spacing, b.spacing),
            (np.multiply(a.orientation, a.columns), np.multiply(b.orientation, b.columns)),
        )
    )


def _same_dose(a: Instance, b: Instance) -> bool:
    if (a.units, a.dose_type, a.summation) != (b.units, b.dose_type, b.summation):
        return False
    one, other = read_dose(a), read_dose(b)
    if one.array.shape != other.array.shape:
        return False
    within = SAME_DOSE * float(one.array.max())
    return np.allclose(one.affine, other.affine, rtol=0, atol=SAME_MM) and np.allclose(
        one.array, other.array, rtol=0, atol=within
    )


def _same_elements(a: Dataset, b: Dataset) -> bool:
    for dataset in (a, b):
        for keyword in OF_AN_EXPORT:
            dataset.pop(keyword, None)
    return bool(a == b)
