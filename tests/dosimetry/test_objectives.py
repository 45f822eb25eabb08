"""What planners aim at, of drawn structures and masks."""

import numpy as np
import pytest

from drawn_shapes import AFFINE, SHAPE, circle, drawn
from isohash.dosimetry import objectives
from isohash.dosimetry.dvh import doses_at, dvh
from isohash.dosimetry.objectives import MOST_METRICS, doses_of
from isohash.dosimetry.plan_scores import dvh_metrics
from isohash.records import Volume

PERCENTS = (98.0, 50.0, 2.0)


def slope():
    gy = np.broadcast_to(np.linspace(10.0, 60.0, SHAPE[2], dtype=np.float32), SHAPE)
    return Volume(gy, AFFINE)


@pytest.mark.parametrize("name", ["PTV_70", "SpinalCord"])
def test_doses_of_a_drawn_structure_are_those_of_its_histogram_sampled_once(name, monkeypatch):
    structure, asked = drawn([(0.0, [circle(10)]), (3.0, [circle(8)])], AFFINE, SHAPE), []
    monkeypatch.setattr(objectives, "dvh", lambda *given: asked.append(given) or dvh(*given))
    found = doses_of(slope(), structure, name, PERCENTS)
    curve = dvh(slope(), structure)
    organ = (curve.d_cc(0.1), curve.mean_gy, np.nan)
    aims = [curve.d(v) for v in (1, 95, 99)] if name == "PTV_70" else organ
    np.testing.assert_array_equal(found[:-MOST_METRICS], doses_at(slope(), structure, PERCENTS))
    np.testing.assert_array_equal(found[-MOST_METRICS:], aims)
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["PTV_70", "SpinalCord"])
def test_doses_of_a_mask_are_the_challenges(name):
    mask = np.zeros(SHAPE, bool)
    mask[4:9, 10:20, 12:25] = True
    found = doses_of(slope(), Volume(mask, AFFINE), name, PERCENTS)
    expected = dvh_metrics(name, slope().array[mask], Volume(mask, AFFINE).voxel_cc)
    of_mask = doses_at(slope(), Volume(mask, AFFINE), PERCENTS)
    np.testing.assert_array_equal(found[:-MOST_METRICS], of_mask)
    np.testing.assert_array_equal(found[-MOST_METRICS:][: len(expected)], expected)
    assert np.isnan(found[-MOST_METRICS:][len(expected) :]).all()
