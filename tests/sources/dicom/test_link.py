"""Linking: the right CT, dose, structures and plan out of a folder of everything, or a refusal."""

import os
import shutil

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_sets import change, new_uid, part, reasons
from isohash.errors import InputError
from isohash.records import Case, Volume
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.reading import find, read_case


def assert_dose_is_skipped(folder, reason):
    """The dose is passed over for that reason, and the CT is a case without it, which says so."""
    findings = find(folder)
    assert any(reason in skipped for skipped in reasons(findings))
    for found in findings.found:
        case = found.read()
        assert case.dose is None
        assert any("dose beside this CT cannot be used" in warning for warning in case.warnings)


def assert_dose_is_told(folder, message):
    """The dose turns out bad when it is read: the CT stays a case, with that warning."""
    case = read_case(folder)
    assert case.dose is None
    assert case.ct is not None
    assert len(case.structures) == 3
    (told,) = (w for w in case.warnings if "dose beside this CT cannot be used" in w)
    assert message in told
    assert str(folder) not in told  # a path may hold a name


@pytest.fixture
def folder(tmp_path, case):
    write_dicom(case, tmp_path)
    return tmp_path


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


def second_series(folder, **values):
    """Another CT series in the same frame of reference, 100 HU higher."""
    series = new_uid()
    for n in range(5):
        change(
            part(folder, "CT", n),
            folder / f"other{n}.dcm",
            SOPInstanceUID=new_uid(),
            SeriesInstanceUID=series,
            RescaleIntercept=100,
            **values,
        )


def test_among_ct_series_of_one_frame_the_one_that_was_drawn_on_is_taken(folder, case):
    second_series(folder)
    findings = find(folder)
    assert sum("another CT series" in reason for reason in reasons(findings)) == 5
    np.testing.assert_array_equal(findings.found[0].read().ct.array, case.ct.array)


def test_ct_series_that_nothing_tells_apart_are_refused(folder):
    second_series(folder)
    part(folder, "RS").unlink()
    assert_dose_is_skipped(folder, "2 CT series share")


def test_ct_series_without_dose_are_cases_each(folder):
    second_series(folder)
    for kind in ("RD", "RP", "RS"):
        part(folder, kind).unlink()
    assert len(find(folder).found) == 2


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


def strip_references(folder, frame=None):
    """Structures that name no series, images or plan; perhaps another frame of reference."""
    plan = pydicom.dcmread(part(folder, "RP"))
    del plan.ReferencedStructureSetSequence
    plan.save_as(part(folder, "RP"))
    structures = pydicom.dcmread(part(folder, "RS"))
    del structures.ReferencedFrameOfReferenceSequence
    structures.FrameOfReferenceUID = frame or structures.FrameOfReferenceUID
    for roi in structures.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = structures.FrameOfReferenceUID
    return structures


def test_structures_fall_back_on_the_frame_of_reference_with_a_warning(folder, case):
    strip_references(folder).save_as(part(folder, "RS"))
    read = read_case(folder)
    np.testing.assert_array_equal(read.structures["Larynx"].array, case.structures["Larynx"].array)
    assert read.warnings == ("structures are linked by frame of reference only",)


def test_structures_of_an_unknown_frame_are_linked_by_position_if_they_lie_in_slices(folder, case):
    strip_references(folder, new_uid()).save_as(part(folder, "RS"))
    read = read_case(folder)
    np.testing.assert_array_equal(read.structures["Rectum"].array, case.structures["Rectum"].array)
    assert "by position only" in read.warnings[-1] or "by position only" in read.warnings[0]


def test_structures_of_an_unknown_frame_between_the_slices_are_left_out(folder):
    structures = strip_references(folder, new_uid())
    for roi in structures.ROIContourSequence:
        for contour in roi.ContourSequence:
            data = [float(value) for value in contour.ContourData]
            data[2::3] = [z + 1.5 for z in data[2::3]]
            contour.ContourData = data
    structures.save_as(part(folder, "RS"))
    read = read_case(folder)
    assert read.structures == {}
    assert any("do not lie in the slices" in warning for warning in read.warnings)


def test_structures_of_another_known_frame_are_not_taken(tmp_path, make_case):
    cases = [make_case("a", patient="same"), make_case("b", patient="same")]
    for case in cases:
        write_dicom(case, tmp_path / case.id)
    part(tmp_path / "a", "RS").unlink()
    read = [found.read() for found in find(tmp_path).found]
    assert sorted(len(case.structures) for case in read) == [0, 3]
    assert len({case.patient for case in read}) == 1


def test_a_ct_of_one_slice_leaves_the_dose_its_grid(folder, case):
    for n in range(1, 5):
        part(folder, "CT", n).unlink()
    read = read_case(folder)
    assert read.ct is None
    np.testing.assert_allclose(read.dose.array, case.dose.array, atol=1e-5)


def test_a_dose_whose_ct_is_broken_is_refused_with_it(folder):
    part(folder, "CT", 2).unlink()
    with pytest.raises(InputError, match="missing or uneven") as error:
        find(folder)
    assert "\n" not in str(error.value)


def test_a_dose_on_its_own_coarser_grid_lands_in_the_right_place(tmp_path, make_case):
    """Dose is linear in mm, so interpolation must give the plane's values back exactly."""
    case = make_case()
    slope = np.array([0.9, 0.4, 0.6])
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = (2.5, 1.5, 3.0)
    affine[:3, 3], affine[3, 3] = case.ct.affine[:3, 3] - (4.0, 2.0, 1.0), 1

    def linear(affine, shape):
        index = np.indices(shape).reshape(3, -1)
        return (slope @ (affine[:3, :3] @ index + affine[:3, 3:]) + 60).reshape(shape)

    dose = Volume(linear(affine, (10, 16, 9)).astype(np.float32), affine)
    other = Case("x", case.ct, dose, case.structures, 60.0)
    write_dicom(other, tmp_path, WriteOptions(position="HFP", absolute_offsets=True))
    read = read_case(tmp_path)
    expected = linear(case.ct.affine, case.ct.array.shape)
    np.testing.assert_allclose(read.dose.array, expected, rtol=1e-5)
    np.testing.assert_array_equal(read.ct.array, case.ct.array)


def shifted(folder, *mm):
    dataset = pydicom.dcmread(part(folder, "RD"))
    position = [float(x) + d for x, d in zip(dataset.ImagePositionPatient, mm, strict=True)]
    change(part(folder, "RD"), ImagePositionPatient=position)


def test_a_dose_grid_that_leaves_the_ct_or_the_structures_says_so(folder):
    shifted(folder, 0.0, 0.0, 10.0)
    read = read_case(folder)
    assert "40 % of the dose grid lies outside the CT" in read.warnings
    assert any("% of Larynx lies outside the dose grid" in warning for warning in read.warnings)
    assert not read.dose.array[:2].any()
    assert read.dose.array[2].any()


def test_a_dose_grid_wholly_outside_the_ct_is_refused(folder):
    shifted(folder, 500.0, 0.0, 0.0)
    assert_dose_is_told(folder, "wholly outside")


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


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_turned_dose_grid_is_interpolated_in_mm(tmp_path, case, axis):
    """Dose is linear in mm, so every voxel of the CT inside the turned grid has the exact value."""
    c, s = np.cos(0.15), np.sin(0.15)
    turn = np.eye(3)
    i, j = [other for other in range(3) if other != axis]
    turn[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.5, 2.0, 2.5])[:, [2, 1, 0]]
    centre = case.ct.affine @ [2, 4, 5.5, 1]
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ [6, 8, 8]
    slope, shape = np.array([0.2, 0.3, 0.25]), (13, 17, 17)
    at = affine[:3, :3] @ np.indices(shape).reshape(3, -1) + affine[:3, 3:]
    dose = Volume((slope @ at + 40).reshape(shape).astype(np.float32), affine)
    write_dicom(Case("turned", case.ct, dose, case.structures, 60.0), tmp_path)
    read = read_case(tmp_path)
    grid = case.ct.affine
    points = grid[:3, :3] @ np.indices(case.ct.array.shape).reshape(3, -1) + grid[:3, 3:]
    expected = (slope @ points + 40).reshape(case.ct.array.shape)
    inside = read.dose.array > 0
    assert inside.mean() > 0.9
    np.testing.assert_allclose(read.dose.array[inside], expected[inside], atol=2e-4)
