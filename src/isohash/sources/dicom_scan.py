"""Reads DICOM headers: what each file is, where it lies, and what it refers to.

Pixels are never touched here. What identifies a patient does not leave this module: the patient is
named by a pseudonym at once, and the records hold only geometry, dates of no person and the UIDs
needed to link files, which stay in memory.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.tag import BaseTag, Tag

from isohash.errors import InputError
from isohash.sources.dicom_geometry import Plane
from isohash.sources.identity import is_placeholder, pseudonym, shifted_date

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
DEFLATED = b"1.2.840.10008.1.2.1.99"  # may expand without bound before anything can be checked
PLAIN = ("CS", "DA", "DS", "IS", "LO", "TM", "UI")  # text that needs no character set if ASCII
SLICE_MARK = b"\x08\x00\x16\x00UI\x1a\x00" + CT_STORAGE.encode() + b"\0"  # SOPClassUID, explicit
META_GROUP = b"\x02\x00"  # of the elements before the data set, which name its transfer syntax
SYNTAX_TAG = b"\x02\x00\x10\x00UI"
MAX_FILE_BYTES = 1 << 31
TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality",
    "PatientID", "PatientName", "PatientBirthDate", "FrameOfReferenceUID",
    "ImageType", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows",
    "Columns", "NumberOfFrames", "DoseSummationType", "DoseType", "DoseUnits",
    "ReferencedRTPlanSequence", "ReferencedStructureSetSequence", "ReferencedDoseSequence",
    "ReferencedFrameOfReferenceSequence", "StructureSetDate", "StructureSetTime", "RTPlanDate",
    "RTPlanTime", "InstanceCreationDate", "InstanceCreationTime", "AcquisitionDate", "SeriesDate",
    "StudyDate", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


@dataclass(frozen=True)
class Instance:
    """One DICOM file, by its header. `patient` is empty if the file names nobody."""

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
    summation: str = ""
    dose_type: str = ""
    units: str = ""
    beams: frozenset[int] = frozenset()  # numbers of the beams that a BEAM dose is of


@contextmanager
def quietly() -> Iterator[None]:
    """Silence pydicom, which repeats values in its warnings and its log.

    Deviations that matter are checked and reported by us.
    """
    log = logging.getLogger("pydicom")
    was = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = was


def read_header(file: Path, key: bytes) -> Instance:
    """The header of one file; InputError says why it is of no use here, naming no content."""
    status = file.stat()
    if status.st_size > MAX_FILE_BYTES:
        raise InputError(f"larger than {MAX_FILE_BYTES >> 30} GiB")
    dataset = read_dataset(file, specific_tags=_tags, stop_before_pixels=True)
    kind = _kind(dataset)
    patient = _patient(dataset, key)
    return Instance(
        path=file,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        kind=kind,
        sop_uid=_text(dataset, "SOPInstanceUID", required=True),
        study_uid=_text(dataset, "StudyInstanceUID"),
        series_uid=_text(dataset, "SeriesInstanceUID", required=True),
        frame_uid=_text(dataset, "FrameOfReferenceUID"),
        patient=patient,
        planes=_planes(dataset, kind),
        day=_day(dataset, kind, key, patient),
        **({} if kind == "CT" else _of_plan(dataset, key, patient)),
    )


def _of_plan(dataset: Dataset, key: bytes, patient: str) -> dict[str, Any]:
    """Fields of the objects of planning, which slices lack."""
    return {
        "when": _when(dataset, key, patient),
        "refers_to": frozenset(_references(dataset)),
        "images": frozenset(_images(dataset)),
        "summation": _text(dataset, "DoseSummationType"),
        "dose_type": _text(dataset, "DoseType"),
        "units": _text(dataset, "DoseUnits"),
        "beams": frozenset(_beams(dataset)),
    }


def read_dataset(
    file: Path,
    specific_tags: Callable[[bytes], list[BaseTag] | None] = lambda head: None,
    stop_before_pixels: bool = False,
) -> FileDataset:
    """Read a DICOM file; every way of failing is one InputError without content of the file.

    `specific_tags` chooses the elements to read, None for all, by the first bytes of the file.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(4096)
            _check_syntax(head)
            stream.seek(0)
            return pydicom.dcmread(
                stream,
                force=True,
                specific_tags=specific_tags(head),
                stop_before_pixels=stop_before_pixels,
            )
    except InputError:
        raise
    except InvalidDicomError as error:
        raise InputError("not a DICOM file") from error
    except RecursionError as error:
        raise InputError("sequences nested too deep") from error
    except MemoryError as error:
        raise InputError("declares more data than memory holds") from error
    except Exception as error:
        raise InputError(f"damaged DICOM ({type(error).__name__})") from error


def _check_syntax(head: bytes) -> None:
    """Refuse what may expand without bound, or hides whether it does."""
    if DEFLATED in head:
        raise InputError("deflated transfer syntax, which may expand without bound")
    meta = head[132:] if head[128:132] == b"DICM" else head
    if meta[:2] == META_GROUP and SYNTAX_TAG not in head:
        raise InputError("names no transfer syntax in its first 4096 bytes")


def value(dataset: Dataset, keyword: str) -> Any:
    """A value by keyword, None if absent, empty or not to be converted."""
    try:
        tag = _tag(keyword)
        found = dataset[tag].value if tag in dataset else None
    except Exception:  # noqa: BLE001 - conversion of arbitrary bytes
        return None
    return None if found is None or found == "" else found


def numbers(dataset: Dataset, keyword: str, count: int | None = None) -> tuple[float, ...]:
    """Numbers by keyword; InputError if absent, not numbers or not `count` of them."""
    text = _plain_text(dataset, keyword)
    found: Any
    if text is not None:
        found = text.split("\\")
    elif (short := _short(dataset, keyword)) is not None:
        found = short
    else:
        found = value(dataset, keyword)
    try:
        values = tuple(float(item) for item in ([found] if _is_scalar(found) else found))
    except (TypeError, ValueError) as error:
        raise InputError(f"{keyword} is missing or not a number") from error
    if count is not None and len(values) != count:
        raise InputError(f"{keyword} must have {count} value(s), got {len(values)}")
    return values


def whole_number(item: Dataset, keyword: str) -> int | None:
    """An integer by keyword, None if absent or not a number."""
    found = value(item, keyword)
    try:
        return None if found is None else int(found)
    except (TypeError, ValueError):
        return None


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
    if len(frames) != (value(dataset, "NumberOfFrames") or 1):
        raise InputError(f"{len(frames)} functional groups, not one for each frame")
    for frame in frames:

        def group(name: str, frame: Dataset = frame) -> Dataset:
            items = value(frame, name) or value(shared, name) or (Dataset(),)
            return items[0]

        yield group


@cache
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def only(keywords: Sequence[str]) -> Callable[[bytes], list[BaseTag]]:
    """Reads these elements whatever the file is."""
    tags = [Tag(keyword) for keyword in keywords]
    return lambda head: tags


_header_tags = only(TAGS)


def _tags(head: bytes) -> list[BaseTag] | None:
    """A slice has few elements: to read them all is quicker than to choose."""
    return None if SLICE_MARK in head else _header_tags(head)


def _plain_text(dataset: Dataset, keyword: str) -> str | None:
    """Text of an element as it lies in the file, which spares the parser most of its time.

    None if that will not do: the element is absent, empty, no text, or not ASCII.
    """
    tag = _tag(keyword)
    raw = dataset.get_item(tag) if tag in dataset else None
    if not isinstance(raw, RawDataElement) or raw.VR not in PLAIN or not raw.value:
        return None
    try:
        return raw.value.decode("ascii").strip(" \0") or None
    except UnicodeDecodeError:
        return None


def _short(dataset: Dataset, keyword: str) -> int | None:
    """An unsigned number of 16 bits as it lies in the file, None if it is something else."""
    tag = _tag(keyword)
    raw = dataset.get_item(tag) if tag in dataset else None
    if isinstance(raw, RawDataElement) and raw.VR == "US" and raw.value and len(raw.value) == 2:
        return int.from_bytes(raw.value, "little" if raw.is_little_endian else "big")
    return None


def _is_scalar(found: Any) -> bool:
    return isinstance(found, int | float | str)


def _kind(dataset: Dataset) -> str:
    sop_class = _text(dataset, "SOPClassUID")
    if sop_class in RT_CLASSES:
        return RT_CLASSES[sop_class]
    if sop_class not in (CT_STORAGE, *MULTI_FRAME_CT):
        name = pydicom.uid.UID(sop_class).name if sop_class else ""
        known = name if name and name != sop_class else "no known storage class"
        raise InputError(f"neither CT nor dose, structures or plan ({known})")
    if "LOCALIZER" in _text(dataset, "ImageType").upper():
        raise InputError("a scout image (localizer)")
    return "CT"


def _text(dataset: Dataset, keyword: str, required: bool = False) -> str:
    found = (
        plain if (plain := _plain_text(dataset, keyword)) is not None else value(dataset, keyword)
    )
    if found is None and required:
        raise InputError(f"{keyword} is missing")
    return "" if found is None else str(found).strip()


def _patient(dataset: Dataset, key: bytes) -> str:
    """The pseudonym: of the patient's number if there is one, else of name and date of birth.

    Not of the number's issuer: archives add it to images, planning systems drop it.
    """
    if not is_placeholder(number := _text(dataset, "PatientID")):
        return pseudonym(key, "patient", number)
    if not is_placeholder(name := _text(dataset, "PatientName")):
        return pseudonym(key, "patient", "named", name, _text(dataset, "PatientBirthDate"))
    return ""


def _planes(dataset: Dataset, kind: str) -> tuple[Plane, ...]:
    if kind not in ("CT", "RTDOSE"):
        return ()
    if kind == "CT" and _text(dataset, "SOPClassUID") in MULTI_FRAME_CT:
        return frame_planes(dataset)
    return (plane_of(dataset),)


def _day(dataset: Dataset, kind: str, key: bytes, patient: str) -> str:
    own = {"RTPLAN": "RTPlanDate", "RTSTRUCT": "StructureSetDate"}.get(kind, "AcquisitionDate")
    for keyword in (own, "SeriesDate", "StudyDate"):
        if day := shifted_date(key, patient, _text(dataset, keyword)):
            return day
    return ""


def _when(dataset: Dataset, key: bytes, patient: str) -> str:
    for prefix in ("StructureSet", "RTPlan", "InstanceCreation"):
        if day := shifted_date(key, patient, _text(dataset, f"{prefix}Date")):
            return f"{day} {_text(dataset, f'{prefix}Time')}"
    return ""


def _references(dataset: Dataset) -> Iterator[str]:
    """UIDs of the plans, structure sets, doses and series of images that an object refers to."""
    for keyword in ("RTPlan", "StructureSet", "Dose"):
        for item in value(dataset, f"Referenced{keyword}Sequence") or ():
            yield _text(item, "ReferencedSOPInstanceUID")
    for frame in value(dataset, "ReferencedFrameOfReferenceSequence") or ():
        yield _text(frame, "FrameOfReferenceUID")
    for series in _referenced_series(dataset):
        yield _text(series, "SeriesInstanceUID")


def _beams(dataset: Dataset) -> Iterator[int]:
    for plan in value(dataset, "ReferencedRTPlanSequence") or ():
        for group in value(plan, "ReferencedFractionGroupSequence") or ():
            for beam in value(group, "ReferencedBeamSequence") or ():
                if (number := whole_number(beam, "ReferencedBeamNumber")) is not None:
                    yield number


def _images(dataset: Dataset) -> Iterator[str]:
    for series in _referenced_series(dataset):
        for image in value(series, "ContourImageSequence") or ():
            yield _text(image, "ReferencedSOPInstanceUID")


def _referenced_series(dataset: Dataset) -> Iterator[Dataset]:
    for frame in value(dataset, "ReferencedFrameOfReferenceSequence") or ():
        for study in value(frame, "RTReferencedStudySequence") or ():
            yield from value(study, "RTReferencedSeriesSequence") or ()
