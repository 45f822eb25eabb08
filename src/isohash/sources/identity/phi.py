"""Which DICOM elements tell who a patient is, and the words that their values are made of.

The lists follow the confidentiality profile of PS3.15 annex E for the objects read here: persons,
numbers, places, devices, free text, dates and the UIDs of instances, wherever they are nested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

NUMBERS = (
    "PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "AdmissionID",
    "DeviceSerialNumber", "PatientTelephoneNumbers", "IssuerOfPatientID", "MilitaryRank",
    "MedicalRecordLocator", "RequestedProcedureID", "ScheduledProcedureStepID",
    "PerformedProcedureStepID", "ServiceEpisodeID", "DetectorID", "GantryID", "PlateID",
    "PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest",
)  # fmt: skip
PLACES = (
    "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName",
    "PatientAddress", "RegionOfResidence", "CountryOfResidence", "CurrentPatientLocation",
    "PatientInstitutionResidence", "TreatmentMachineName", "PerformedStationName",
    "PerformedLocation", "RequestingService", "SourceApplicationEntityTitle",
)  # fmt: skip
TEXTS = (
    "PatientComments", "StudyDescription", "SeriesDescription", "ImageComments", "StudyComments",
    "AdditionalPatientHistory", "RequestedProcedureDescription", "ProtocolName", "RTPlanLabel",
    "RTPlanName", "RTPlanDescription", "StructureSetLabel", "StructureSetName", "VisitComments",
    "StructureSetDescription", "Occupation", "EthnicGroup", "PatientReligiousPreference",
    "AdmittingDiagnosesDescription", "AcquisitionComments", "ReasonForStudy", "DoseComment",
    "DoseReferenceDescription", "PrescriptionDescription", "BeamName", "BeamDescription",
    "FractionGroupDescription", "ROIDescription", "ROIGenerationDescription",
    "ROIObservationDescription", "ROIObservationLabel", "ContentDescription", "Allergies",
    "MedicalAlerts", "SpecialNeeds", "PatientState", "DerivationDescription",
    "PerformedProcedureStepDescription", "ScheduledProcedureStepDescription",
)  # fmt: skip
FREE_TEXT = ("LO", "LT", "SH", "ST", "UC", "UT", "UR")  # types of private elements that may tell
BARE = ("OB", "OW", "UN", "DS", "IS", "FD", "FL", "US", "SS", "UL", "SL", "CS", "TM")  # no text
OF_THE_STANDARD = "1.2.840.10008."  # UIDs below it name classes and syntaxes, not instances
BULKY = ("ContourData", "ContourSequence", "PixelData", "GridFrameOffsetVector")
REFERENCES = ("ReferencedFrameOfReferenceSequence", "ROIContourSequence")  # UIDs and points only
DEEPEST = 12  # nested sequences beyond it are not followed


def identifying(
    dataset: Dataset, passing_over: Sequence[str] = BULKY
) -> Iterator[tuple[str, str, str]]:
    """(kind, keyword, value) of whatever identifies, at any depth; values of a list one by one.

    Kinds are `person`, `number`, `text`, `date` and `uid`. Values that cannot be decoded are
    passed over: they cannot have been read either.
    """
    for keyword, vr, item in _elements(dataset, DEEPEST, passing_over):
        if vr == "PN":
            yield "person", keyword, item
        elif vr in ("DA", "DT") and re.match(r"\d{8}", item):
            yield "date", keyword, item[:8]
        elif vr == "UI" and not item.startswith(OF_THE_STANDARD):
            yield "uid", keyword, item
        elif keyword in NUMBERS:
            yield "number", keyword, item
        elif keyword in (*PLACES, *TEXTS) or (keyword == "private element" and vr in FREE_TEXT):
            yield "text", keyword, item


def _elements(
    dataset: Dataset, depth: int, passing_over: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """(keyword, VR, one value as text) of all elements, sequences unfolded."""
    for tag in list(dataset.keys()):
        keyword = "private element" if tag.is_private else _keyword(tag)
        if keyword in passing_over:
            continue
        try:
            vr = _vr(dataset, tag)
            if vr in BARE:
                continue
            value = dataset[tag].value
        except Exception:  # noqa: BLE001 - conversion of arbitrary bytes
            continue
        if vr == "SQ":
            for item in value or () if depth else ():
                yield from _elements(item, depth - 1, passing_over)
            continue
        several = not isinstance(value, str | bytes) and vr != "PN" and hasattr(value, "__iter__")
        for one in value if several else [value]:
            if text := str(one or "").strip():
                yield keyword, vr, text


def _vr(dataset: Dataset, tag: BaseTag) -> str:
    """The type of an element without converting it; in implicit files it is looked up."""
    vr = dataset.get_item(tag).VR
    if vr is None or vr == "UN":
        try:
            return "LO" if tag.is_private else dictionary_VR(tag)
        except KeyError:
            return "UN"
    return str(vr)


@cache
def _keyword(tag: BaseTag) -> str:
    return keyword_for_tag(tag) or "unknown element"
