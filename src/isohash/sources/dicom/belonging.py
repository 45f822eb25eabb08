"""Whom and what a new DICOM object belongs to: the elements of a CT that others must repeat.

A dose made for a patient is found by a planning system only under that patient, study and frame of
reference. These identify; so they are read only for whoever has the files, go into DICOM files
made for the same hands, and into nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from pydicom.dataset import Dataset

from isohash.sources.dicom.elements import read_dataset, value

ELEMENTS = {
    "patient_name": "PatientName", "patient_id": "PatientID", "birth_date": "PatientBirthDate",
    "sex": "PatientSex", "study_uid": "StudyInstanceUID", "study_date": "StudyDate",
    "study_time": "StudyTime", "study_id": "StudyID", "accession": "AccessionNumber",
    "physician": "ReferringPhysicianName", "frame_uid": "FrameOfReferenceUID",
    "character_set": "SpecificCharacterSet", "position_reference": "PositionReferenceIndicator",
}  # fmt: skip
NEVER_EMPTY = ("study_uid", "frame_uid", "character_set")


@dataclass(frozen=True)
class Belonging:
    """Patient, study and frame of reference of a CT, as its files say; "" where they do not.

    `structures_uid` is the structure set that was used.
    """

    patient_name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    study_uid: str = ""
    study_date: str = ""
    study_time: str = ""
    study_id: str = ""
    accession: str = ""
    physician: str = ""
    frame_uid: str = ""
    character_set: str = ""
    position_reference: str = ""
    structures_uid: str = ""

    def put_into(self, dataset: Dataset) -> None:
        """Give a new object the same patient and, where the CT names them, study and frame."""
        for name, keyword in ELEMENTS.items():
            if (text := getattr(self, name)) or name not in NEVER_EMPTY:
                setattr(dataset, keyword, text.split("\\") if name == "character_set" else text)


def read_belonging(ct: str, structures: str) -> dict[str, str]:
    """The fields of a `Belonging`, from one file of the CT and the structure set (or "")."""
    dataset = read_dataset(Path(ct), stop_before_pixels=True)
    found = {name: _text(dataset, keyword) for name, keyword in ELEMENTS.items()}
    if structures:
        told = read_dataset(Path(structures), stop_before_pixels=True)
        found["structures_uid"] = _text(told, "SOPInstanceUID")
    assert set(found) <= {field.name for field in fields(Belonging)}
    return found


def _text(dataset: Dataset, keyword: str) -> str:
    found = value(dataset, keyword)
    if found is None:
        return ""
    return "\\".join(found) if isinstance(found, list | tuple) else str(found)
