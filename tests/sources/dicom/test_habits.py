"""What lies around the volumes of an export: scouts, phases, rubbish, no names, several doses."""

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.sequence import Sequence

from dicom_sets import assert_same, change, item, new_uid, part, reasons, rewrite
from isohash.errors import InputError
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.reading import find, read_case


@pytest.fixture
def folder(tmp_path, case):
    write_dicom(case, tmp_path)
    return tmp_path


# What lies beside the volume


def test_a_scout_within_the_series_is_left_out_and_told(folder, case):
    scout = {"SOPInstanceUID": new_uid(), "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
    change(part(folder, "CT", 2), folder / "scout.dcm", **scout)
    findings = find(folder)
    (skipped,) = findings.skipped
    assert "scout" in skipped.reason
    read = findings.found[0].read()
    assert_same(read, case)
    assert any("1 image(s) of the CT series left out" in warning for warning in read.warnings)


def test_of_several_phases_in_one_series_the_one_drawn_on_is_taken(folder, case):
    for k in range(5):
        values = {"SOPInstanceUID": new_uid(), "RescaleIntercept": 50, "AcquisitionNumber": 2}
        change(part(folder, "CT", k), folder / f"phase{k}.dcm", **values)
    findings = find(folder)
    assert sum("not among the images" in reason for reason in reasons(findings)) == 5
    assert_same(findings.found[0].read(), case)
    part(folder, "RS").unlink()
    with pytest.raises(InputError, match="two slices lie at the same place"):
        find(folder)


def test_other_modalities_archives_and_rubbish_are_listed_and_harm_nothing(folder, case):
    kinds = {"pet": "1.2.840.10008.5.1.4.1.1.128", "mr": "1.2.840.10008.5.1.4.1.1.4",
             "rtimage": "1.2.840.10008.5.1.4.1.1.481.1",
             "registration": "1.2.840.10008.5.1.4.1.1.66.1",
             "record": "1.2.840.10008.5.1.4.1.1.481.4"}  # fmt: skip
    for name, sop_class in kinds.items():
        values = {"SOPInstanceUID": new_uid(), "SOPClassUID": sop_class}
        change(part(folder, "CT", 1), folder / f"{name}.dcm", **values)
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "short").write_bytes(b"\x08\x00")
    (folder / "set.zip").write_bytes(b"PK\x03\x04" + bytes(200))
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(200))
    (folder / "letter.pdf").write_bytes(b"%PDF-1.7")
    (folder / "DICOMDIR").write_bytes(dicomdir())
    (folder / "loop").symlink_to(folder)
    (folder / "away.dcm").symlink_to("/etc/hostname")
    (folder / "gone.dcm").symlink_to(folder / "nothing")
    findings = find(folder)
    assert len(findings.skipped) == len(kinds) + 9
    assert all(skip.reason and "\n" not in skip.reason for skip in findings.skipped)
    assert_same(findings.found[0].read(), case)


def dicomdir():
    name = pydicom.data.get_testdata_file("DICOMDIR", download=False)
    with open(name, "rb") as file:
        return file.read()


# Who and where


def test_a_set_without_frame_of_reference_is_joined_by_its_references(folder, case):
    def unframe(dataset):
        dataset.pop("FrameOfReferenceUID", None)
        for roi in dataset.get("StructureSetROISequence", ()):
            roi.ReferencedFrameOfReferenceUID = ""

    rewrite(folder, unframe, ("CT", "RD", "RS", "RP"))
    read = read_case(folder)
    assert_same(read, case)
    assert any("no FrameOfReferenceUID" in warning for warning in read.warnings)


@pytest.mark.parametrize("number", ["", "ANONYMOUS", "0000", "anon^^", "UNKNOWN"])
def test_patients_whom_nobody_named_stay_apart(tmp_path, make_case, number):
    cases = {f"case{n}": make_case(f"case{n}") for n in range(3)}
    for name, case in cases.items():
        for path in write_dicom(case, tmp_path / name):
            change(path, PatientID=number, PatientName=number)
    read = [found.read() for found in find(tmp_path).found]
    assert len({one.patient for one in read}) == 3
    assert all(one.dose is not None and one.structures for one in read)


def test_a_number_of_ones_own_is_no_placeholder(tmp_path, make_case):
    for n in range(2):
        for path in write_dicom(make_case(f"case{n}"), tmp_path / str(n)):
            change(path, PatientID=f"Anonymous{n}", IssuerOfPatientID="PACS" if n else "")
    assert len({found.read().patient for found in find(tmp_path).found}) == 2


def test_an_issuer_that_the_planning_system_drops_does_not_part_ct_and_dose(folder, case):
    rewrite(folder, lambda dataset: setattr(dataset, "IssuerOfPatientID", "PACS"))
    assert_same(read_case(folder), case)


def test_a_dose_under_another_number_than_its_ct_is_refused(folder):
    change(part(folder, "RD"), PatientID="other")
    findings = find(folder)
    assert "the CT of this dose carries another PatientID" in reasons(findings)
    assert findings.found[0].read().dose is None


def test_dates_are_shifted_by_one_number_of_days_for_each_patient(tmp_path, make_case):
    for patient, first in (("A", "20190228"), ("B", "20190228")):
        for n, day in enumerate((first, "20190315")):
            for path in write_dicom(
                make_case(f"{patient}{n}"),
                tmp_path / f"{patient}{n}",
                WriteOptions(identity=patient),
            ):
                change(path, StudyDate=day, SeriesDate=day)
    days = {}
    for found in find(tmp_path).found:
        case = found.read()
        days.setdefault(case.patient, []).append(np.datetime64(case.facts["imaged_on"]))
    (a, b), (c, d) = (sorted(both) for both in days.values())
    assert b - a == d - c == np.timedelta64(15, "D")
    assert a != c
    assert max(b, d) < np.datetime64("1900-01-01")


# Names of structures


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Rückenmark"),
        ("ISO_IR 192", "Moëlle épinière"),
        ("ISO_IR 192", "脊髄"),
        ("ISO_IR 144", "Спинной мозг"),
        ("GB18030", "脊髓"),
        (["", "ISO 2022 IR 87"], "脊髄"),
    ],
)
def test_names_in_other_scripts(folder, charset, name):
    dataset = pydicom.dcmread(part(folder, "RS"))
    dataset.SpecificCharacterSet = charset
    dataset.StructureSetROISequence[0].ROIName = name
    dataset.save_as(part(folder, "RS"))
    assert "SpinalCord" in read_case(folder, aliases={name: "SpinalCord"}).structures


def test_bytes_that_are_no_text_of_the_declared_character_set(folder):
    data = part(folder, "RS").read_bytes()
    assert data.count(b"Rectum") == 1
    part(folder, "RS").write_bytes(data.replace(b"Rectum", b"Rec\xff\xfe\x00"))
    assert len(read_case(folder).structures) == 3


def test_empty_rois_points_and_repeated_names(folder, case):
    dataset = pydicom.dcmread(part(folder, "RS"))
    del dataset.ROIContourSequence[0].ContourSequence
    point = dataset.ROIContourSequence[1].ContourSequence[0]
    point.ContourGeometricType, point.NumberOfContourPoints = "POINT", 1
    point.ContourData = point.ContourData[:3]
    dataset.StructureSetROISequence[2].ROIName = dataset.StructureSetROISequence[1].ROIName
    dataset.save_as(part(folder, "RS"))
    read = read_case(folder)
    first, second, third = case.structures
    assert first not in read.structures
    assert any(first in warning for warning in read.warnings)
    np.testing.assert_array_equal(
        read.structures[f"{second} (3)"].array, case.structures[third].array
    )


# Which dose, how much of it


def test_the_sum_of_several_plans_is_a_case_of_its_own(folder, case):
    both = Sequence(
        [
            *pydicom.dcmread(part(folder, "RD")).ReferencedRTPlanSequence,
            *item(
                ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.481.5",
                ReferencedSOPInstanceUID="1.2.9",
            ),
        ]
    )
    values = {"SOPInstanceUID": new_uid(), "DoseSummationType": "MULTI_PLAN"}
    change(part(folder, "RD"), folder / "sum.dcm", ReferencedRTPlanSequence=both, **values)
    read = {found.read().facts["dose_of"]: found.read() for found in find(folder).found}
    assert set(read) == {"PLAN", "MULTI_PLAN"}
    assert any("several plans" in warning for warning in read["MULTI_PLAN"].warnings)
    assert read["MULTI_PLAN"].facts.get("n_fractions") is None


def test_absolute_dose_is_taken_where_relative_dose_lies_beside_it(folder, case):
    values = {"SOPInstanceUID": new_uid(), "DoseUnits": "RELATIVE"}
    change(part(folder, "RD"), folder / "relative.dcm", **values)
    assert_same(read_case(folder), case)


def test_a_dose_of_one_fraction_is_told(folder):
    plan = pydicom.dcmread(part(folder, "RP"))
    plan.FractionGroupSequence = item(FractionGroupNumber=1, NumberOfFractionsPlanned=30)
    plan.save_as(part(folder, "RP"))
    dose = pydicom.dcmread(part(folder, "RD"))
    dose.DoseGridScaling = f"{float(dose.DoseGridScaling) / 30:.9e}"
    dose.save_as(part(folder, "RD"))
    read = read_case(folder)
    assert any("dose of one of 30 fractions" in warning for warning in read.warnings)


def test_a_beam_dose_that_names_no_plan_is_refused(folder):
    change(part(folder, "RD"), DoseSummationType="BEAM", ReferencedRTPlanSequence=None)
    findings = find(folder)
    assert any("BEAM dose that names no plan" in reason for reason in reasons(findings))
    assert findings.found[0].read().dose is None


def test_doses_of_two_plans_that_are_not_here_stay_apart(folder):
    part(folder, "RP").unlink()
    structures = item(ReferencedSOPClassUID="1.2.3", ReferencedSOPInstanceUID="1.1.1")
    for number, plan in enumerate(("1.2.77", "1.2.88")):
        change(
            part(folder, "RD"),
            folder / f"dose{number}.dcm",
            SOPInstanceUID=new_uid(),
            ReferencedStructureSetSequence=structures,
            ReferencedRTPlanSequence=item(
                ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID=plan
            ),
        )
    part(folder, "RD").unlink()
    assert len(find(folder).found) == 2


def test_a_plan_without_dose_still_tells_its_prescription(folder):
    part(folder, "RD").unlink()
    read = read_case(folder)
    assert (read.dose, read.prescription_gy, read.warnings) == (None, 60, ())


def test_images_with_text_drawn_into_them_are_left_out(folder):
    rewrite(folder, lambda dataset: setattr(dataset, "BurnedInAnnotation", "YES"))
    assert sum("drawn into" in reason for reason in reasons(find(folder))) == 5


def test_copies_under_other_names_change_nothing(folder, case):
    shutil.copytree(folder, folder / "again")
    findings = find(folder)
    assert len(findings.found) == 1
    assert all("a copy of" in reason for reason in reasons(findings))
    assert_same(findings.found[0].read(), case)
