from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.features.cases.anatomy import Anatomy, anatomy_of, prescribed_targets
from isohash.records import Case, Volume
from small_cases import phantom


@pytest.fixture(scope="module")
def case() -> Case:
    return phantom(1, 0)


@pytest.fixture(scope="module")
def anatomy(case: Case) -> Anatomy:
    return anatomy_of(case)


def turned(volume: Volume) -> Volume:
    """The same volume with its axes in another order and direction."""
    array = volume.array.transpose(2, 0, 1)[:, ::-1]
    affine = volume.affine[:, [2, 0, 1, 3]].copy()
    affine[:3, 3] += affine[:3, 1] * (array.shape[1] - 1)
    affine[:3, 1] *= -1
    return Volume(np.ascontiguousarray(array), affine)


def halved(volume: Volume) -> Volume:
    """The same volume on voxels of half the size."""
    array = volume.array
    for axis in range(3):
        array = np.repeat(array, 2, axis=axis)
    affine = volume.affine.copy()
    affine[:3, 3] -= affine[:3, :3].sum(axis=1) / 4
    affine[:3, :3] /= 2
    return Volume(array, affine)


def made(case: Case, change: object) -> Case:
    structures = {n: change(v) for n, v in case.structures.items()}  # type: ignore[operator]
    return replace(case, ct=change(case.ct), structures=structures)  # type: ignore[operator]


def same(a: Anatomy, b: Anatomy) -> None:
    np.testing.assert_allclose(a.affine, b.affine, atol=1e-6)
    for name in ("body", "density", "target", "prescribed"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.organs.keys() == b.organs.keys()
    for name, mask in a.organs.items():
        np.testing.assert_array_equal(mask, b.organs[name], err_msg=name)


def test_the_order_and_direction_of_the_axes_change_nothing(case: Case, anatomy: Anatomy) -> None:
    same(anatomy, anatomy_of(made(case, turned)))


def test_finer_voxels_are_taken_together(case: Case, anatomy: Anatomy) -> None:
    fine = anatomy_of(made(case, halved))
    assert fine.spacing_mm == pytest.approx(anatomy.spacing_mm)
    np.testing.assert_array_equal(fine.target.sum(), anatomy.target.sum())
    np.testing.assert_array_equal(fine.density.max(), anatomy.density.max())


def test_levels_fall_and_a_cell_counts_for_its_highest(anatomy: Anatomy) -> None:
    doses = [level.gy for level in anatomy.levels]
    assert doses == sorted(doses, reverse=True)
    assert anatomy.prescription_gy == doses[0]
    highest = anatomy.levels[0].mask
    assert (anatomy.prescribed[highest] == doses[0]).all()
    assert (anatomy.prescribed > 0).sum() == anatomy.target.sum()


def test_dose_is_foreseen_in_the_body_near_the_targets(anatomy: Anatomy) -> None:
    assert not (anatomy.reached & ~anatomy.body).any()
    assert not (anatomy.target & ~anatomy.reached).any()
    z = np.flatnonzero(anatomy.target.any(axis=(1, 2)))
    at = np.flatnonzero(anatomy.reached.any(axis=(1, 2)))
    assert (z[0] - at[0]) * anatomy.spacing_mm[0] <= 30 + anatomy.spacing_mm[0]


def test_air_inside_the_body_belongs_to_it_but_has_no_density(case: Case, anatomy: Anatomy) -> None:
    airway = anatomy.body & (anatomy.density < 0.1)
    assert airway.sum() > 10
    assert (anatomy.density[~anatomy.body] == 0).all()


def renamed(case: Case, names: dict[str, str]) -> Case:
    return replace(case, structures={names.get(n, n): v for n, v in case.structures.items()})


def test_a_target_without_a_dose_in_its_name_gets_the_prescription(case: Case) -> None:
    highest = max((n for n in case.structures if n.startswith("PTV")), key=lambda n: int(n[3:]))
    plain = renamed(case, {highest: "PTV boost"})
    assert prescribed_targets(plain)["PTV boost"] == case.prescription_gy
    assert prescribed_targets(plain, 50.0)["PTV boost"] == 50.0


def test_a_number_far_from_the_prescription_is_no_dose(case: Case) -> None:
    lowest = min((n for n in case.structures if n.startswith("PTV")), key=lambda n: int(n[3:]))
    counted = prescribed_targets(renamed(case, {lowest: "PTV 2"}))
    assert counted["PTV_2"] == case.prescription_gy


def test_what_is_needed_and_missing_is_named(case: Case) -> None:
    with pytest.raises(InputError, match="has no CT"):
        anatomy_of(replace(case, ct=None))
    organs = {n: v for n, v in case.structures.items() if not n.startswith("PTV")}
    with pytest.raises(InputError, match="has no target"):
        anatomy_of(replace(case, structures=organs))
    some = next(n for n in case.structures if n.startswith("PTV"))
    nameless = replace(case, structures={"PTV": case.structures[some]}, prescription_gy=None)
    with pytest.raises(InputError, match="--prescription"):
        anatomy_of(nameless)
    assert anatomy_of(nameless, 60.0).prescription_gy == 60.0


def test_dose_is_foreseen_in_air_only_where_the_case_says_that_it_may_lie(
    case: Case, anatomy: Anatomy
) -> None:
    everywhere = Volume(np.ones_like(case.ct.array, dtype=bool), case.ct.affine)
    found = anatomy_of(replace(case, possible=everywhere))
    assert found.reached.sum() > anatomy.reached.sum()
    slices = found.reached.any(axis=(1, 2))
    assert found.reached[slices].all()
    assert found.body.sum() == anatomy.body.sum()
    nowhere = replace(case, possible=replace(everywhere, array=~everywhere.array))
    same(anatomy_of(nowhere), anatomy)
