"""Canonical slices: orientation, grid, scales and which slices are kept."""

import itertools
import json

import numpy as np
import pytest

from isohash.dosimetry.dose import PlacedDose
from isohash.errors import InputError
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import case_slices, display_ct, encoder_input
from isohash.records import Case, Volume
from isohash.sources.reading import read_cases

SPACING = (5.0, 3.0, 2.0)  # z, y, x in mm: all different, so that no axis can hide as another
SMALL = SliceSettings(size=64, pixel_mm=4.0)


def lopsided_ct(shape: tuple[int, int, int] = (12, 60, 90)) -> np.ndarray:
    """Air with an asymmetric body: a box, a bone in its front right, growing towards the feet."""
    hu = np.full(shape, -1000, dtype=np.int16)
    hu[2:11, 15:50, 20:75] = 40  # slices 0, 1 and 11 show no body
    hu[6:11, 10:15, 20:60] = 40
    hu[2:11, 18:26, 24:34] = 800
    return hu


def head_first_affine(shape: tuple[int, int, int]) -> np.ndarray:
    """Index (k, j, i) to mm: k towards the feet, j to the back, i to the left."""
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, SPACING[2]], [0, SPACING[1], 0], [-SPACING[0], 0, 0]]
    affine[:3, 3] = [-90.0, -120.0, 700.0]
    return affine


def lopsided_case(**parts: Volume) -> Case:
    hu = lopsided_ct()
    affine = head_first_affine(hu.shape)
    dose = np.zeros(hu.shape, dtype=np.float32)
    dose[4:8, 20:40, 30:60] = 60.0
    dose[8, 30, 30] = 5.0  # exactly the threshold: not above it
    dose[9, 30, 30] = 5.01
    made = {"ct": Volume(hu, affine), "dose": Volume(dose, affine)}
    return Case("pt", **{**made, **parts})


def rearranged(volume: Volume, order: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same patient in memory order `order`, with flipped axes, and a matching affine."""
    array, affine = volume.array.transpose(order), volume.affine.copy()
    affine[:3, :3] = affine[:3, list(order)]
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
            affine[:3, axis] *= -1
            array = np.flip(array, axis)
    return Volume(array, affine)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_memory_order_and_direction_do_not_change_the_slices(order):
    case = lopsided_case()
    expected = case_slices(case, SMALL)
    for flips in itertools.product((False, True), repeat=3):
        ct, dose = (rearranged(v, order, flips) for v in (case.ct, case.dose))
        view = case_slices(Case("pt", ct=ct, dose=dose), SMALL)
        np.testing.assert_array_equal(view.hu, expected.hu)
        np.testing.assert_array_equal(view.dose_cgy, expected.dose_cgy)
        np.testing.assert_allclose(view.z_mm, expected.z_mm)
        np.testing.assert_array_equal(view.has_dose, expected.has_dose)
        axis = order.index(0)
        planes = np.moveaxis(ct.array, axis, 0)[view.slice_index]
        for plane, own in zip(planes, case.ct.array[expected.slice_index], strict=True):
            assert np.sort(plane.ravel()).tolist() == np.sort(own.ravel()).tolist()


def test_rows_run_to_the_back_and_columns_to_the_patients_left():
    view = case_slices(lopsided_case(), SMALL)
    bone = np.argwhere(view.hu[0] > 300)
    body = np.argwhere(view.hu[0] > -400)
    assert (bone.mean(axis=0) < body.mean(axis=0)).all()  # front right: small row, small column


def test_slices_run_from_the_head_to_the_feet_and_know_where_they_are():
    case = lopsided_case()
    view = case_slices(case, SMALL)
    assert (np.diff(view.z_mm) < 0).all()
    np.testing.assert_array_equal(view.slice_index, np.arange(2, 11))
    np.testing.assert_allclose(view.z_mm, 700.0 - SPACING[0] * view.slice_index)


def test_only_slices_with_body_or_dose_are_kept():
    case = lopsided_case()
    dose = case.dose.array.copy()
    dose[0, 5, 5] = 50.0  # dose outside the body
    view = case_slices(Case("pt", ct=case.ct, dose=Volume(dose, case.dose.affine)), SMALL)
    assert view.slice_index.tolist() == [0, *range(2, 11)]
    assert view.has_dose.tolist() == [k in {0, 4, 5, 6, 7, 9} for k in view.slice_index]


def test_the_dose_threshold_is_strict_to_the_centigray():
    view = case_slices(lopsided_case(), SMALL)
    assert dict(zip(view.slice_index.tolist(), view.has_dose.tolist(), strict=True))[8] is False
    assert dict(zip(view.slice_index.tolist(), view.has_dose.tolist(), strict=True))[9] is True


def test_a_linear_ramp_is_resampled_exactly_and_placed_in_mm():
    # Triangle filters reproduce linear functions when the grid ratio is whole or below 1.
    shape = (1, 50, 240)
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, 1.0], [0, 4.7, 0], [-3.0, 0, 0]]
    affine[:3, 3] = [-130.3, -95.1, 0.0]
    x = affine[0, 3] + 1.0 * np.arange(shape[2])
    y = affine[1, 3] + 4.7 * np.arange(shape[1])
    gray = (20.0 + 0.1 * x[None, :] + 0.05 * y[:, None]).astype(np.float32)[None]
    case = Case("ramp", dose=Volume(gray, affine))
    view = case_slices(case, SliceSettings(size=32, pixel_mm=4.0))
    columns = view.corner_mm[0] + 4.0 * np.arange(32)
    rows = view.corner_mm[1] + 4.0 * np.arange(32)
    expected = 20.0 + 0.1 * columns[None, :] + 0.05 * rows[:, None]
    np.testing.assert_allclose(view.dose_gy[0], expected, atol=0.0051)  # rounded to cGy


def test_downsampling_averages_instead_of_sampling():
    # A checkerboard of single pixels has mean 0.5 and would alias to 0 or 1 if sampled.
    board = np.indices((1, 128, 128)).sum(axis=0) % 2 * 100.0
    affine = np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
    view = case_slices(
        Case("board", dose=Volume(board, affine)), SliceSettings(size=16, pixel_mm=6.0)
    )
    np.testing.assert_allclose(view.dose_gy[:, 2:-2, 2:-2], 50.0, atol=1.0)


def test_coarse_and_fine_sources_meet_on_one_grid():
    # The same ellipsoid sampled at 4 mm and at 1 mm, with a sub-voxel shift of the frame.
    def ball(step: float, shift: float) -> Case:
        n = int(240 / step)
        at = shift + step * np.arange(n)
        _, y, x = np.meshgrid(4.0 * np.arange(3), at, at, indexing="ij")
        inside = ((y - 118) / 80) ** 2 + ((x - 121) / 60) ** 2 < 1
        affine = np.eye(4)
        affine[:3, :3] = [[0, 0, step], [0, step, 0], [4.0, 0, 0]]
        affine[:3, 3] = [shift, shift, 0]
        return Case("b", ct=Volume(np.where(inside, 40, -1024).astype(np.int16), affine))

    coarse, fine = (case_slices(c, SMALL) for c in (ball(4.0, 0.0), ball(1.0, 0.4)))
    both = np.stack([coarse.ct, fine.ct])
    assert np.corrcoef(both.reshape(2, -1))[0, 1] > 0.97
    assert np.abs(np.subtract(coarse.corner_mm, fine.corner_mm)).max() <= 2.0


def test_a_couch_below_the_patient_does_not_move_the_grid():
    case = lopsided_case()
    with_couch = case.ct.array.copy()
    with_couch[:, 57:58, 2:88] = 100  # a 3 mm shell, wider than the patient, in every slice
    view = case_slices(Case("pt", ct=Volume(with_couch, case.ct.affine)), SMALL)
    plain = case_slices(Case("pt", ct=case.ct), SMALL)
    assert view.corner_mm == plain.corner_mm
    assert view.slice_index.tolist() == plain.slice_index.tolist()


def test_the_body_is_centred():
    view = case_slices(lopsided_case(), SMALL)
    rows, columns = (np.flatnonzero((view.hu > -400).any(axis=(0, a))) for a in (2, 1))
    assert abs(rows.mean() - 31.5) <= 3  # the front third of the body is wider in some slices
    assert abs(columns.mean() - 31.5) <= 1


def test_ct_alone_and_dose_alone_are_enough():
    case = lopsided_case()
    ct_only = case_slices(Case("pt", ct=case.ct), SMALL)
    assert ct_only.dose is None
    assert not ct_only.has_dose.any()
    dose_only = case_slices(Case("pt", dose=case.dose), SMALL)
    assert dose_only.ct is None
    assert dose_only.slice_index.tolist() == [4, 5, 6, 7, 9]
    assert dose_only.has_dose.all()


def test_a_case_without_body_has_no_slices():
    air = np.full((4, 20, 20), -1000, dtype=np.int16)
    view = case_slices(Case("air", ct=Volume(air, head_first_affine(air.shape))), SMALL)
    assert len(view) == 0
    assert view.ct.shape == (0, 64, 64)


def test_encoder_input_is_the_window_and_the_dose_scale():
    settings = SliceSettings(size=64, hu_window=(-100.0, 300.0), dose_scale_gy=50.0)
    view = case_slices(lopsided_case(), settings)
    np.testing.assert_allclose(
        view.ct, np.clip((view.hu.astype(float) + 100) / 400, 0, 1), atol=1e-6
    )
    np.testing.assert_allclose(view.dose, np.clip(view.dose_cgy / 5000.0, 0, 1), atol=1e-6)
    assert view.ct.dtype == view.dose.dtype == np.float32
    assert encoder_input(view, "dose").max() == 1.0  # 60 Gy is beyond the scale, clipped


def test_display_ct_maps_its_window_to_all_greys():
    view = case_slices(lopsided_case(), SMALL)
    grey = display_ct(view, window=(-160.0, 240.0))
    assert grey.dtype == np.uint8
    assert grey[view.hu <= -160].max() == 0
    assert grey[view.hu >= 240].min() == 255


@pytest.mark.parametrize("flips", list(itertools.product([False, True], repeat=3)))
def test_a_dose_on_its_own_grid_is_brought_here_without_one_on_the_grid_of_the_ct(rng, flips):
    """A few slices at a time, which gives the same slices as all of them at once."""
    shape = (41, 60, 90)
    affine = head_first_affine(shape)
    ct = rearranged(Volume(lopsided_ct(shape), affine), (0, 1, 2), flips)
    coarse = affine.copy()
    coarse[:3, :3] *= 1.7
    part = Volume(rng.uniform(0, 70, (24, 36, 53)).astype(np.float32), coarse)
    dose = PlacedDose([part], ct.affine, shape)
    made = case_slices(Case("x", ct=ct, dose=dose))
    assert "array" not in vars(dose)
    whole = case_slices(Case("x", ct=ct, dose=Volume(dose.array, ct.affine)))
    np.testing.assert_array_equal(made.dose_cgy, whole.dose_cgy)
    np.testing.assert_array_equal(made.has_dose, whole.has_dose)
    np.testing.assert_array_equal(made.hu, whole.hu)


def test_structures_are_resampled_onto_the_same_pixels():
    case = lopsided_case()
    bone = Volume(case.ct.array > 300, case.ct.affine)
    view = case_slices(case, SMALL)
    inside = view.resample(rearranged(bone, (2, 0, 1), (True, False, True)))
    assert inside.shape == view.hu.shape
    np.testing.assert_allclose(inside[:, view.hu[0] >= 800], 1.0, atol=1e-5)
    volume_mm3 = inside[0].sum() * 16.0
    assert volume_mm3 == pytest.approx(bone.array[2].sum() * SPACING[1] * SPACING[2], rel=0.01)


def test_a_structure_on_another_grid_is_refused():
    case = lopsided_case()
    view = case_slices(case, SMALL)
    shifted = case.ct.affine.copy()
    shifted[2, 3] += 2.0
    with pytest.raises(InputError, match="grid"):
        view.resample(Volume(case.ct.array > 300, shifted))


def test_oblique_volumes_are_refused_and_slight_tilts_accepted():
    case = lopsided_case()

    def tilted(degrees: float) -> Case:
        angle = np.deg2rad(degrees)
        turn = np.eye(4)
        turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return Case("pt", ct=Volume(case.ct.array, turn @ case.ct.affine))

    with pytest.raises(InputError, match=r"pt: the volume is oblique \(3\.0 degrees"):
        case_slices(tilted(3.0), SMALL)
    assert len(case_slices(tilted(0.3), SMALL)) == 9


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_values_are_refused(bad):
    case = lopsided_case()
    dose = case.dose.array.copy()
    dose[5, 30, 40] = bad
    with pytest.raises(InputError, match="NaN or infinite"):
        case_slices(Case("pt", ct=case.ct, dose=Volume(dose, case.dose.affine)), SMALL)


def test_ct_and_dose_on_different_grids_are_refused():
    case = lopsided_case()
    half = Volume(case.dose.array[:, ::2], case.dose.affine)
    with pytest.raises(InputError, match="different grids"):
        case_slices(Case("pt", ct=case.ct, dose=half), SMALL)


def test_a_case_with_neither_is_refused():
    with pytest.raises(InputError, match="neither CT nor dose"):
        case_slices(Case("pt"), SMALL)


def test_settings_survive_json_and_bad_ones_are_refused():
    settings = SliceSettings(size=96, pixel_mm=3.5, hu_window=(-200, 200), dose_scale_gy=60)
    assert SliceSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    with pytest.raises(InputError, match="unknown slice settings"):
        SliceSettings.from_json({"zoom": 2})
    for wrong in ({"size": 0}, {"pixel_mm": 0.0}, {"hu_window": (5, 5)}, {"dose_scale_gy": -1}):
        with pytest.raises(InputError):
            SliceSettings(**wrong)


@pytest.mark.slow
def test_the_training_patients_have_10480_dosed_slices(shared_data):
    dosed = [
        int(case_slices(case, SMALL).has_dose.sum())
        for case in read_cases(shared_data / "openkbp" / "train")
    ]
    assert len(dosed) == 169
    assert sum(dosed) == 10480
