"""Writes a case as DICOM: a CT series, RTSTRUCT, RTDOSE and RTPLAN in one frame of reference.

UIDs follow from the case's id, so the same case gives the same files, and the objects refer to each
other as a planning system's do. Outlines run along voxel borders and dose is stored in 32 bits:
reading the set back gives the CT and the masks exactly and the dose to within its quantum.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from isohash.errors import InputError
from isohash.records import Case, Volume
from isohash.sources.dicom.belonging import Belonging
from isohash.sources.dicom.outlines import outlines
from isohash.sources.dicom.scan import CT_STORAGE
from isohash.whole_files import OWNER_ONLY, private_folder

DOSE_STORAGE = "1.2.840.10008.5.1.4.1.1.481.2"
STRUCTURE_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
PLAN_STORAGE = "1.2.840.10008.5.1.4.1.1.481.5"
UID_ROOT = "2.25."  # UIDs made of a 128-bit number, PS3.5 B.2
DATE, TIME = "20000101", "120000"

# In which directions rows and columns of an axial image run for each patient position (LPS).
POSITIONS: Mapping[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "HFS": ((1, 0, 0), (0, 1, 0)),
    "HFP": ((-1, 0, 0), (0, -1, 0)),
    "HFDR": ((0, -1, 0), (1, 0, 0)),
    "HFDL": ((0, 1, 0), (-1, 0, 0)),
    "FFS": ((-1, 0, 0), (0, 1, 0)),
    "FFP": ((1, 0, 0), (0, -1, 0)),
    "FFDR": ((0, -1, 0), (-1, 0, 0)),
    "FFDL": ((0, 1, 0), (1, 0, 0)),
}


@dataclass(frozen=True)
class WriteOptions:
    """How a case is written; `identity` fills PatientName and PatientID (default: `patient`).

    With a `belonging` the objects are of its patient, study and frame of reference instead, and a
    plan of its structure set. `remark` describes series, dose and plan; `dose_name` tells several
    doses of one case apart.
    """

    position: str = "HFS"
    absolute_offsets: bool = False  # GridFrameOffsetVector as z of the planes instead of offsets
    dose_bits: int = 32
    identity: str = ""
    file_name: Callable[[str, int], str] = lambda kind, number: f"{kind}.{number:04d}.dcm"
    belonging: Belonging | None = None
    remark: str = ""
    dose_name: str = "dose"
    dose_type: str = "PHYSICAL"


def write_dicom(case: Case, folder: str | Path, options: WriteOptions | None = None) -> list[Path]:
    """Write the parts that the case has; returns the files, CT first.

    Example:
        >>> import isohash, tempfile
        >>> from isohash.sources.phantom import phantom_case
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = isohash.write_dicom(phantom_case(0, 0, shape=(8, 16, 16)), folder)
        >>> len(files)  # 8 slices of the CT, structures, plan and dose
        11
    """
    options = options or WriteOptions()
    if options.position not in POSITIONS:
        raise InputError(f"position must be one of {', '.join(POSITIONS)}, got {options.position}")
    if case.ct is None and case.dose is None:
        raise InputError(f"case {case.id} has neither CT nor dose to write")
    folder = Path(folder)
    private_folder(folder)
    writer = _Writer(case, folder, options)
    if case.ct is not None:
        writer.write_ct(case.ct)
    if case.structures:
        writer.write_structures()
    if case.dose is not None:
        if case.prescription_gy is not None:
            writer.write_plan(case.prescription_gy)
        writer.write_dose(case.dose)
    return writer.files


class _Writer:
    """Holds what the objects of one set share."""

    def __init__(self, case: Case, folder: Path, options: WriteOptions) -> None:
        self.case, self.folder, self.options = case, folder, options
        self.files: list[Path] = []
        self.slices: list[tuple[float, str]] = []  # z and UID of the CT slices

    def uid(self, *what: Any) -> str:
        """A UID that follows from the case and the thing it names, or the one to belong to."""
        if known := self._known_uid(what):
            return known
        text = "\0".join((self.case.patient, self.case.id, *map(str, what)))
        return UID_ROOT + str(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))

    def _known_uid(self, what: tuple[Any, ...]) -> str:
        given = self.options.belonging or Belonging()
        known = {
            ("frame",): given.frame_uid,
            ("study",): given.study_uid,
            ("instance", "structures", 0): given.structures_uid,
        }
        return known.get(what, "")

    def write_ct(self, ct: Volume) -> None:
        """One file per slice, signed 16-bit HU."""
        values = np.rint(ct.array)
        if np.abs(values - ct.array).max() > 1e-3 or values.min() < -32768 or values.max() > 32767:
            raise InputError(f"case {self.case.id}: CT is not whole HU of 16 bits")
        planes, affine = self._oriented(Volume(values.astype(np.int16), ct.affine))
        for k, pixels in enumerate(planes):
            dataset = self._dataset(CT_STORAGE, "CT", "ct", k)
            self._image(dataset, affine, k, pixels.shape)
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
            dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, 0, "HU"
            dataset.KVP, dataset.AcquisitionNumber, dataset.Laterality = None, None, ""
            dataset.PatientPosition = self.options.position
            dataset.InstanceNumber = k + 1
            self._pixels(dataset, pixels, bits=16, signed=True)
            self.slices.append((float(dataset.ImagePositionPatient[2]), dataset.SOPInstanceUID))
            self._save(dataset, "CT", k)

    def write_dose(self, dose: Volume) -> None:
        """One multi-frame grid, with the smallest quantum that the bits allow."""
        planes, affine = self._oriented(dose)
        if abs(affine[2, 3]) < 0.01:  # at z = 0 the two readings of the offsets could not be told
            planes = planes[::-1]
            affine[:3, 3] += (len(planes) - 1) * affine[:3, 0]
            affine[:3, 0] *= -1.0
        bits = self.options.dose_bits
        quantum = max(float(planes.max()), 1e-6) / (2**bits - 1)
        dataset = self._dataset(DOSE_STORAGE, "RTDOSE", self.options.dose_name, 0)
        if self.options.remark:
            dataset.DoseComment = self.options.remark
        self._image(dataset, affine, 0, planes.shape[1:])
        steps = affine[:3, 0] @ np.cross(affine[:3, 2], affine[:3, 1])
        steps = (
            steps / np.linalg.norm(np.cross(affine[:3, 2], affine[:3, 1])) * np.arange(len(planes))
        )
        if self.options.absolute_offsets:
            steps = affine[2, 3] + affine[2, 0] * np.arange(len(planes))
        dataset.InstanceNumber, dataset.NumberOfFrames = 1, len(planes)
        dataset.FrameIncrementPointer = 0x3004000C
        dataset.GridFrameOffsetVector = [_ds(step) for step in steps]
        dataset.DoseUnits, dataset.DoseType = "GY", self.options.dose_type
        dataset.DoseSummationType = "PLAN"
        dataset.DoseGridScaling = _ds(quantum)
        quantum = float(dataset.DoseGridScaling)
        stored = np.minimum(np.rint(planes.astype(np.float64) / quantum), 2**bits - 1)
        self._pixels(dataset, stored.astype(f"<u{bits // 8}"), bits=bits, signed=False)
        dataset.ReferencedRTPlanSequence = _refer(PLAN_STORAGE, self.uid("instance", "plan", 0))
        self._save(dataset, "RD", 0)

    def write_structures(self) -> None:
        """All masks as closed planar contours, referring to the CT slices."""
        dataset = self._dataset(STRUCTURE_STORAGE, "RTSTRUCT", "structures", 0)
        dataset.StructureSetLabel = "isohash"
        dataset.StructureSetDate, dataset.StructureSetTime = DATE, TIME
        dataset.ReferencedFrameOfReferenceSequence = Sequence([self._referenced_frame()])
        rois, contours, observations = [], [], []
        for number, (name, mask) in enumerate(self.case.structures.items(), start=1):
            roi = Dataset()
            roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, name[:64], ""
            roi.ReferencedFrameOfReferenceUID = self.uid("frame")
            rois.append(roi)
            contours.append(self._roi_contours(number, mask))
            observation = Dataset()
            observation.ObservationNumber = observation.ReferencedROINumber = number
            observation.RTROIInterpretedType = "PTV" if name.startswith("PTV") else "ORGAN"
            observation.ROIInterpreter = ""
            observations.append(observation)
        dataset.StructureSetROISequence = Sequence(rois)
        dataset.ROIContourSequence = Sequence(contours)
        dataset.RTROIObservationsSequence = Sequence(observations)
        self._save(dataset, "RS", 0)

    def write_plan(self, prescription_gy: float) -> None:
        """A plan without beams that holds the prescription and what the case's facts say."""
        dataset = self._dataset(PLAN_STORAGE, "RTPLAN", "plan", 0)
        dataset.RTPlanLabel = "isohash"
        if self.options.remark:
            dataset.RTPlanDescription = self.options.remark
        drawn = bool(self.case.structures or self._known_uid(("instance", "structures", 0)))
        dataset.RTPlanGeometry = "PATIENT" if drawn else "TREATMENT_DEVICE"
        dataset.RTPlanDate, dataset.RTPlanTime = DATE, TIME
        target = Dataset()
        target.DoseReferenceNumber, target.DoseReferenceStructureType = 1, "SITE"
        target.DoseReferenceType, target.TargetPrescriptionDose = "TARGET", _ds(prescription_gy)
        dataset.DoseReferenceSequence = Sequence([target])
        facts = self.case.facts
        if "n_fractions" in facts:
            group = Dataset()
            group.FractionGroupNumber, group.NumberOfFractionsPlanned = 1, facts["n_fractions"]
            group.NumberOfBeams = group.NumberOfBrachyApplicationSetups = 0
            dataset.FractionGroupSequence = Sequence([group])
        dataset.ApprovalStatus = facts.get("approval", "UNAPPROVED")
        if dataset.ApprovalStatus != "UNAPPROVED":
            dataset.ReviewDate, dataset.ReviewTime, dataset.ReviewerName = DATE, TIME, ""
        dataset.PlanIntent = facts.get("intent", "RESEARCH")
        if drawn:
            uid = self.uid("instance", "structures", 0)
            dataset.ReferencedStructureSetSequence = _refer(STRUCTURE_STORAGE, uid)
        self._save(dataset, "RP", 0)

    def _roi_contours(self, number: int, mask: Volume) -> Dataset:
        item = Dataset()
        item.ReferencedROINumber = number
        item.ROIDisplayColor = [(37 * number) % 256, (91 * number) % 256, (151 * number) % 256]
        contours = []
        for k in np.flatnonzero(mask.array.any(axis=(1, 2))):
            for outline in outlines(mask.array[k]):
                index = np.column_stack([np.full(len(outline), float(k)), outline])
                points = index @ mask.affine[:3, :3].T + mask.affine[:3, 3]
                contour = Dataset()
                contour.ContourGeometricType = "CLOSED_PLANAR"
                contour.NumberOfContourPoints = len(points)
                contour.ContourData = [f"{value:.4f}" for value in points.ravel().tolist()]
                if image := self._slice_at(float(points[0, 2])):
                    contour.ContourImageSequence = _refer(CT_STORAGE, image)
                contours.append(contour)
        if contours:
            item.ContourSequence = Sequence(contours)
        return item

    def _slice_at(self, z: float) -> str | None:
        return next((uid for at, uid in self.slices if abs(at - z) < 1e-3), None)

    def _referenced_frame(self) -> Dataset:
        frame, study, series = Dataset(), Dataset(), Dataset()
        frame.FrameOfReferenceUID = self.uid("frame")
        study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
        study.ReferencedSOPInstanceUID = self.uid("study")
        series.SeriesInstanceUID = self.uid("series", "ct")
        series.ContourImageSequence = Sequence(
            [_refer(CT_STORAGE, uid)[0] for _, uid in self.slices]
        )
        study.RTReferencedSeriesSequence = Sequence([series])
        if self.slices:
            frame.RTReferencedStudySequence = Sequence([study])
        return frame

    def _oriented(self, volume: Volume) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The volume with rows and columns running as the patient position asks."""
        row, column = POSITIONS[self.options.position]
        array, affine = volume.array, volume.affine.copy()
        directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        in_plane = [int(np.abs(np.array(want) @ directions).argmax()) for want in (column, row)]
        axes = [next(axis for axis in range(3) if axis not in in_plane), *in_plane]
        array, affine[:3, :3] = array.transpose(axes), affine[:3, axes]
        for axis, want in ((1, column), (2, row)):
            if np.array(want) @ affine[:3, axis] < 0:
                array = np.flip(array, axis)
                affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
                affine[:3, axis] *= -1.0
        return np.ascontiguousarray(array), affine

    def _dataset(self, sop_class: str, modality: str, part: str, number: int) -> Dataset:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.Modality = sop_class, modality
        dataset.SOPInstanceUID = self.uid("instance", part, number)
        dataset.SeriesInstanceUID = self.uid("series", part)
        dataset.StudyInstanceUID = self.uid("study")
        dataset.FrameOfReferenceUID = self.uid("frame")
        identity = self.options.identity or self.case.patient
        dataset.PatientName, dataset.PatientID = identity, identity[:64]
        dataset.PatientBirthDate, dataset.PatientSex = "", ""
        dataset.StudyDate = dataset.SeriesDate = dataset.InstanceCreationDate = DATE
        dataset.StudyTime = dataset.SeriesTime = dataset.InstanceCreationTime = TIME
        dataset.AccessionNumber, dataset.StudyID, dataset.ReferringPhysicianName = "", "1", ""
        dataset.Manufacturer, dataset.SeriesNumber, dataset.OperatorsName = "isohash", 1, ""
        dataset.PositionReferenceIndicator = ""
        if self.options.remark:
            dataset.SeriesDescription = self.options.remark
        if self.options.belonging is not None:
            self.options.belonging.put_into(dataset)
        return dataset

    def _image(
        self, dataset: Dataset, affine: NDArray[np.float64], k: int, shape: tuple[int, ...]
    ) -> None:
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        dataset.ImagePositionPatient = [_ds(x) for x in affine[:3, 3] + k * affine[:3, 0]]
        row, column = affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]
        dataset.ImageOrientationPatient = [_ds(x) for x in (*row, *column)]
        dataset.PixelSpacing = [_ds(spacing[1]), _ds(spacing[2])]
        dataset.SliceThickness = _ds(spacing[0])
        dataset.Rows, dataset.Columns = shape

    def _pixels(self, dataset: Dataset, pixels: NDArray[Any], bits: int, signed: bool) -> None:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = bits
        dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(signed)
        data = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
        dataset.PixelData = data + b"\0" * (len(data) % 2)
        dataset["PixelData"].VR = "OW"

    def _save(self, dataset: Dataset, kind: str, number: int) -> None:
        path = self.folder / self.options.file_name(kind, number)
        with open(path, "wb", opener=partial(os.open, mode=OWNER_ONLY)) as file:
            dataset.save_as(file, enforce_file_format=True)
        self.files.append(path)


def _refer(sop_class: str, uid: str) -> Sequence:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return Sequence([item])


def _ds(value: float) -> str:
    """A decimal string: at most 16 characters, as exact as they allow."""
    for digits in range(17, 5, -1):
        text = f"{float(value):.{digits}g}"
        if len(text) <= 16:
            return text
    raise InputError(f"{value!r} does not fit a DICOM decimal string")
