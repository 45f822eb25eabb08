"""Linking images, structures and grids: the right CT out of several, by frame and position."""

import numpy as np
import pydicom
import pydicom.data
import pytest

from dicom_sets import assert_dose_is_skipped, assert_dose_is_told, change, new_uid, part, reasons
from isohash.errors import InputError
from isohash.records import Case, Volume
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.reading import find, read_case


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
