"""Linking doses and plans: the right ones out of a folder of everything, or a refusal."""

import os
import shutil

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_sets import assert_dose_is_skipped, assert_dose_is_told, change, new_uid, part, reasons
from isohash.errors import InputError
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.reading import find, read_case


def refer_to_beam(dataset, *beams):
    group = Dataset()
    group.ReferencedFractionGroupNumber = 1
    group.ReferencedBeamSequence = Sequence([])
    for beam in beams:
        item = Dataset()
        item.ReferencedBeamNumber = beam
        group.ReferencedBeamSequence.append(item)
    dataset.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence = Sequence([group])


def beam_doses(folder, shares, beams=None):
    """Replace the plan's dose by beam doses of the given shares."""
    whole = pydicom.dcmread(part(folder, "RD"))
    for number, share in enumerate(shares, start=1):
        dataset = pydicom.dcmread(part(folder, "RD"))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = new_uid()
        dataset.DoseSummationType = "BEAM"
        dataset.DoseGridScaling = f"{float(whole.DoseGridScaling) * share:.9e}"
        if beams:
            refer_to_beam(dataset, *beams[number - 1])
        dataset.save_as(folder / f"beam{number}.dcm")
    part(folder, "RD").unlink()


def plan_beams(folder, *beams):
    plan = pydicom.dcmread(part(folder, "RP"))
    group = Dataset()
    group.FractionGroupNumber, group.NumberOfFractionsPlanned = 1, 30
    group.ReferencedBeamSequence = Sequence([])
    for beam in beams:
        item = Dataset()
        item.ReferencedBeamNumber, item.BeamMeterset = beam, 100
        group.ReferencedBeamSequence.append(item)
    plan.FractionGroupSequence = Sequence([group])
    plan.save_as(part(folder, "RP"))


def test_patients_and_rubbish_in_one_folder_are_told_apart(tmp_path, make_case):
    cases = [make_case(f"patient{n}") for n in range(3)]
    for n, case in enumerate(cases):
        names = iter(range(1000 * n, 1000 * n + 100))
        options = WriteOptions(file_name=lambda kind, number, names=names: f"{hash(next(names)):x}")
        write_dicom(case, tmp_path, options)
    first = sorted(tmp_path.iterdir())[0]
    shutil.copy(first, tmp_path / "copy.dcm")
    (tmp_path / "cut.dcm").write_bytes(first.read_bytes()[:250])
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "noise.dcm").write_bytes(b"\0" * 128 + b"DICM" + bytes(range(256)) * 4)
    for name in ("MR_small.dcm", "reportsi.dcm", "examples_overlay.dcm"):
        shutil.copy(pydicom.data.get_testdata_file(name, download=False), tmp_path / name)
    findings = find(tmp_path)
    assert len(findings.found) == 3
    skipped = {os.path.basename(skip.path) for skip in findings.skipped}
    rubbish = {"cut.dcm", "report.pdf", "noise.dcm", "MR_small.dcm", "reportsi.dcm"}
    assert rubbish | {"examples_overlay.dcm"} <= skipped
    assert sum("a copy of" in reason for reason in reasons(findings)) == 1
    assert len(skipped) == 7
    patients = {found.read().patient for found in findings.found}
    assert len(patients) == 3


def test_two_plans_on_one_ct_are_two_cases_of_one_patient(folder, case):
    plan, dose = new_uid(), new_uid()
    change(part(folder, "RP"), folder / "plan2.dcm", SOPInstanceUID=plan)
    second = pydicom.dcmread(part(folder, "RD"))
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = dose
    second.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID = plan
    second.DoseGridScaling = f"{float(second.DoseGridScaling) / 2:.9e}"
    second.save_as(folder / "dose2.dcm")
    cases = [found.read() for found in find(folder).found]
    assert len({case.id for case in cases}) == 2
    assert len({case.patient for case in cases}) == 1
    peaks = sorted(float(read.dose.array.max()) for read in cases)
    assert peaks == pytest.approx([case.dose.array.max() / 2, case.dose.array.max()], rel=1e-4)


def test_the_plan_dose_is_preferred_to_beam_doses(folder, case):
    change(
        part(folder, "RD"), folder / "beam.dcm", SOPInstanceUID=new_uid(), DoseSummationType="BEAM"
    )
    findings = find(folder)
    assert any("BEAM dose beside" in reason for reason in reasons(findings))
    read = findings.found[0].read()
    np.testing.assert_allclose(read.dose.array, case.dose.array, atol=1e-5)
    assert read.warnings == ()


def test_beam_doses_are_added_and_it_is_said(folder, case):
    beam_doses(folder, (0.5, 0.2, 0.3), beams=[(1,), (2,), (3,)])
    plan_beams(folder, 1, 2, 3)
    read = read_case(folder)
    np.testing.assert_allclose(read.dose.array, case.dose.array, rtol=1e-4, atol=1e-4)
    assert read.warnings == ("dose is the sum of 3 BEAM doses",)


def test_a_sum_that_lacks_a_beam_of_the_plan_is_refused(folder):
    beam_doses(folder, (0.5, 0.3), beams=[(1,), (3,)])
    plan_beams(folder, 1, 2, 3)
    assert_dose_is_told(folder, "beam 2 is missing")


@pytest.mark.parametrize(
    ("values", "reason"),
    [({"DoseUnits": "RELATIVE"}, "DoseUnits is RELATIVE"), ({"DoseType": "ERROR"}, "is ERROR")],
)
def test_relative_dose_and_error_grids_are_no_dose(folder, values, reason):
    change(part(folder, "RD"), **values)
    assert_dose_is_skipped(folder, reason)


def test_two_doses_of_the_same_beam_are_refused(folder):
    beam_doses(folder, (0.5, 0.4), beams=[(1,), (1,)])
    assert_dose_is_skipped(folder, "same beam")


def test_physical_and_effective_dose_are_never_added(folder, case):
    change(part(folder, "RD"), folder / "rbe.dcm", SOPInstanceUID=new_uid(), DoseType="EFFECTIVE")
    read = read_case(folder)
    np.testing.assert_allclose(read.dose.array, case.dose.array, atol=1e-5)
    assert read.warnings == ("physical dose taken; an effective dose is there as well",)
    part(folder, "RD").unlink()
    assert "effective" in read_case(folder).warnings[0]


def test_two_different_plan_doses_of_one_plan_are_refused(folder):
    values = {"SOPInstanceUID": new_uid(), "DoseGridScaling": "0.00001"}
    change(part(folder, "RD"), folder / "again.dcm", **values)
    assert_dose_is_skipped(folder, "which is valid")


def test_a_plan_dose_exported_twice_is_one(folder, case):
    change(part(folder, "RD"), folder / "again.dcm", SOPInstanceUID=new_uid())
    findings = find(folder)
    assert reasons(findings) == ["the same dose as RD.0000.dcm, exported again"]
    read = findings.found[0].read()
    np.testing.assert_allclose(read.dose.array, case.dose.array, atol=1e-5)
    assert read.warnings == ("1 dose(s) were exported again with equal values: counted once",)


@pytest.mark.parametrize("summation", ["CONTROL_POINT", "FRACTION_SESSION", ""])
def test_a_dose_of_less_than_a_plan_is_refused(folder, summation):
    change(part(folder, "RD"), DoseSummationType=summation)
    assert_dose_is_skipped(folder, "no dose of a whole plan")


def test_the_newest_of_several_structure_sets_is_taken_and_it_is_said(folder):
    plan = pydicom.dcmread(part(folder, "RP"))
    del plan.ReferencedStructureSetSequence
    plan.save_as(part(folder, "RP"))
    newer = pydicom.dcmread(part(folder, "RS"))
    newer.SOPInstanceUID = newer.file_meta.MediaStorageSOPInstanceUID = new_uid()
    newer.StructureSetDate = "20200101"
    newer.StructureSetROISequence[0].ROIName = "Bladder"
    newer.save_as(folder / "newer.dcm")
    read = read_case(folder)
    assert "Bladder" in read.structures
    assert read.warnings == ("2 structure sets fit; the newest was taken",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"DoseGridScaling": "0"}, "must be positive"),
        ({"DoseGridScaling": "1"}, "check DoseGridScaling"),
        ({"DoseGridScaling": None}, "DoseGridScaling is missing"),
        ({"GridFrameOffsetVector": [0, 5, 10, 15]}, "5 frames but 4"),
        ({"GridFrameOffsetVector": [0, 5, 10, 15, 25]}, "uneven"),
        ({"GridFrameOffsetVector": [0, 5, 15, 10, 20]}, "uneven"),
        ({"GridFrameOffsetVector": [3, 8, 13, 18, 23]}, "neither 0 nor"),
        ({"GridFrameOffsetVector": [0, 0, 0, 0, 0]}, "uneven"),
        ({"GridFrameOffsetVector": None}, "GridFrameOffsetVector is missing"),
        ({"NumberOfFrames": 6}, "truncated"),
        ({"NumberOfFrames": 10**9}, "beyond the limit"),
        ({"BitsStored": 33}, "is not supported"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"PixelData": None}, "no pixels"),
    ],
)
def test_a_dose_that_cannot_be_understood_leaves_its_ct_a_case(folder, values, message):
    change(part(folder, "RD"), **values)
    assert_dose_is_told(folder, message)
    for k in range(5):
        part(folder, "CT", k).unlink()
    with pytest.raises(InputError, match=message) as error:  # nothing is left without a CT
        find(folder).found[0].read()
    assert "\n" not in str(error.value)


def test_a_dose_without_any_link_is_skipped(folder):
    change(part(folder, "RD"), FrameOfReferenceUID=None, ReferencedRTPlanSequence=None)
    findings = find(folder)
    assert "has no FrameOfReferenceUID to link it by" in reasons(findings)
    assert findings.found[0].read().dose is None


def test_the_prescription_comes_from_the_plan_else_from_names_with_a_warning(folder):
    part(folder, "RP").unlink()
    read = read_case(folder)
    assert read.prescription_gy == 60
    assert any("names of targets" in warning for warning in read.warnings)
    assert any("no plan file" in warning for warning in read.warnings)
