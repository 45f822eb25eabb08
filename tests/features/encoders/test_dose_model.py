from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isohash.features.cases.anatomy import Anatomy, anatomy_of
from isohash.features.cases.beams import BeamSettings
from isohash.features.cases.canonical import canonical
from isohash.features.cases.crude_plan import PlanningGoals
from isohash.features.cases.voxels import Voxels, VoxelSettings, voxels_of
from isohash.features.encoders.dose_fitting import (
    Sample,
    common_settings,
    fit_dose_models,
    folds_of,
    sample_of,
)
from isohash.features.encoders.dose_model import DoseModel, DoseModels
from isohash.features.encoders.encoders import load_encoder
from isohash.features.encoders.trees import BoostingSettings
from isohash.records import Case
from small_cases import phantom

SETTINGS = VoxelSettings(
    (1.0, 0.8),
    ("Brainstem", "Parotid_L", "Parotid_R", "SpinalCord"),
    BeamSettings(angles=(0, 120, 240)),
    PlanningGoals(iterations=3),
)  # what takes time is made short
BOOSTING = BoostingSettings(n_trees=25, leaves=15, least_samples=20, bins=32)
CELLS = 900


def dose_of(case: Case, anatomy: Anatomy) -> np.ndarray:
    """The planned dose on the anatomy's grid, which for a phantom is a part of the CT's."""
    dose = canonical(case.dose)
    first = np.rint(np.linalg.inv(dose.affine) @ anatomy.affine[:, 3]).astype(int)
    cut = tuple(slice(a, a + n) for a, n in zip(first, anatomy.body.shape, strict=False))
    return dose.array[cut]


@pytest.fixture(scope="module")
def plans() -> dict[str, tuple[Voxels, np.ndarray]]:
    found = {}
    for member in range(11):
        case = phantom(0, member)
        anatomy = anatomy_of(case)
        voxels = voxels_of(anatomy, SETTINGS)
        found[case.id] = voxels, dose_of(case, anatomy)[voxels.cells].astype(np.float32)
    return found


@pytest.fixture(scope="module")
def samples(plans: dict[str, tuple[Voxels, np.ndarray]]) -> list[Sample]:
    return [sample_of(v, gy, SETTINGS, name, CELLS, 0) for name, (v, gy) in plans.items()]


@pytest.fixture(scope="module")
def fitted(samples: list[Sample]) -> DoseModels:
    return fit_dose_models(samples, SETTINGS, BOOSTING)


def test_what_is_left_out_is_foretold_far_better_than_by_the_mean(
    fitted: DoseModels, plans: dict[str, tuple[Voxels, np.ndarray]]
) -> None:
    missed, spread = [], []
    for name, (voxels, gy) in plans.items():
        own = fitted.for_patient(name).predict_voxels(voxels).gy[voxels.cells]
        missed.append(np.abs(own - gy).mean())
        spread.append(np.abs(gy - gy.mean()).mean())
    assert np.mean(missed) < 0.2 * np.mean(spread)


def test_a_left_out_prediction_does_not_know_its_own_plan(
    fitted: DoseModels, samples: list[Sample], plans: dict[str, tuple[Voxels, np.ndarray]]
) -> None:
    name = samples[0].id
    wrong = replace(samples[0], share=samples[0].share[::-1].copy())
    again = fit_dose_models([wrong, *samples[1:]], SETTINGS, BOOSTING)
    voxels = plans[name][0]
    trees = [one.for_patient(name).trees.predict(voxels.values) for one in (fitted, again)]
    np.testing.assert_array_equal(*trees)
    whole = [one.model.trees.predict(voxels.values) for one in (fitted, again)]
    assert not np.array_equal(*whole)


def test_a_patients_plans_are_left_out_together() -> None:
    patients = [f"p{at // 2}" for at in range(60)]
    fold = folds_of(patients, 0)
    assert all(fold[at] == fold[at + 1] for at in range(0, 60, 2))
    assert np.bincount(fold).min() >= 60 // len(np.bincount(fold)) - 2


def test_a_model_survives_being_kept(
    fitted: DoseModels, plans: dict[str, tuple[Voxels, np.ndarray]], tmp_path: Path
) -> None:
    fitted.model.save(tmp_path / "dose.safetensors")
    again = load_encoder(tmp_path / "dose.safetensors", DoseModel)
    assert again.digest == fitted.model.digest
    assert again.voxels == SETTINGS
    voxels = next(iter(plans.values()))[0]
    expected = fitted.model.predict_voxels(voxels).gy
    np.testing.assert_array_equal(again.predict_voxels(voxels).gy, expected)


def test_dose_is_foretold_only_where_it_is_known_to_go(
    fitted: DoseModels, plans: dict[str, tuple[Voxels, np.ndarray]]
) -> None:
    voxels = next(iter(plans.values()))[0]
    dose = fitted.model.predict_voxels(voxels)
    assert dose.gy.min() >= 0
    assert (dose.gy[~voxels.anatomy.reached] == 0).all()
    assert dose.volume.array.shape == voxels.anatomy.body.shape


def test_hot_spots_are_put_back(fitted: DoseModels) -> None:
    assert fitted.model.hot.shape[0] == 2
    assert (fitted.model.hot[0, :2] > 0).all()  # phantoms have noise, a mean of many has none


def test_an_anatomy_of_other_organs_is_refused(fitted: DoseModels) -> None:
    anatomy = anatomy_of(phantom(0, 20))
    scope = fitted.model.scope
    assert scope.refusal(anatomy) is None
    assert scope.unlike(anatomy) == ()
    heart = replace(anatomy, organs={"Heart": anatomy.organs["SpinalCord"]})
    assert "most have " in (scope.refusal(heart) or "")
    cord = replace(anatomy, organs={"SpinalCord": anatomy.organs["SpinalCord"]})
    assert scope.refusal(cord) is not None


def test_what_lies_beyond_the_cases_seen_is_named(fitted: DoseModels) -> None:
    anatomy = anatomy_of(phantom(0, 20))
    levels = tuple(replace(level, gy=level.gy / 2) for level in anatomy.levels)
    told = fitted.model.scope.unlike(replace(anatomy, levels=levels))
    assert any("prescription of 35 Gy" in sentence for sentence in told)


def test_the_levels_and_organs_of_most_plans_are_learned() -> None:
    levels = [(1.0, 0.8)] * 30 + [(1.0, 0.81)] * 12 + [(1.0, 0.9)] * 11 + [(1.0, 0.7)] * 3
    organs = [("SpinalCord", "Larynx")] * 12 + [("SpinalCord",)] * 41 + [("Eye_L",)] * 3
    settings = common_settings(levels, organs)
    assert settings.levels == (1.0, 0.9, 0.8)
    assert settings.organs == ("Larynx", "SpinalCord")


def test_cells_without_recorded_dose_teach_nothing(
    plans: dict[str, tuple[Voxels, np.ndarray]],
) -> None:
    name, (voxels, gy) = next(iter(plans.items()))
    cut = np.where(voxels.cells[0] < voxels.anatomy.body.shape[0] // 2, 0, gy).astype(np.float32)
    sample = sample_of(voxels, cut, SETTINGS, name, CELLS, 0)
    assert (sample.share > 0).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_draws_the_same_cells(
    plans: dict[str, tuple[Voxels, np.ndarray]], seed: int
) -> None:
    name, (voxels, gy) = next(iter(plans.items()))
    a, b = (sample_of(voxels, gy, SETTINGS, name, CELLS, seed) for _ in range(2))
    np.testing.assert_array_equal(a.values, b.values)
    other = sample_of(voxels, gy, SETTINGS, name, CELLS, seed + 1)
    assert not np.array_equal(a.share, other.share)
