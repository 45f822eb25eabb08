"""Two doses of one patient: numbers worked out by hand."""

import doctest
import json

import numpy as np
import pytest

from isohash.dosimetry import comparison
from isohash.dosimetry.comparison import compare_doses, dose_difference
from isohash.errors import InputError
from isohash.records import Volume

AFFINE = np.diag([5.0, 2.0, 1.0, 1.0])  # voxels of 0.01 cc
SHAPE = (6, 10, 10)


def volume(array) -> Volume:
    return Volume(np.asarray(array), AFFINE)


@pytest.fixture
def found():
    target, organ = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    target[1:5, 2:6, 2:6] = True  # 64 voxels
    organ[1:5, 7:9, 2:6] = True  # 32 voxels
    reference = np.full(SHAPE, 10.0)
    reference[1:5, 0:8, 0:8] = 35.0  # 256 voxels at half the prescription or more
    reference[1:5, 2:6, 2:8] = 60.0  # 96 voxels, all of the target
    dose = reference.copy()
    dose[1:5, 2:4, 2:6] = 56.0  # half of the target gets less
    dose[organ] = 22.0
    masks = {"PTV_60": volume(target), "Parotid_L": volume(organ)}
    return compare_doses(volume(dose), volume(reference), masks, {"PTV_60": 60.0})


def test_metrics_are_those_of_the_structures(found) -> None:
    told = {(one.structure, one.metric): one for one in found.metrics}
    covered = told["PTV_60", "V95%"]
    assert (covered.value, covered.reference, covered.unit) == (50.0, 100.0, "%")  # 57 Gy
    assert told["PTV_60", "D98"].difference == pytest.approx(-4.0, abs=0.06)
    assert told["PTV_60", "V107%"].reference == 0.0
    mean = told["Parotid_L", "mean"]  # a half at 35, a half at 10 Gy
    assert (mean.value, mean.reference) == (pytest.approx(22.0), pytest.approx(22.5))
    assert told["Parotid_L", "V20Gy"].value == 100.0
    assert told["Parotid_L", "V30Gy"].reference == 50.0


def test_conformity_counts_voxels(found) -> None:
    fit, worse = (side.conformity["PTV_60"] for side in (found.reference, found.dose))
    assert (fit.coverage, fit.rtog) == (1.0, 96 / 64)
    assert fit.paddick == pytest.approx(64**2 / (64 * 96))
    assert (fit.gradient, fit.r50) == (256 / 96, 256 / 64)
    assert fit.homogeneity == pytest.approx(0.0, abs=1e-3)
    assert (worse.coverage, worse.rtog) == (0.5, 1.0)
    assert worse.paddick == pytest.approx(32**2 / (64 * 64))
    assert worse.homogeneity == pytest.approx(4.0 / 56.0, abs=0.005)


def test_the_difference_is_that_of_the_points_above_the_threshold(found) -> None:
    lower = 32 * 4.0 + 16 * 13.0  # Gy times voxels: in the target, in the organ where 35 was
    higher = 16 * 12.0
    assert found.difference.points == 600  # 10 Gy are above a tenth of 60
    assert found.difference.mean_gy == pytest.approx((higher - lower) / 600)
    assert found.difference.mean_absolute_gy == pytest.approx((higher + lower) / 600)
    assert found.difference.low_gy == pytest.approx(-13.0)


def test_all_of_it_is_plain_json(found) -> None:
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [(one["percent"], one["mm"]) for one in told["gamma"]] == [(3, 2), (3, 3), (2, 2)]
    first, second, third = (one["passing_percent"] for one in told["gamma"])
    assert third <= first <= second < 100.0
    assert told["conformity"]["reference"]["PTV_60"]["rtog"] == 1.5


def test_the_dose_is_interpolated_onto_the_reference() -> None:
    x = np.broadcast_to(np.arange(10.0), SHAPE)
    finer = Volume(np.broadcast_to(np.arange(0.0, 9.5, 0.5) + 1.0, (6, 10, 19)), AFFINE.copy())
    finer.affine[2, 2] = 0.5
    assert dose_difference(finer, volume(x)).mean_gy == pytest.approx(1.0)


def test_doses_that_do_not_meet_are_refused() -> None:
    far = AFFINE.copy()
    far[0, 3] = 1000.0
    with pytest.raises(InputError, match="the doses share no point"):
        compare_doses(Volume(np.ones(SHAPE), far), volume(np.ones(SHAPE)))


def test_the_example_runs() -> None:
    assert doctest.testmod(comparison).failed == 0
