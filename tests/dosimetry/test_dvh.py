"""DVHs against closed forms, a brute-force count, and dicompyler's idea of the same curve."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isohash.dosimetry.dvh import dvh
from isohash.errors import InputError
from isohash.records import Volume


def grid(shape, spacing=(5.0, 2.0, 1.0), origin=(-3.0, 4.0, 7.0)):
    """Centres (3, z, y, x) as (x, y, z) mm and the affine of an anisotropic grid."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[:3, 3], affine[3, 3] = origin, 1
    index = np.indices(shape).reshape(3, -1)
    points = (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *shape)
    return points, affine


def test_a_two_level_dose_has_the_curve_one_can_draw_by_hand():
    _, affine = grid((2, 3, 4))
    dose = np.full((2, 3, 4), 10.0, dtype=np.float32)
    dose[1] = 30.0
    mask = np.ones(dose.shape, dtype=bool)
    mask[1, 0] = False  # 12 voxels of 10 Gy, 8 of 30 Gy
    curve = dvh(Volume(dose, affine), Volume(mask, affine), bin_gy=0.1)
    assert curve.volume_cc == pytest.approx(20 * 10 / 1000)
    assert (curve.min_gy, curve.max_gy) == (10, 30)
    assert curve.mean_gy == pytest.approx(18)
    assert curve.v(10) == pytest.approx(100)
    assert curve.v(10.2) == pytest.approx(40)
    assert curve.v(30) == pytest.approx(40)
    assert curve.v(30.2) == 0
    assert curve.v_cc(25) == pytest.approx(0.08)
    assert curve.d(100) == pytest.approx(10, abs=0.1)
    assert curve.d(39) == pytest.approx(30, abs=0.1)
    assert curve.d(41) == pytest.approx(10, abs=0.1)
    assert curve.d(0) == 30
    assert curve.d_cc(0.01) == pytest.approx(30, abs=0.1)
    assert curve.d_cc(99) == pytest.approx(10, abs=0.1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0, 80, width=32), min_size=1, max_size=60),
    st.sampled_from([0.2, 1.0]),
)
def test_the_curve_counts_what_a_plain_count_counts(doses, bin_gy):
    array = np.array(doses, dtype=np.float32).reshape(1, 1, -1)
    affine = np.diag([2.0, 3.0, 5.0, 1.0])[[2, 1, 0, 3]]
    curve = dvh(Volume(array, affine), Volume(np.ones(array.shape, dtype=bool), affine), bin_gy)
    tolerance = 2e-3 * bin_gy
    for gy, fraction in zip(curve.dose_gy, curve.fraction, strict=True):
        assert (array >= gy + tolerance).mean() - 1e-9 <= fraction
        assert fraction <= (array >= gy - tolerance).mean() + 1e-9
    assert curve.fraction[0] == 1
    assert curve.fraction[-1] == 0
    assert (np.diff(curve.fraction) <= 0).all()
    for percent in (0, 2, 50, 98, 100):
        rank = max(0, int(np.ceil(percent / 100 * array.size)) - 1)
        exact = np.sort(array.ravel())[::-1][rank]
        at_most = np.sort(array.ravel())[::-1][min(rank + 1, array.size - 1)]
        assert at_most - bin_gy <= curve.d(percent) <= exact + bin_gy


def test_a_linear_dose_in_a_box_has_a_straight_curve():
    points, affine = grid((6, 30, 40), spacing=(3.0, 1.0, 2.0))
    dose = Volume((points[0] - points[0].min() + 1.0) * 0.5, affine)  # 0.5 Gy per mm along x
    mask = np.zeros(dose.array.shape, dtype=bool)
    mask[1:5, 3:20, 10:30] = True  # x from 19 to 59 mm of the ramp, boxes included
    curve = dvh(dose, Volume(mask, affine), bin_gy=0.01, supersample=10)
    low, high = 0.5 * 20.0, 0.5 * 60.0
    for percent in (5, 25, 50, 75, 95):
        assert curve.d(percent) == pytest.approx(high - percent / 100 * (high - low), abs=0.06)
    assert curve.mean_gy == pytest.approx((low + high) / 2, abs=1e-4)


def test_a_sphere_in_a_linear_dose_matches_the_formula():
    """The share of a ball above height h of its diameter is the volume of a cap."""
    points, affine = grid((60, 60, 60), spacing=(1.0, 1.0, 1.0), origin=(0, 0, 0))
    radius, centre = 24.3, 29.5
    ball = np.sum((points - centre) ** 2, axis=0) < radius**2
    dose = Volume(points[2] + 0.5, affine)  # 1 Gy per mm along z
    curve = dvh(dose, Volume(ball, affine), bin_gy=0.02, supersample=3)
    assert curve.volume_cc == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.005)
    for height in (-15.0, -5.0, 0.0, 8.0, 16.0):
        cap = radius - height
        share = cap**2 * (3 * radius - cap) / (4 * radius**3)
        assert curve.v(centre + 0.5 + height) == pytest.approx(100 * share, abs=0.5)


def test_shares_weigh_like_repeated_voxels(rng):
    _, affine = grid((3, 4, 5))
    dose = Volume(rng.uniform(0, 60, (3, 4, 5)), affine)
    shares = rng.integers(0, 4, (3, 4, 5)) / 4
    curve = dvh(dose, Volume(shares, affine), bin_gy=0.01)
    repeated = np.repeat(dose.array.ravel(), (shares.ravel() * 4).astype(int))
    assert curve.mean_gy == pytest.approx(repeated.mean())
    assert curve.v(30) == pytest.approx(100 * (repeated >= 30).mean(), abs=1)
    assert curve.volume_cc == pytest.approx(shares.sum() * 0.01)


def test_a_coarser_dose_grid_is_interpolated_in_mm():
    points, affine = grid((8, 20, 30), spacing=(2.0, 1.0, 1.5))
    coarse_points, coarse = grid((7, 12, 20), spacing=(3.0, 2.5, 3.0), origin=(-6.0, 1.0, 5.0))
    slope = np.array([0.2, 0.5, 0.3])
    fine_dose = Volume(np.tensordot(slope, points, 1) + 20, affine)
    coarse_dose = Volume(np.tensordot(slope, coarse_points, 1) + 20, coarse)
    mask = Volume(points[0] + points[1] < 40, affine)
    a, b = dvh(fine_dose, mask), dvh(coarse_dose, mask)
    assert b.outside_dose_grid == 0
    assert b.mean_gy == pytest.approx(a.mean_gy, abs=1e-4)
    np.testing.assert_allclose(
        [b.d(p) for p in (2, 50, 98)], [a.d(p) for p in (2, 50, 98)], atol=1e-3
    )


def test_a_structure_that_leaves_the_dose_grid_says_so():
    _, affine = grid((4, 4, 4))
    mask = Volume(np.ones((4, 4, 4), dtype=bool), affine)
    dose = Volume(np.full((3, 4, 4), 9.0), affine)
    curve = dvh(dose, mask)
    assert curve.outside_dose_grid == pytest.approx(0.25)
    assert curve.min_gy == 0
    assert dvh(Volume(np.full((4, 4, 4), 9.0), affine), mask, supersample=3).outside_dose_grid == 0


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (np.zeros((2, 2, 2), dtype=bool), {}, "empty"),
        (np.full((2, 2, 2), 1.5), {}, "between 0 and 1"),
        (np.full((2, 2, 2), np.nan), {}, "between 0 and 1"),
        (np.ones((2, 2, 2), dtype=bool), {"bin_gy": 0}, "bin_gy"),
        (np.ones((2, 2, 2), dtype=bool), {"supersample": 0}, "supersample"),
    ],
)
def test_what_has_no_histogram_is_refused(mask, options, message):
    affine = np.eye(4)
    with pytest.raises(InputError, match=message):
        dvh(Volume(np.ones((2, 2, 2)), affine), Volume(mask, affine), **options)


def test_negative_dose_and_senseless_questions_are_refused():
    affine = np.eye(4)
    mask = Volume(np.ones((2, 2, 2), dtype=bool), affine)
    with pytest.raises(InputError, match="negative"):
        dvh(Volume(np.full((2, 2, 2), -1.0), affine), mask)
    curve = dvh(Volume(np.ones((2, 2, 2)), affine), mask)
    with pytest.raises(InputError, match=r"0\.\.100"):
        curve.d(101)
    with pytest.raises(InputError, match="0 cc"):
        curve.d_cc(-1)
