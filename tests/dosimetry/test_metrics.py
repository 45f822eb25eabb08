"""Plan metrics against numbers worked out by hand."""

import doctest

import numpy as np
import pytest

from isohash.dosimetry import metrics
from isohash.dosimetry.dvh import dvh
from isohash.dosimetry.metrics import (
    conformity_index,
    eqd2,
    gradient_index,
    homogeneity_index,
    percent_of,
    structure_dose,
)
from isohash.errors import InputError
from isohash.records import Volume

AFFINE = np.diag([5.0, 2.0, 1.0, 1.0])[[2, 1, 0, 3]][:, [0, 1, 2, 3]]


def volume(array):
    return Volume(np.asarray(array), AFFINE)


def test_a_uniform_dose_is_homogeneous_and_its_numbers_are_all_the_same():
    curve = dvh(volume(np.full((4, 5, 6), 50.0)), volume(np.ones((4, 5, 6), dtype=bool)))
    numbers = structure_dose(curve, 40.0)
    for value in (numbers.mean_gy, numbers.d2_gy, numbers.d50_gy, numbers.d98_gy, numbers.max_gy):
        assert value == pytest.approx(50, abs=0.06)
    assert numbers.homogeneity == pytest.approx(0, abs=0.003)
    assert numbers.percent == {
        name: pytest.approx(125, abs=0.2) for name in ("mean", "d2", "d50", "d98", "max")
    }
    assert numbers.volume_cc == pytest.approx(1.2)
    assert structure_dose(curve).percent == {}


def test_a_ramp_has_the_homogeneity_of_its_ends():
    ramp = np.linspace(40, 60, 2000).reshape(1, 1, -1)
    curve = dvh(volume(ramp), volume(np.ones(ramp.shape, dtype=bool)), bin_gy=0.01)
    assert curve.d(2) == pytest.approx(59.6, abs=0.03)
    assert curve.d(98) == pytest.approx(40.4, abs=0.03)
    assert homogeneity_index(curve) == pytest.approx(19.2 / 50, abs=2e-3)


def test_the_maximum_is_that_of_the_hottest_three_hundredths_of_a_cc():
    dose = np.full((10, 10, 10), 10.0)
    dose[0, 0, :4] = (90, 80, 70, 60)  # voxels of 0.01 cc
    curve = dvh(volume(dose), volume(np.ones(dose.shape, dtype=bool)), bin_gy=0.01)
    assert structure_dose(curve).max_gy == pytest.approx(70, abs=0.02)


def test_conformity_and_fall_off_count_voxels():
    target = np.zeros((4, 10, 10), dtype=bool)
    target[1:3, 2:6, 2:6] = True  # 32 voxels
    dose = np.zeros(target.shape)
    dose[1:3, 0:8, 0:8] = 35.0  # 128 voxels at half the prescription
    dose[1:3, 2:6, 2:8] = 70.0  # 48 voxels, of which 32 in the target
    assert conformity_index(volume(dose), volume(target), 70) == pytest.approx(32**2 / (32 * 48))
    assert gradient_index(volume(dose), volume(target), 70) == pytest.approx(128 / 32)
    assert conformity_index(volume(target * 70.0), volume(target), 70) == 1
    assert conformity_index(volume(dose), volume(target), 71) == 0


def fine_grid(n, spacing):
    """Coordinates z, y, x in mm about the middle of a grid, and its affine."""
    affine = np.diag([*spacing, 1.0])[[2, 1, 0, 3]]
    affine[:3, 3] = -(np.array(n[::-1]) - 1) / 2 * np.array(spacing[::-1])
    axes = [mm * (np.arange(k) - (k - 1) / 2) for k, mm in zip(n, spacing, strict=True)]
    return np.meshgrid(*axes, indexing="ij"), affine


def test_a_ball_of_dose_about_a_ball_has_the_indices_of_their_radii():
    """Dose falls as 60 Gy (2 - r / 20 mm): 60 Gy at 20 mm, 30 Gy at 30 mm; target of 18 mm."""
    (z, y, x), affine = fine_grid((50, 70, 80), (1.4, 1.0, 0.9))
    r = np.sqrt(x**2 + y**2 + z**2)
    dose = Volume(np.clip(60 * (2 - r / 20), 0, None), affine)
    target = Volume(r <= 18, affine)
    assert conformity_index(dose, target, 60) == pytest.approx((18 / 20) ** 3, rel=0.01)
    assert gradient_index(dose, target, 60) == pytest.approx((30 / 18) ** 3, rel=0.01)
    curve = dvh(dose, target, bin_gy=0.02, supersample=2)
    for percent in (2, 50, 98):  # the volume with at least D is a ball: (r / 18)^3 of the target
        assert curve.d(percent) == pytest.approx(
            60 * (2 - 0.9 * (percent / 100) ** (1 / 3)), rel=0.01
        )
    assert curve.mean_gy == pytest.approx(60 * (2 - 0.75 * 0.9), rel=0.005)
    assert curve.v(75) == pytest.approx(100 * (15 / 18) ** 3, rel=0.01)
    hottest_mm = (3 * 30 / (4 * np.pi)) ** (1 / 3)  # radius of 0.03 cc
    assert structure_dose(curve).max_gy == pytest.approx(60 * (2 - hottest_mm / 20), abs=1.0)


def test_a_cylinder_and_a_cone_in_a_linear_dose_match_their_formulas():
    (z, y, x), affine = fine_grid((60, 64, 64), (1.0, 1.0, 1.0))
    dose = Volume(30 + z / 2.0, affine)  # 15.25 to 44.75 Gy
    cylinder = Volume((x**2 + y**2 <= 25**2) & (abs(z) < 20), affine)
    curve = dvh(dose, cylinder, bin_gy=0.02, supersample=4)
    for percent in (2, 20, 50, 80, 98):  # every height holds the same share
        assert curve.d(percent) == pytest.approx(40 - 20 * percent / 100, abs=0.1)
    assert homogeneity_index(curve) == pytest.approx(20 * 0.96 / 30, abs=0.01)
    up = z + 20  # from the tip
    cone = Volume((x**2 + y**2 <= (0.6 * up) ** 2) & (up > 0) & (up < 40), affine)
    curve = dvh(dose, cone, bin_gy=0.02, supersample=4)
    for percent in (2, 20, 50, 80):  # above height h lies 1 - (h / 40)^3 of the volume
        height = 40 * (1 - percent / 100) ** (1 / 3)
        assert curve.d(percent) == pytest.approx(20 + height / 2, abs=0.2)
    assert curve.mean_gy == pytest.approx(20 + 15, abs=0.1)  # the centre is at 3/4 of the height


def test_eqd2_is_the_dose_itself_at_two_gray_a_fraction():
    np.testing.assert_allclose(eqd2(np.array([60.0, 30.0]), 30, 3.0), [60.0, 30 * (1 + 3) / 5])
    assert eqd2(60.0, 20, 10.0) == pytest.approx(60 * 13 / 12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: percent_of(1.0, 0.0), "prescription_gy must be positive"),
        (lambda v: eqd2(1.0, 0, 3.0), "n_fractions"),
        (lambda v: eqd2(1.0, 1, -3.0), "alpha_beta_gy"),
        (lambda v: conformity_index(v, volume(np.zeros((2, 2, 2))), 70), "empty"),
        (lambda v: conformity_index(v, volume(np.ones((2, 2, 3))), 70), "one grid"),
        (lambda v: gradient_index(v, Volume(np.ones((2, 2, 2)), 2 * AFFINE), 70), "one grid"),
        (lambda v: gradient_index(v, v, np.nan), "prescription_gy must be positive"),
    ],
)
def test_senseless_questions_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(volume(np.ones((2, 2, 2))))


def test_the_documented_examples_are_true():
    found = doctest.testmod(metrics)
    assert found.attempted >= 4
    assert found.failed == 0
