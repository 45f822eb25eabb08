"""Pictures to look at: without loss, in their place, and of what a case has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohash.features.cases.fine import DOSE_STEP_GY, PIXEL_MM, PREFIX, Fine, Place, fine_of
from isohash.features.cases.outlines import outlines_in
from isohash.features.cases.planes import packed, unpacked
from isohash.features.cases.slices import case_slices
from isohash.records import Case, Volume
from small_cases import phantom

MM = 1.0  # of voxels finer than are kept


def body(step_mm: tuple[float, float, float], corner: tuple[float, float] = (-57.0, 31.0)) -> Case:
    """An L of water in air, its values different at every voxel; slices from the feet up."""
    n_y, n_x = round(160 / step_mm[1]), round(200 / step_mm[2])
    z, y, x = np.mgrid[0:4, 0:n_y, 0:n_x]
    inside = (y < 0.4 * n_y) & (x < 0.8 * n_x) | (x < 0.3 * n_x) & (y < 0.8 * n_y)
    hu = np.where(inside, (x + 3 * y + 7 * z) % 400 - 100, -1000).astype(np.int16)
    affine = np.diag([*step_mm, 1.0])
    affine[:3] = affine[[2, 1, 0], :]
    affine[:2, 3] = corner
    dose = np.where(inside, 0.1 * x + 0.037 * y + z, 0.0).astype(np.float32)
    ct = Volume(hu, affine)
    return Case(
        "l", ct=ct, dose=Volume(dose, affine), structures={"PTV": Volume(inside & (y < 9), affine)}
    )


@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from([1, 99, 32767])
)
def test_planes_come_back_as_they_were(rows: int, columns: int, seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    plane = rng.integers(-most - 1, most, (rows, columns), dtype=np.int16, endpoint=True)
    found = unpacked(np.frombuffer(packed(plane), np.uint8), plane.shape)
    np.testing.assert_array_equal(found, plane)


def test_bytes_that_are_no_plane_are_refused() -> None:
    data = np.frombuffer(packed(np.ones((4, 5), np.int16)), np.uint8)
    for wrong in (data[:-1], data[3:], np.zeros(0, np.uint8)):
        with pytest.raises(ValueError, match=r"deflated|bytes"):
            unpacked(wrong, (4, 5))
    for shape in ((4, 6), (4, 4)):
        with pytest.raises(ValueError, match=r"deflated|bytes"):
            unpacked(data, shape)


def test_voxels_coarser_than_two_millimetres_are_kept_as_they_are() -> None:
    case = body((2.5, 4.0, 4.0))
    slices = case_slices(case)
    fine = Fine(fine_of(case, slices))
    place, ct, dose = fine.place, case.ct, case.dose
    assert (place.pixel_mm, place.dose_step_gy) == (4.0, DOSE_STEP_GY)
    x0, y0 = (
        round((p - c) / 4.0) for p, c in zip((place.x_mm, place.y_mm), (-57, 31), strict=True)
    )
    cut = np.s_[y0 : y0 + place.rows, x0 : x0 + place.columns]
    for row, index in enumerate(slices.slice_index):
        np.testing.assert_array_equal(fine.hu(row), np.maximum(ct.array[index][cut], -1024))
        assert np.abs(fine.dose_gy(row) - dose.array[index][cut]).max() <= DOSE_STEP_GY / 2 + 1e-5
    assert (ct.array > -500)[:, cut[0], cut[1]].sum() == (ct.array > -500).sum()


def test_finer_voxels_are_averaged_to_two_millimetres() -> None:
    case = body((2.5, MM, MM))
    slices = case_slices(case)
    fine = Fine(fine_of(case, slices))
    place = fine.place
    assert place.pixel_mm == PIXEL_MM
    row = 1
    array = case.ct.array[slices.slice_index[row]].astype(float)
    x0, y0 = round((place.x_mm + 57) / MM), round((place.y_mm - 31) / MM)
    weights = np.array([0.25, 0.5, 0.25])  # the triangle of twice a voxel's width
    for y, x in ((10, 12), (30, 20), (5, 40)):
        at = np.s_[y0 + 2 * y - 1 : y0 + 2 * y + 2, x0 + 2 * x - 1 : x0 + 2 * x + 2]
        assert abs(fine.hu(row)[y, x] - weights @ array[at] @ weights) <= 0.5 + 1e-3


def test_outlines_lie_on_the_same_pixels() -> None:
    case = body((2.5, 4.0, 4.0))
    slices = case_slices(case)
    arrays = fine_of(case, slices)
    place = Place.of(arrays[f"{PREFIX}place"])
    mask = {name.removeprefix(PREFIX): array for name, array in arrays.items()}
    assert set(mask["outline.of"][:, 1]) == set(slices.slice_index.tolist())
    index = int(slices.slice_index[0])
    (line,) = outlines_in(mask, place.shape, index)[0]
    drawn = case.structures["PTV"].array[index]
    y, x = np.nonzero(drawn)
    low = np.array([x.min() * 4.0 - 57, y.min() * 4.0 + 31]) - 2.0
    found = line.min(axis=0) * 4.0 + (place.x_mm, place.y_mm)
    np.testing.assert_allclose(found, low, atol=0.01)


def test_a_case_without_ct_or_dose_has_the_other() -> None:
    case = phantom(0, 1)
    for left, what in (
        (replace(case, ct=None, structures={}), "ct"),
        (replace(case, dose=None), "dose"),
    ):
        slices = case_slices(left)
        fine = Fine(fine_of(left, slices))
        assert (fine.hu(0) is None) == (what == "ct")
        assert f"{PREFIX}{what}.bytes" not in fine.arrays
    assert fine.dose_gy(0) is None


SENSELESS = [
    [],
    [1.0] * 7,
    [0, 0, 0, 5, 5, 0.01, 0, 0],
    [0, 0, 2, 1e5, 1e5, 0.01, 0, 0],
    [0, 0, np.nan, 5, 5, 1, 0, 0],
]


@pytest.mark.parametrize("wrong", SENSELESS)
def test_places_that_mean_nothing_are_refused(wrong: list[float]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Place.of(np.array(wrong, dtype=np.float64))
