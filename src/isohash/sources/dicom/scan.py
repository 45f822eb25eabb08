"""Reads DICOM headers: what each file is, where it lies, and what it refers to.

Pixels are never touched here. What identifies a patient does not leave this module: the patient is
named by a pseudonym at once, and the records hold only geometry, dates of no person and the UIDs
needed to link files, which stay in memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from isohash.errors import InputError
from isohash.sources.dicom.elements import (
    frame_count,
    numbers,
    only,
    read_before_pixels,
    term,
    text,
    value,
    whole_number,
)
from isohash.sources.dicom.geometry import Plane
from isohash.sources.dicom.whole import cut_short, ends_before, pixels_cut_short
from isohash.sources.identity.pseudonyms import is_placeholder, pseudonym, shifted_date

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME_CT = (
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
    "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
)
RT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.481.5": "RTPLAN",
    "1.2.840.10008.5.1.4.1.1.481.8": "RTPLAN",  # RT Ion Plan
}
SLICE_MARK = b"\x08\x00\x16\x00UI\x1a\x00" + CT_STORAGE.encode() + b"\0"  # SOPClassUID, explicit
UNKNOWN_GROUP = -1  # of a beam that is not said to be of a fraction group
NO_CLASS = "neither CT nor dose, structures or plan"
FRACTION_GROUPS = 0x300A0070
PLAN_CUT = "cut short: it ends before its fraction groups"
MAX_FILE_BYTES = 1 << 31
TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality",
    "PatientID", "PatientName", "PatientBirthDate", "FrameOfReferenceUID",
    "ImageType", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows",
    "Columns", "NumberOfFrames", "DoseSummationType", "DoseType", "DoseUnits",
    "ReferencedRTPlanSequence", "ReferencedStructureSetSequence", "ReferencedDoseSequence",
    "ReferencedFrameOfReferenceSequence", "StructureSetDate", "StructureSetTime", "RTPlanDate",
    "RTPlanTime", "InstanceCreationDate", "InstanceCreationTime", "AcquisitionDate", "SeriesDate",
    "StudyDate", "BurnedInAnnotation", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


@dataclass(frozen=True)
class Instance:
    """One DICOM file, by its header.

    `patient` is empty if the file names nobody. `person` is a pseudonym of the name alone: files
    that lack the patient's number may still have it.
    """

    path: Path
    size: int
    mtime_ns: int
    kind: str  # CT, RTDOSE, RTSTRUCT or RTPLAN
    sop_uid: str
    study_uid: str
    series_uid: str
    frame_uid: str
    patient: str
    planes: tuple[Plane, ...] = ()  # one per frame of a CT; the first of a dose grid
    day: str = ""  # of imaging or planning, shifted: not the real one
    when: str = ""  # shifted date and time of making, to tell the newer of two
    refers_to: frozenset[str] = frozenset()  # UIDs of RT objects, frames and series
    images: frozenset[str] = frozenset()  # UIDs of the slices that structures were drawn on
    plan_uid: str = ""  # the plan that a dose is of
    summation: str = ""
    dose_type: str = ""
    units: str = ""
    # What a dose is of: numbers of fraction groups; of beams, and of application setups of
    # brachytherapy, each with the number of its group.
    groups: frozenset[int] = frozenset()
    beams: frozenset[tuple[int, int]] = frozenset()
    setups: frozenset[tuple[int, int]] = frozenset()
    person: str = ""
    numbered: bool = True  # whether the patient is known by a number
    broken: str = ""  # why the file cannot be used: it is not whole, or a dose without a place


class OfAnotherKind(InputError):
    """A file that is of no use here, whether or not it is whole."""


def read_header(file: Path, key: bytes) -> Instance:
    """The header of one file; InputError says why it is of no use here, naming no content."""
    status = file.stat()
    if status.st_size > MAX_FILE_BYTES:
        raise OfAnotherKind(f"larger than {MAX_FILE_BYTES >> 30} GiB")
    try:
        return _instance(file, status, key)
    except OfAnotherKind:
        raise
    except InputError as error:
        why = cut_short(file)
        raise InputError(f"{why}; copy or export it again" if why else str(error)) from error


def _instance(file: Path, status: os.stat_result, key: bytes) -> Instance:
    dataset, pixels_at = read_before_pixels(file, _tags)
    kind = _kind(dataset)
    patient = patient_of(dataset, key)
    planes, misplaced = _planes(dataset, kind)
    return Instance(
        path=file,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        kind=kind,
        sop_uid=text(dataset, "SOPInstanceUID", required=True),
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID", required=True),
        frame_uid=text(dataset, "FrameOfReferenceUID"),
        patient=patient,
        planes=planes,
        day=_day(dataset, kind, key, patient),
        person=_person(dataset, key),
        numbered=not is_placeholder(text(dataset, "PatientID")),
        broken=_cut(file, kind, status.st_size, pixels_at) or misplaced,
        **({} if kind == "CT" else _of_plan(dataset, key, patient)),
    )


def _cut(file: Path, kind: str, size: int, pixels_at: int) -> str:
    """Why a file whose header can be read is not whole.

    Of an image only the pixels are followed to their end: the elements before them were read. A
    plan has elements behind its fraction groups, be it only those of the beams or the approval.
    """
    if kind == "RTPLAN":
        return cut_short(file) or (PLAN_CUT if ends_before(file, FRACTION_GROUPS) else "")
    if kind not in ("CT", "RTDOSE"):
        return cut_short(file)
    return "has no pixels" if pixels_at >= size else pixels_cut_short(file, pixels_at)


def _of_plan(dataset: Dataset, key: bytes, patient: str) -> dict[str, Any]:
    """Fields of the objects of planning, which slices lack."""
    return {
        "when": _when(dataset, key, patient),
        "refers_to": frozenset(_references(dataset)),
        "images": frozenset(_images(dataset)),
        "plan_uid": next(_referenced(dataset, "RTPlan"), ""),
        "summation": term(dataset, "DoseSummationType"),
        "dose_type": term(dataset, "DoseType"),
        "units": term(dataset, "DoseUnits"),
        "groups": frozenset(_group_numbers(dataset)),
        "beams": frozenset(_numbers(dataset, "ReferencedBeam")),
        "setups": frozenset(_numbers(dataset, "ReferencedBrachyApplicationSetup")),
    }


def plane_of(dataset: Dataset) -> Plane:
    """The geometry of an image; InputError names the element that is missing or senseless."""
    x, y, z = numbers(dataset, "ImagePositionPatient", 3)
    a, b, c, d, e, f = numbers(dataset, "ImageOrientationPatient", 6)
    row_mm, column_mm = numbers(dataset, "PixelSpacing", 2)
    (rows,), (columns,) = numbers(dataset, "Rows", 1), numbers(dataset, "Columns", 1)
    plane = Plane((x, y, z), (a, b, c, d, e, f), (row_mm, column_mm), int(rows), int(columns))
    plane.check()
    return plane


def frame_planes(dataset: Dataset) -> tuple[Plane, ...]:
    """The geometry of every frame of a multi-frame image (PS3.3 C.7.6.16)."""
    (rows,), (columns,) = numbers(dataset, "Rows", 1), numbers(dataset, "Columns", 1)
    planes = []
    for group in frame_groups(dataset):
        x, y, z = numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3)
        turn = numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
        row_mm, column_mm = numbers(group("PixelMeasuresSequence"), "PixelSpacing", 2)
        a, b, c, d, e, f = turn
        plane = Plane((x, y, z), (a, b, c, d, e, f), (row_mm, column_mm), int(rows), int(columns))
        plane.check()
        planes.append(plane)
    return tuple(planes)


def frame_groups(dataset: Dataset) -> Iterator[Callable[[str], Dataset]]:
    """For each frame a function from the name of a functional group to its item.

    A group is looked for in the frame's own items, then in those that all frames share.
    """
    (shared,) = value(dataset, "SharedFunctionalGroupsSequence") or (Dataset(),)
    frames = value(dataset, "PerFrameFunctionalGroupsSequence") or ()
    if len(frames) != frame_count(dataset):
        raise InputError(f"{len(frames)} functional groups, not one for each frame")
    for frame in frames:

        def group(name: str, frame: Dataset = frame) -> Dataset:
            items = value(frame, name) or value(shared, name) or (Dataset(),)
            return items[0]

        yield group


_header_tags = only(TAGS)


def _tags(head: bytes) -> list[BaseTag] | None:
    """A slice has few elements: to read them all is quicker than to choose."""
    return None if SLICE_MARK in head else _header_tags(head)


def _kind(dataset: Dataset) -> str:
    sop_class = text(dataset, "SOPClassUID")
    if sop_class in RT_CLASSES:
        return RT_CLASSES[sop_class]
    if not sop_class and not len(dataset):
        raise InputError("cut short: it ends before its first element")
    if sop_class not in (CT_STORAGE, *MULTI_FRAME_CT):
        name = pydicom.uid.UID(sop_class).name if sop_class else ""
        if not name or name == sop_class:
            raise InputError(f"{NO_CLASS} (no known storage class)")
        raise OfAnotherKind(f"{NO_CLASS} ({name})")
    if "LOCALIZER" in text(dataset, "ImageType").upper():
        raise OfAnotherKind("a scout image (localizer)")
    if text(dataset, "BurnedInAnnotation") == "YES":
        raise OfAnotherKind("has text drawn into its pixels (BurnedInAnnotation), perhaps a name")
    return "CT"


def patient_of(dataset: Dataset, key: bytes) -> str:
    """The pseudonym: of the patient's number if there is one, else of name and date of birth.

    Not of the number's issuer: archives add it to images, planning systems drop it.
    """
    if not is_placeholder(number := text(dataset, "PatientID")):
        return pseudonym(key, "patient", number)
    if not is_placeholder(name := text(dataset, "PatientName")):
        return pseudonym(key, "patient", "named", name, text(dataset, "PatientBirthDate"))
    return ""


def _person(dataset: Dataset, key: bytes) -> str:
    """A pseudonym of the name, however its parts are ordered and parted; empty if there is none."""
    if is_placeholder(name := text(dataset, "PatientName")):
        return ""
    words = sorted(re.findall(r"[^\W_]+", name.casefold()))
    return pseudonym(key, "patient", "words", *words) if words else ""


def _planes(dataset: Dataset, kind: str) -> tuple[tuple[Plane, ...], str]:
    """The geometry of an image; of a dose that tells none, why not: its CT is told of it."""
    if kind == "CT" and text(dataset, "SOPClassUID") in MULTI_FRAME_CT:
        return frame_planes(dataset), ""
    if kind == "CT":
        return (plane_of(dataset),), ""
    if kind != "RTDOSE":
        return (), ""
    try:
        return (plane_of(dataset),), ""
    except InputError as error:
        return (), str(error)


def _day(dataset: Dataset, kind: str, key: bytes, patient: str) -> str:
    own = {"RTPLAN": "RTPlanDate", "RTSTRUCT": "StructureSetDate"}.get(kind, "AcquisitionDate")
    for keyword in (own, "SeriesDate", "StudyDate"):
        if day := shifted_date(key, patient, text(dataset, keyword)):
            return day
    return ""


def _when(dataset: Dataset, key: bytes, patient: str) -> str:
    for prefix in ("StructureSet", "RTPlan", "InstanceCreation"):
        if day := shifted_date(key, patient, text(dataset, f"{prefix}Date")):
            return f"{day} {text(dataset, f'{prefix}Time')}"
    return ""


def _references(dataset: Dataset) -> Iterator[str]:
    """UIDs of the plans, structure sets, doses and series of images that an object refers to."""
    for keyword in ("RTPlan", "StructureSet", "Dose"):
        yield from _referenced(dataset, keyword)
    for frame in value(dataset, "ReferencedFrameOfReferenceSequence") or ():
        yield text(frame, "FrameOfReferenceUID")
    for series in _referenced_series(dataset):
        yield text(series, "SeriesInstanceUID")


def _referenced(dataset: Dataset, what: str) -> Iterator[str]:
    for item in value(dataset, f"Referenced{what}Sequence") or ():
        yield text(item, "ReferencedSOPInstanceUID")


def _groups(dataset: Dataset) -> Iterator[Dataset]:
    """The fraction groups that a dose is of."""
    for plan in value(dataset, "ReferencedRTPlanSequence") or ():
        yield from value(plan, "ReferencedFractionGroupSequence") or ()


def _group_numbers(dataset: Dataset) -> Iterator[int]:
    for group in _groups(dataset):
        if (number := whole_number(group, "ReferencedFractionGroupNumber")) is not None:
            yield number


def _numbers(dataset: Dataset, what: str) -> Iterator[tuple[int, int]]:
    """Group and number of the beams or setups that a dose is of."""
    for group in _groups(dataset):
        of_group = whole_number(group, "ReferencedFractionGroupNumber")
        for item in value(group, f"{what}Sequence") or ():
            if (number := whole_number(item, f"{what}Number")) is not None:
                yield UNKNOWN_GROUP if of_group is None else of_group, number


def _images(dataset: Dataset) -> Iterator[str]:
    for series in _referenced_series(dataset):
        for image in value(series, "ContourImageSequence") or ():
            yield text(image, "ReferencedSOPInstanceUID")


def _referenced_series(dataset: Dataset) -> Iterator[Dataset]:
    for frame in value(dataset, "ReferencedFrameOfReferenceSequence") or ():
        for study in value(frame, "RTReferencedStudySequence") or ():
            yield from value(study, "RTReferencedSeriesSequence") or ()
