"""Plan metrics against numbers worked out by hand."""

import numpy as np
import pytest

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
    assert numbers.mean_percent == pytest.approx(125)
    assert numbers.volume_cc == pytest.approx(1.2)
    assert structure_dose(curve).mean_percent is None


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
