"""Small radiotherapy studies as files: a water cylinder, circles, a plan, a dose linear in x.

Lengths are mm of the patient (LPS). `write_study` returns the data sets, so that a test can bend
one and `save` it again.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "RTDOSE": "1.2.840.10008.5.1.4.1.1.481.2",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "RTPLAN": "1.2.840.10008.5.1.4.1.1.481.5",
}
DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
NZ, NY, NX, DZ, PX = 20, 64, 64, 3.0, 2.0  # the CT's grid
X0, Y0, Z0 = -63.0, -63.0, -30.0  # centre of its first voxel; z runs from -30 to 27
PLANES = [Z0 + DZ * k for k in range(4, 16)]  # 12 planes: a structure of 36 mm
DAY, TIME = "20200304", "101112"


def uid(name):
    return generate_uid(entropy_srcs=["rt_studies", name])


def circle(z, r, cx=0.0, cy=0.0, n=64, kind="CLOSED_PLANAR"):
    t = 2 * np.pi * np.arange(n) / n
    return kind, np.column_stack([cx + r * np.cos(t), cy + r * np.sin(t), np.full(n, z)])


def cylinder(r, cx=0.0, cy=0.0, planes=PLANES, **how):
    return [circle(z, r, cx, cy, **how) for z in planes]


def organs():
    return {
        "BODY": cylinder(55.0, planes=[Z0 + DZ * k for k in range(NZ)]),
        "PTV": cylinder(20.0),
        "Heart": cylinder(10.0, 30.0),
    }


BODY_CC, PTV_CC, HEART_CC = 569.7, 45.2, 11.3  # of these circles of 64 corners


def item(**values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def items(*several):
    return Sequence(several)


def refer(kind, sop_uid):
    return items(item(ReferencedSOPClassUID=CLASSES[kind], ReferencedSOPInstanceUID=sop_uid))


def save(dataset, path):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values beyond 64 kB are written as UN, as they must be
        dataset.save_as(path, enforce_file_format=True)


def base(name, kind, series, patient="RT1"):
    return item(
        SOPClassUID=CLASSES[kind],
        SOPInstanceUID=uid(name),
        Modality=kind,
        PatientID=patient,
        PatientName="Test^Phantom",
        StudyInstanceUID=uid("study"),
        SeriesInstanceUID=uid(series),
        FrameOfReferenceUID=uid("frame"),
        StudyDate=DAY,
        SeriesDate=DAY,
        Manufacturer="tests",
    )


def image(dataset, origin, spacing, shape):
    dataset.ImagePositionPatient = list(origin)
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [spacing, spacing]
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"


def slices(hu=0):
    y, x = np.mgrid[:NY, :NX]
    body = (X0 + PX * x) ** 2 + (Y0 + PX * y) ** 2 <= 55**2
    for k in range(NZ):
        dataset = base(f"ct{k}", "CT", "ctseries")
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image(dataset, (X0, Y0, Z0 + DZ * k), PX, (NY, NX))
        dataset.SliceThickness, dataset.InstanceNumber = DZ, k + 1
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, 0, "HU"
        dataset.PixelData = np.where(body, hu + k, -1000).astype("<i2").tobytes()
        yield dataset


def contour_items(contours):
    return Sequence(
        item(
            ContourGeometricType=kind,
            NumberOfContourPoints=len(points),
            ContourData=[f"{value:.3f}" for value in points.ravel()],
        )
        for kind, points in contours
    )


def structure_set(rois, images, name="rs"):
    """The RTSTRUCT of `rois`, name -> contours, drawn on images of these UIDs."""
    dataset = base(name, "RTSTRUCT", "rsseries")
    del dataset.FrameOfReferenceUID
    dataset.StructureSetLabel = "S"
    dataset.StructureSetDate, dataset.StructureSetTime = DAY, TIME
    numbered = list(enumerate(rois.items(), start=1))
    dataset.StructureSetROISequence = Sequence(
        item(ROINumber=n, ReferencedFrameOfReferenceUID=uid("frame"), ROIName=name,
             ROIGenerationAlgorithm="")
        for n, (name, _) in numbered
    )  # fmt: skip
    dataset.ROIContourSequence = Sequence(
        item(ReferencedROINumber=n, ContourSequence=contour_items(contours))
        for n, (_, contours) in numbered
    )
    dataset.RTROIObservationsSequence = Sequence(
        item(ObservationNumber=n, ReferencedROINumber=n, RTROIInterpretedType="", ROIInterpreter="")
        for n, _ in numbered
    )
    series = item(
        SeriesInstanceUID=uid("ctseries"),
        ContourImageSequence=Sequence(refer("CT", image)[0] for image in images),
    )
    study = item(
        ReferencedSOPClassUID=DETACHED_STUDY,
        ReferencedSOPInstanceUID=uid("study"),
        RTReferencedSeriesSequence=items(series),
    )
    frame = item(FrameOfReferenceUID=uid("frame"), RTReferencedStudySequence=items(study))
    dataset.ReferencedFrameOfReferenceSequence = items(frame)
    return dataset


def plan(prescribed=60.0, fractions=30, beams=2, name="rp"):
    dataset = base(name, "RTPLAN", "rpseries")
    dataset.RTPlanLabel, dataset.RTPlanGeometry = "P", "PATIENT"
    dataset.RTPlanDate, dataset.RTPlanTime = DAY, TIME
    dataset.ReferencedStructureSetSequence = refer("RTSTRUCT", uid("rs"))
    if prescribed:
        dataset.DoseReferenceSequence = items(
            item(DoseReferenceNumber=1, DoseReferenceStructureType="SITE",
                 DoseReferenceType="TARGET", TargetPrescriptionDose=prescribed)
        )  # fmt: skip
    dose = (prescribed or 60.0) / fractions / beams
    dataset.FractionGroupSequence = items(fraction_group(1, fractions, range(1, beams + 1), dose))
    dataset.BeamSequence = Sequence(photon_beam(n + 1) for n in range(beams))
    return dataset


def fraction_group(number, fractions, beams, dose):
    return item(
        FractionGroupNumber=number,
        NumberOfFractionsPlanned=fractions,
        NumberOfBeams=len(beams),
        NumberOfBrachyApplicationSetups=0,
        ReferencedBeamSequence=Sequence(
            item(ReferencedBeamNumber=n, BeamDose=dose, BeamMeterset=100) for n in beams
        ),
    )


def photon_beam(number):
    first = item(ControlPointIndex=0, GantryAngle=0, GantryRotationDirection="NONE")
    return item(
        BeamNumber=number,
        BeamName=f"B{number}",
        RadiationType="PHOTON",
        BeamType="STATIC",
        TreatmentDeliveryType="TREATMENT",
        NumberOfControlPoints=2,
        ControlPointSequence=items(first, item(ControlPointIndex=1)),
    )


CT_GRID = (X0, Y0, Z0, PX, DZ, NX, NY, NZ)


def linear(x, y, z):
    return 60 + 0.25 * x


def dose(name="rd", gy=linear, grid=CT_GRID, summation="PLAN", scaling=1e-3, of_plan="rp"):
    """An RTDOSE of `gy`(x, y, z) on a grid (x0, y0, z0, pixel, slice, nx, ny, nz)."""
    x0, y0, z0, pixel, step, nx, ny, nz = grid
    z, y, x = np.meshgrid(
        z0 + step * np.arange(nz),
        y0 + pixel * np.arange(ny),
        x0 + pixel * np.arange(nx),
        indexing="ij",
    )
    dataset = base(name, "RTDOSE", name + "series")
    image(dataset, (x0, y0, z0), pixel, (ny, nx))
    dataset.NumberOfFrames, dataset.FrameIncrementPointer = nz, 0x3004000C
    dataset.GridFrameOffsetVector = [step * k for k in range(nz)]
    dataset.BitsAllocated = dataset.BitsStored = 32
    dataset.HighBit, dataset.PixelRepresentation = 31, 0
    dataset.DoseUnits, dataset.DoseType = "GY", "PHYSICAL"
    dataset.DoseSummationType, dataset.DoseGridScaling = summation, scaling
    values = np.broadcast_to(gy(x, y, z), x.shape)
    dataset.PixelData = np.rint(values / scaling).astype("<u4").tobytes()
    if of_plan:
        dataset.ReferencedRTPlanSequence = refer("RTPLAN", uid(of_plan))
    return dataset


def write_study(folder, rois=None, keep=("CT", "RS", "RP", "RD"), hu=0, **how):
    """CTnn.dcm, RS.dcm, RP.dcm and RD.dcm, of which `keep` are written; all are returned.

    Of `how`, prescribed, fractions and beams go to the plan, the others to the dose.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    of_plan = {name: how.pop(name) for name in ("prescribed", "fractions", "beams") if name in how}
    ct = list(slices(hu))
    made = {
        "CT": ct,
        "RS": structure_set(rois or organs(), [one.SOPInstanceUID for one in ct]),
        "RP": plan(**of_plan),
        "RD": dose(**how),
    }
    for kind in keep:
        for n, dataset in enumerate(ct if kind == "CT" else [made[kind]]):
            save(dataset, folder / (f"CT{n:02d}.dcm" if kind == "CT" else f"{kind}.dcm"))
    return made


def assert_whole(case):
    assert case.ct is not None
    assert case.dose.array.max() == pytest.approx(75.75)
    assert set(case.structures) == {"BODY", "PTV", "Heart"}
    assert case.prescription_gy == 60
    assert case.facts["n_fractions"] == 30
