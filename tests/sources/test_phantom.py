"""Phantoms: same seed same bytes, anatomy in its place, families nearer within than between."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from isohash.errors import InputError
from isohash.sources.phantom import draw_family, phantom_case

SMALL = (24, 48, 48)


@pytest.fixture(scope="module")
def cases():
    return [phantom_case(f, m, shape=(32, 64, 64)) for f in range(6) for m in range(4)]


def test_a_member_depends_on_seed_family_and_number_alone():
    alone = phantom_case(2, 1, seed=5, shape=SMALL)
    listed = [phantom_case(2, member, seed=5, shape=SMALL) for member in (0, 1)][-1]
    assert alone.id == listed.id == "phantom-02-01"
    assert alone.label == "family-02"
    np.testing.assert_array_equal(alone.ct.array, listed.ct.array)
    np.testing.assert_array_equal(alone.dose.array, listed.dose.array)
    other = phantom_case(2, 1, seed=6, shape=SMALL)
    assert not np.array_equal(alone.ct.array, other.ct.array)


def test_every_case_is_a_patient_of_its_own(cases):
    assert len({case.patient for case in cases}) == len(cases)


def test_the_parts_lie_where_they_do_in_a_patient():
    case = phantom_case(0, 0)
    centre = {
        name: (mask.affine @ [*np.argwhere(mask.array).mean(axis=0), 1])[:3]
        for name, mask in case.structures.items()
    }
    assert centre["LeftParotid"][0] - centre["RightParotid"][0] > 60
    assert centre["SpinalCord"][1] > centre["Larynx"][1]
    assert centre["Brainstem"][2] > centre["Mandible"][2] > centre["Larynx"][2]
    assert case.ct.array.dtype == np.int16
    assert case.ct.array.min() >= -1024
    assert case.dose.array.dtype == np.float32
    assert not case.dose.array[:, 0].any()  # no dose in the air before the face


@pytest.mark.parametrize("family", range(8))
def test_targets_get_their_level_and_organs_less(family):
    case = phantom_case(family, 0)
    for target in draw_family(family).targets:
        mask = case.structures[f"PTV{target.level_gy}"].array
        assert mask.sum() > 100
        assert np.percentile(case.dose.array[mask], 5) > 0.94 * target.level_gy
    assert case.dose.array.max() < 1.1 * case.prescription_gy
    assert case.dose.array.min() >= 0
    assert case.dose.array[case.structures["SpinalCord"].array].mean() < 45


def test_members_of_a_family_are_nearer_in_dose_than_strangers(cases):
    flat = np.array([case.dose.array.ravel() for case in cases], dtype=np.float64)
    distance = cdist(flat, flat)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(axis=1)
    same = np.mean([cases[i].label == cases[j].label for i, j in enumerate(nearest)])
    assert same > 0.8  # raw voxels, not registered: chance is 3 / 23


def test_members_of_a_family_are_not_copies(cases):
    a, b = cases[0].ct.array.astype(float), cases[1].ct.array.astype(float)
    assert np.abs(a - b).mean() > 30


def test_families_differ_in_layout_however_many_there_are():
    layouts = {
        tuple((target.level_gy, target.parts) for target in draw_family(f).targets)
        for f in range(60)
    }
    assert len(layouts) == 60


def test_a_grid_too_small_for_an_anatomy_is_refused():
    with pytest.raises(InputError, match="at least 8 voxels"):
        phantom_case(0, 0, shape=(4, 64, 64))
