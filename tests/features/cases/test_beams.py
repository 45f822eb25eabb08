from __future__ import annotations

import numpy as np
import pytest

from isohash.features.cases import crude_plan
from isohash.features.cases.anatomy import Anatomy, Level
from isohash.features.cases.beams import SAD_MM, BeamSettings
from isohash.features.cases.crude_plan import PlanningGoals, crude_fluence, every_other
from isohash.features.cases.fields import Fields, fields_of
from isohash.features.cases.voxels import VoxelSettings, by_share, voxels_of

MM = 5.0


def box(n: int = 21, organ_at: int | None = None) -> Anatomy:
    """A cube of water with a cubic target in its middle, and an organ beside it."""
    shape = (11, n, n)
    middle = n // 2
    body = np.ones(shape, bool)
    target = np.zeros(shape, bool)
    target[3:8, middle - 3 : middle + 4, middle - 3 : middle + 4] = True
    organs = {}
    if organ_at is not None:
        organ = np.zeros(shape, bool)
        organ[3:8, middle - 3 : middle + 4, organ_at : organ_at + 3] = True
        organs["Parotid_L"] = organ
    affine = np.diag([MM, MM, MM, 1.0])[[2, 1, 0, 3]]
    affine[2, 0] *= -1
    density = body.astype(np.float32)
    return Anatomy("box", affine, body, density, (Level(60.0, target),), organs, body)


@pytest.fixture(scope="module")
def fields() -> Fields:
    return fields_of(box())


def test_back_is_the_adjoint_of_dose(fields: Fields, rng: np.random.Generator) -> None:
    fluence = rng.random(fields.n_bixels).astype(np.float32)
    cells = rng.random(len(fields.cells[0])).astype(np.float32)
    forth = float(fields.dose(fluence).astype(float) @ cells)
    assert forth == pytest.approx(float(fields.back(cells).astype(float) @ fluence), rel=1e-5)


def test_on_the_axis_of_a_field_the_dose_falls_with_depth_and_distance() -> None:
    settings = BeamSettings(angles=(0.0,))
    anatomy = box()
    one = fields_of(anatomy, settings)
    dose = one.dose(np.ones(one.n_bixels, np.float32))
    grid = np.zeros(anatomy.body.shape)
    grid[one.cells] = dose
    axis = grid[5, :, 10]
    depth = MM * (np.arange(21) + 0.5)
    skin = 1 - settings.skin * np.exp(-settings.build_up * depth)
    scale = SAD_MM / (SAD_MM + MM * (np.arange(21) - 10))
    expected = np.exp(-settings.attenuation * depth) * skin * scale**2
    inner = slice(2, -2)  # at the sides the samples of a ray reach out of the box
    np.testing.assert_allclose(axis[inner] / axis[10], expected[inner] / expected[10], rtol=0.02)


def test_a_field_turned_with_the_patient_gives_the_same_dose() -> None:
    anatomy = box()
    dose = {}
    for angle in (0.0, 90.0, 180.0, 270.0):
        one = fields_of(anatomy, BeamSettings(angles=(angle,)))
        grid = np.zeros(anatomy.body.shape)
        grid[one.cells] = one.dose(one.aimed_at(anatomy.target[one.cells]))
        dose[angle] = grid
    assert dose[0.0][5, 0, 10] > 1.1 * dose[0.0][5, 20, 10]  # it comes from the front
    assert dose[90.0][5, 10, 20] > 1.1 * dose[90.0][5, 10, 0]  # and this from the left
    for quarter, angle in enumerate((0.0, 90.0, 180.0, 270.0)):
        turned = np.rot90(dose[0.0], -quarter, axes=(1, 2))
        np.testing.assert_allclose(dose[angle], turned, atol=0.02 * dose[0.0].max())


def test_fields_that_miss_a_cell_give_it_no_dose_but_scatter(fields: Fields) -> None:
    aimed = fields.aimed_at(box().target[fields.cells])
    dose = np.zeros(box().body.shape)
    dose[fields.cells] = fields.dose(aimed)
    assert dose[0].max() < 0.1 * dose[5].max()


def planned(anatomy: Anatomy, goals: PlanningGoals) -> np.ndarray:
    fields = fields_of(anatomy)
    settings = VoxelSettings((1.0,), ())
    distance = voxels_of(anatomy, settings).values[:, settings.names.index("distance target")]
    near = np.full(len(distance), 60.0, np.float32)
    grid = np.zeros(anatomy.body.shape, np.float32)
    used = every_other(fields, distance < 0)
    fluence = crude_fluence(anatomy, fields.on(used), near[used], distance[used], goals)
    grid[fields.cells] = fields.dose(fluence)
    return grid


def test_the_crude_plan_treats_the_target_and_spares_what_it_is_told_to() -> None:
    anatomy = box(organ_at=15)
    target, organ = anatomy.target, anatomy.organs["Parotid_L"]
    free = planned(anatomy, PlanningGoals(parallel=0.0))
    sparing = planned(anatomy, PlanningGoals(parallel=0.1))
    for dose in (free, sparing):
        assert dose[target].mean() == pytest.approx(60.0, rel=0.05)
        assert np.percentile(dose[target], 5) > 50.0
    assert sparing[organ].mean() < 0.8 * free[organ].mean()


def test_more_steps_come_nearer_to_the_goals() -> None:
    lack = []
    for steps in (2, 8, 24):
        dose = planned(box(), PlanningGoals(iterations=steps))
        lack.append(float(np.maximum(60.0 - dose[box().target], 0).mean()))
    assert lack[0] > lack[1] > lack[2]


def test_levels_go_to_the_nearest_share() -> None:
    anatomy = box()
    low = np.roll(anatomy.target, 1, axis=2)
    two = Anatomy("two", anatomy.affine, anatomy.body, anatomy.density,
                  (*anatomy.levels, Level(49.0, low)), {}, anatomy.body)  # fmt: skip
    found = by_share(two, (1.0, 0.9, 0.8))
    assert found[0.9] is None
    assert found[0.8] is low
    assert found[1.0] is anatomy.levels[0].mask


def test_features_have_names_and_what_is_absent_is_not_a_number() -> None:
    settings = VoxelSettings((1.0, 0.8), ("Parotid_L", "Larynx"))
    anatomy = box(organ_at=15)
    voxels = voxels_of(anatomy, settings)
    values = dict(zip(settings.names, voxels.values.T, strict=True))
    assert voxels.values.shape == (anatomy.reached.sum(), len(settings.names))
    for absent in ("distance 0.8", "distance Larynx", "open 0.8"):
        assert np.isnan(values[absent]).all()
    inside = anatomy.target[voxels.cells]
    assert (values["distance target"][inside] < 0).all()
    assert (values["distance target"][~inside] > 0).all()
    assert values["volume 1"][0] == pytest.approx(5 * 7 * 7 * 0.125)
    assert values["volume 0.8"][0] == 0
    assert values["prescribed"][inside].tolist() == [1.0] * int(inside.sum())
    assert (values["prescribed near"] == 1.0).all()
    assert values["open 1"][inside].mean() == pytest.approx(1.0)
    assert set(values["treated area"]) == {0.0, 49 * 0.25}
    at = (voxels.cells[0] == 3) & inside
    assert (values["above"][at] == 0).all()
    assert (values["below"][at] == 4 * MM).all()


def test_doses_in_the_features_are_shares_of_the_prescription() -> None:
    settings = VoxelSettings((1.0,), ())
    plan = settings.names.index("plan")
    anatomy = box()
    doubled = Anatomy("b", anatomy.affine, anatomy.body, anatomy.density,
                      (Level(120.0, anatomy.target),), {}, anatomy.body)  # fmt: skip
    a, b = (voxels_of(one, settings).values[:, plan] for one in (anatomy, doubled))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_half_of_the_cells_tell_nearly_the_same_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    anatomy = box()
    monkeypatch.setattr(crude_plan, "FEWEST_TREATED", 0)
    half = planned(anatomy, PlanningGoals())
    monkeypatch.setattr(crude_plan, "FEWEST_TREATED", 10**6)
    whole = planned(anatomy, PlanningGoals())
    assert not np.array_equal(half, whole)
    assert np.abs(half - whole).mean() < 0.03 * np.abs(whole).mean()
