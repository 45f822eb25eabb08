"""Structures of real exports: wide, thin, doubled and broken ones, with and without a CT."""

import numpy as np
import pytest
from pydicom.sequence import Sequence

import rt_studies as rt
from isohash.dosimetry.dvh import dvh
from isohash.sources.reading import read_case

DOSES = ("RS", "RP", "RD")  # a study without CT


def cc(case, name):
    """Volume of a structure by its contours."""
    return case.structures[name].volume_cc


def mask_cc(case, name):
    mask = case.structures[name]
    return mask.array.sum() * mask.voxel_cc


def told(case, *words):
    return any(all(word in warning for word in words) for warning in case.warnings)


def read(folder, rois=None, **how):
    rt.write_study(folder, rois=rois, **how)
    return read_as_named(folder, rois or ())


def read_as_named(folder, rois):
    """The case, structures under the names that they have here."""
    return read_case(folder, aliases={name: name for name in rois})


def test_with_a_ct_and_without_volumes_and_doses_are_those_of_the_polygons(tmp_path):
    with_ct, without = read(tmp_path / "a"), read(tmp_path / "b", keep=DOSES)
    assert without.ct is None
    for case in (with_ct, without):
        for name, expected in (("BODY", rt.BODY_CC), ("PTV", rt.PTV_CC), ("Heart", rt.HEART_CC)):
            assert cc(case, name) == pytest.approx(expected, rel=2e-3)
            assert mask_cc(case, name) == pytest.approx(expected, rel=5e-3)
        curve = dvh(case.dose, case.structures["Heart"])
        assert curve.mean_gy == pytest.approx(67.5, abs=0.05)  # 60 + 0.25 * 30
        assert curve.outside_dose_grid == 0
    assert with_ct.warnings == ()


def test_without_ct_organs_wider_than_the_dose_grid_are_whole_and_told(tmp_path):
    """The dose grid ends at x = 16 mm: 5 % of the PTV lies beyond, and all of the heart."""
    case = read(tmp_path, keep=DOSES, grid=(-30.0, -30.0, -18.0, 2.0, 3.0, 24, 31, 12))
    assert cc(case, "PTV") == pytest.approx(rt.PTV_CC, rel=2e-3)
    assert cc(case, "BODY") == pytest.approx(rt.BODY_CC, rel=2e-3)
    assert told(case, "5 % of PTV lies outside the dose grid")
    assert told(case, "81 % of BODY lies outside the dose grid")
    assert told(case, "100 % of Heart lies outside the dose grid")
    assert dvh(case.dose, case.structures["PTV"]).outside_dose_grid == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("side", ["x", "y", "z"])
def test_organs_that_leave_the_ct_on_any_side_are_told_with_their_share(tmp_path, side):
    shift = {"x": (50.0, 0.0), "y": (0.0, 50.0), "z": (0.0, 0.0)}[side]
    planes = [rt.Z0 + rt.DZ * k for k in range(14, 26)] if side == "z" else rt.PLANES
    case = read(tmp_path, rois={"PTV": rt.cylinder(40.0, *shift, planes=planes)})
    share = {"x": 0.283, "y": 0.283, "z": 0.5}[side]
    assert told(case, f"{100 * share:.0f} % of PTV lies outside the CT", "180.7 cc")
    assert cc(case, "PTV") == pytest.approx(180.7, rel=2e-3)
    assert mask_cc(case, "PTV") == pytest.approx((1 - share) * 180.7, rel=0.01)


def test_an_organ_wholly_outside_the_ct_is_left_out_with_that_reason(tmp_path):
    rois = {**rt.organs(), "Foot": rt.cylinder(5.0, 200.0)}
    case = read(tmp_path, rois=rois)
    assert "structure Foot left out: it lies wholly outside the CT" in case.warnings


def fall_off(x, y, z):
    return 60 / (1 + np.exp((np.hypot(x, y) - 12) / 1.2))


THIN = {
    "PTV": rt.cylinder(12.0),
    "Nerve": rt.cylinder(2.0, 16.0),
    "Shell": [c for z in rt.PLANES for c in (rt.circle(z, 15.0), rt.circle(z, 12.0))],
}


def test_thin_structures_without_ct_on_a_coarse_dose_grid(tmp_path):
    """Right values by sampling the polygons at 0.1 mm, dose interpolated on its 4 mm grid."""
    grid = (-62.0, -62.0, -31.0, 4.0, 4.0, 32, 32, 16)
    case = read(tmp_path, rois=THIN, keep=DOSES, gy=fall_off, grid=grid)
    right = {"PTV": (16.27, 50.5, 32.4), "Nerve": (0.452, 4.5, 1.1), "Shell": (9.16, 16.4, 6.8)}
    for name, (volume, mean, d95) in right.items():
        curve = dvh(case.dose, case.structures[name])
        assert curve.volume_cc == pytest.approx(volume, rel=5e-3)
        assert mask_cc(case, name) == pytest.approx(volume, rel=0.02)
        assert curve.mean_gy == pytest.approx(mean, abs=0.2)
        assert curve.d(95) == pytest.approx(d95, abs=0.2)


def test_a_nerve_thinner_than_the_voxels_of_the_ct_keeps_its_volume(tmp_path):
    """1.8 mm across on voxels of 2 mm."""
    case = read(tmp_path, rois={**rt.organs(), "Nerve": rt.cylinder(0.9, 16.0, 1.0)})
    volume = np.pi * 0.81 * 36e-3
    assert cc(case, "Nerve") == pytest.approx(volume, rel=0.01)
    assert mask_cc(case, "Nerve") == pytest.approx(volume, abs=0.5 * 0.012)


def test_a_structure_of_one_voxel_is_one(tmp_path):
    case = read(tmp_path, rois={**rt.organs(), "Seed": [rt.circle(0.0, 0.8, 10.0, 10.0)]})
    assert case.structures["Seed"].array.sum() == 1
    assert cc(case, "Seed") == pytest.approx(np.pi * 0.64 * 3e-3, rel=0.01)


# Contours


def test_a_contour_given_twice_is_no_hole(tmp_path):
    rois = rt.organs()
    rois["PTV"] = [c for z in rt.PLANES for c in (rt.circle(z, 20.0), rt.circle(z, 20.0))]
    rois["Heart"] += rt.cylinder(10.0, 30.0, planes=rt.PLANES[3:6])
    case = read(tmp_path, rois=rois)
    assert cc(case, "PTV") == pytest.approx(rt.PTV_CC, rel=2e-3)
    assert cc(case, "Heart") == pytest.approx(rt.HEART_CC, rel=2e-3)
    assert told(case, "structure PTV: 12 contour(s) that are given twice count once")
    assert told(case, "structure Heart: 3 contour(s)")


def test_an_roi_in_two_items_is_one(tmp_path):
    made = rt.write_study(tmp_path)
    structures = made["RS"]
    ptv = structures.ROIContourSequence[1]
    rest = rt.item(ReferencedROINumber=2, ContourSequence=ptv.ContourSequence[5:])
    ptv.ContourSequence = ptv.ContourSequence[:5]
    structures.ROIContourSequence.append(rest)
    rt.save(structures, tmp_path / "RS.dcm")
    case = read_case(tmp_path)
    assert cc(case, "PTV") == pytest.approx(rt.PTV_CC, rel=2e-3)
    assert case.warnings == ()


def test_contours_that_overlap_in_part_are_a_union_and_told(tmp_path):
    two = [c for z in rt.PLANES for c in (rt.circle(z, 20.0), rt.circle(z, 20.0, 10.0))]
    case = read(tmp_path, rois={"PTV": two})
    lens = 2 * 400 * np.arccos(10 / 40) - 5 * np.sqrt(1600 - 100)
    assert cc(case, "PTV") == pytest.approx((800 * np.pi - lens) * 36e-3, rel=5e-3)
    assert told(case, "PTV", "overlap in part")


@pytest.mark.parametrize("apart", [0.1, 0.2])
def test_planes_doubled_a_little_apart_are_one(tmp_path, apart):
    doubled = [rt.circle(z + shift, 20.0) for z in rt.PLANES for shift in (0.0, apart)]
    case = read(tmp_path, rois={"BODY": rt.organs()["BODY"], "PTV": doubled})
    assert cc(case, "PTV") == pytest.approx(rt.PTV_CC, rel=0.01)
    assert mask_cc(case, "PTV") == pytest.approx(rt.PTV_CC, rel=0.02)


def test_planes_half_way_between_the_slices(tmp_path):
    shifted = rt.cylinder(20.0, planes=[z + 1.5 for z in rt.PLANES])
    case = read(tmp_path, rois={"BODY": rt.organs()["BODY"], "PTV": shifted})
    assert cc(case, "PTV") == pytest.approx(rt.PTV_CC, rel=2e-3)
    assert mask_cc(case, "PTV") == pytest.approx(rt.PTV_CC, rel=0.01)


def test_contour_data_beyond_64_kb_is_of_unknown_type_and_read(tmp_path):
    case = read(tmp_path, rois={**rt.organs(), "PTV": rt.cylinder(20.0, n=4000)})
    assert cc(case, "PTV") == pytest.approx(rt.PTV_CC, rel=2e-3)


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_types_of_contours_in_small_letters_and_none(tmp_path):
    rois = {
        "PTV": rt.cylinder(20.0, kind="closed_planar"),
        "Heart": rt.cylinder(10.0, 30.0, kind=""),
    }
    case = read(tmp_path, rois=rois)
    assert cc(case, "PTV") == pytest.approx(rt.PTV_CC, rel=2e-3)
    assert told(case, "Heart left out: its 12 contour(s) do not say of what type they are")


def test_why_a_structure_is_left_out_is_said(tmp_path):
    ring = rt.circle(0.0, 10.0)
    rois = {
        "Empty": [],
        "Points": [("POINT", ring[1][:1]), ("POINT", ring[1][1:2])],
        "Line": [("CLOSED_PLANAR", ring[1][:2])],
        "Flat": [("CLOSED_PLANAR", np.array([[0.0, 0, 0], [10, 0, 0], [20, 0, 0]]))],
        "Open": [("OPEN_PLANAR", ring[1])],
        "Nil": [("CLOSEDPLANAR_XOR", ring[1]), ("CLOSEDPLANAR_XOR", ring[1])],
        **rt.organs(),
    }
    made = rt.write_study(tmp_path, rois=rois)
    structures = made["RS"]
    unlisted = rt.item(
        ROINumber=99, ROIName="Unlisted", ReferencedFrameOfReferenceUID=rt.uid("frame")
    )
    structures.StructureSetROISequence.append(unlisted)
    structures.ROIContourSequence = Sequence(structures.ROIContourSequence)
    rt.save(structures, tmp_path / "RS.dcm")
    case = read_as_named(tmp_path, [*rois, "Unlisted"])
    assert set(case.structures) == {"BODY", "PTV", "Heart"}
    reasons = {
        "Empty": "it is empty",
        "Unlisted": "it is empty",
        "Points": "points only",
        "Line": "points only",
        "Flat": "too small",
        "Open": "not closed",
        "Nil": "cancel each other out",
    }
    for name, reason in reasons.items():
        assert told(case, f"structure {name} left out", reason), name


def test_structures_that_share_a_number_are_left_out_and_told(tmp_path):
    made = rt.write_study(tmp_path)
    made["RS"].StructureSetROISequence[2].ROINumber = 2
    made["RS"].ROIContourSequence[2].ReferencedROINumber = 2
    rt.save(made["RS"], tmp_path / "RS.dcm")
    case = read_case(tmp_path)
    assert list(case.structures) == ["BODY"]
    assert "2 structures share their number with another, left out" in case.warnings


def test_a_structure_that_is_listed_twice_is_one(tmp_path):
    made = rt.write_study(tmp_path)
    made["RS"].StructureSetROISequence.append(made["RS"].StructureSetROISequence[1])
    rt.save(made["RS"], tmp_path / "RS.dcm")
    case = read_case(tmp_path)
    assert (list(case.structures), case.warnings) == (["BODY", "PTV", "Heart"], ())


def test_contours_of_a_number_that_no_structure_has_are_told(tmp_path):
    made = rt.write_study(tmp_path)
    made["RS"].ROIContourSequence[1].ReferencedROINumber = 99
    rt.save(made["RS"], tmp_path / "RS.dcm")
    case = read_case(tmp_path)
    assert list(case.structures) == ["BODY", "Heart"]
    assert "contours of 1 number(s) that no structure has, left out" in case.warnings
    assert "structure PTV left out: it is empty: it has no contours" in case.warnings
