"""Which DICOM elements tell who a patient is, and the words that their values are made of.

The list follows the confidentiality profile of PS3.15 annex E for the objects read here: persons,
numbers, addresses, institutions, devices, dates and the UIDs of instances. Free text that a planner
typed (names of structures) is compared with these words before it may leave the reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from isohash.dosimetry.names import VOCABULARY

NUMBERS = (
    "PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "AdmissionID",
    "DeviceSerialNumber", "PatientTelephoneNumbers", "IssuerOfPatientID", "MilitaryRank",
    "MedicalRecordLocator", "RequestedProcedureID", "ScheduledProcedureStepID",
)  # fmt: skip
PLACES = (
    "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName",
    "PatientAddress", "RegionOfResidence", "CountryOfResidence", "CurrentPatientLocation",
    "PatientInstitutionResidence", "TreatmentMachineName",
)  # fmt: skip
TEXTS = (
    "PatientComments", "StudyDescription", "SeriesDescription", "ImageComments",
    "AdditionalPatientHistory", "RequestedProcedureDescription", "ProtocolName", "RTPlanLabel",
    "RTPlanName", "RTPlanDescription", "StructureSetLabel", "StructureSetName",
    "StructureSetDescription", "Occupation", "EthnicGroup", "PatientReligiousPreference",
)  # fmt: skip
DATES = ("PatientBirthDate", "PatientBirthTime", "StudyDate", "SeriesDate", "AcquisitionDate",
         "ContentDate", "InstanceCreationDate", "StructureSetDate", "RTPlanDate")  # fmt: skip
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
PERSON_KEYWORDS = (
    "PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName",
    "NameOfPhysiciansReadingStudy", "PhysiciansOfRecord", "RequestingPhysician", "ReviewerName",
    "ResponsiblePerson", "ROIInterpreter",
)  # fmt: skip
SHORTEST = 3  # letters: shorter words are initials and articles, and turn up everywhere
HARMLESS = {
    "anonymous", "anonymized", "anon", "unknown", "none", "null", "test", "phantom", "patient",
    "the", "and", "for", "isohash",
}  # fmt: skip

_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> Iterator[str]:
    """Lower-case words of at least `SHORTEST` letters or digits that may tell something.

    Words of anatomy are passed over even where they are somebody's name.
    """
    for word in _WORD.findall(text.lower()):
        if len(word) >= SHORTEST and word not in HARMLESS and word not in VOCABULARY:
            yield word


def texts_of(dataset: Dataset, keywords: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(keyword, value) of the elements present, every value of a list by itself."""
    for keyword in keywords:
        found = dataset.get(keyword)
        if found is None or found == "":
            continue
        several = isinstance(found, Iterable) and not isinstance(found, str | bytes)
        single = [found] if keyword in PERSON_KEYWORDS or not several else list(found)
        yield from ((keyword, str(item)) for item in single if str(item).strip())


def personal_words(dataset: Dataset) -> set[str]:
    """Words of the persons and numbers in a data set."""
    pairs = texts_of(dataset, (*PERSON_KEYWORDS, *NUMBERS))
    return {word for _, text in pairs for word in words(text)}
