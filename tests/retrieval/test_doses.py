"""Doses foretold by an archive: what is kept, for whom, and what asking by it gives."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.features.cases.geometry import dvh_features
from isohash.features.encoders.dose_calibration import NOMINAL
from isohash.records import Case, Volume
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.dose_arrays import (
    STEP_GY,
    KeptDose,
    grid_array,
    packed,
    predicted_histograms,
)
from isohash.retrieval.dose_view import CALIBRATION
from isohash.retrieval.engine import Archive
from isohash.retrieval.foreseen import foresee
from isohash.retrieval.soundness import repair
from small_cases import DOSED_MEMBERS, OPTIONS, lose, phantom, quick_doses, some_phantoms

MEMBERS = DOSED_MEMBERS


def test_nothing_of_the_work_is_left(dosed_path: Path) -> None:
    assert [path.name for path in dosed_path.parent.iterdir()] == ["A"]


def test_a_lost_calibration_follows_from_the_cases(dosed_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dosed_path, tmp_path / "A"))
    with CaseStore.open(copy) as store:
        before = store.read_file(CALIBRATION)
    lose(copy, CALIBRATION)
    assert repair(copy).restored == (CALIBRATION,)
    with CaseStore.open(copy) as store:
        assert store.read_file(CALIBRATION) == before


def test_an_archive_of_plans_says_what_its_dose_model_learned_from(dosed: Archive) -> None:
    about = Recipe(dosed.store.recipe).dose
    assert (about["model"], about["plans"], about["calibrated_on"]) == ("own", 12, 12)


def test_a_stored_case_is_answered_as_if_it_were_new(dosed: Archive) -> None:
    by_id = dosed.session("phantom-01-02").query
    case = replace(phantom(1, 2), id="elsewhere", patient="phantom-01-02")
    by_file = dosed.session(case).query
    for name in ("dose.histograms", "dose.bytes"):
        np.testing.assert_array_equal(by_id.arrays[name], by_file.arrays[name])
    stranger = dosed.session(replace(case, patient="stranger")).query
    assert not np.array_equal(by_id.arrays["dose.bytes"], stranger.arrays["dose.bytes"])


def test_the_querys_own_dose_changes_no_bit(dosed: Archive, new_patient: Case) -> None:
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 70, new_patient.ct.array.shape).astype(np.float32)
    wrong = replace(new_patient, dose=Volume(noise, new_patient.ct.affine))
    one, other = dosed.query(new_patient, by="plan"), dosed.query(wrong, by="plan")
    assert (one.ids, one.distances) == (other.ids, other.distances)
    arrays = [dosed.session(case).query.arrays["dose.bytes"] for case in (new_patient, wrong)]
    np.testing.assert_array_equal(*arrays)


def test_by_plan_compares_the_histograms_of_the_predicted_dose(
    dosed: Archive, new_patient: Case
) -> None:
    session = dosed.session(new_patient)
    view = dosed.contents.pipeline.dose
    foreseen = foresee(new_patient, view.model)
    assert foreseen.dose is not None
    expected = dvh_features(replace(new_patient, dose=foreseen.on_ct), view.layout)
    found = session.foretold.doses
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-3)
    answer = session.ask(3, by="plan")
    assert answer.by == "plan"
    assert all(m.interval[0] <= m.near["plan"].estimate <= m.interval[1] for m in answer)


def test_predicted_doses_are_near_the_plans(dosed: Archive) -> None:
    missed = []
    for name in dosed:
        if name != "bare":
            arrays = dosed.entry(name).arrays
            missed.append(np.nanmean(np.abs(predicted_histograms(arrays) - arrays["dose.planned"])))
    assert np.mean(missed) < 5.0


def test_a_case_without_structures_has_no_predicted_dose(dosed: Archive) -> None:
    kept = KeptDose(dosed.entry("bare").arrays)
    assert kept.predicted is None
    assert "has no target" in kept.about["why_not"]


def test_bands_are_wider_where_more_is_promised(dosed: Archive) -> None:
    calibration = dosed.contents.pipeline.dose.calibration
    assert NOMINAL[0] < NOMINAL[1]
    for half in (calibration.histograms, calibration.metrics, calibration.voxels):
        known = ~np.isnan(half[0])
        assert (half[1][known] >= half[0][known]).all()
    unknown = calibration.histogram_half_widths("Some organ")
    assert unknown.shape == calibration.histogram_half_widths("SpinalCord").shape
    assert np.isfinite(unknown).all()


def test_a_dose_is_kept_to_half_a_step(rng: np.random.Generator) -> None:
    gy = rng.gamma(1.0, 20.0, (5, 7, 9)).astype(np.float32) * (rng.random((5, 7, 9)) < 0.7)
    affine = np.diag([3.0, 2.0, 1.0, 1.0])
    arrays = {"dose.bytes": packed(gy), "dose.grid": grid_array(affine, gy.shape)}
    found = KeptDose(arrays).predicted
    np.testing.assert_allclose(found.array, gy, atol=STEP_GY / 2 + 1e-3)
    np.testing.assert_array_equal(found.affine, affine)


def test_a_run_that_is_killed_between_cases_goes_on(tmp_path: Path, monkeypatch) -> None:
    from isohash.archive.store import CaseStore

    put, n = CaseStore.put_all, 0

    def dying(self, *arguments, **named):
        nonlocal n
        n += 1
        if n == 5:
            raise KeyboardInterrupt
        return put(self, *arguments, **named)

    options = {**OPTIONS, "dose_model": True}
    with quick_doses():
        monkeypatch.setattr(CaseStore, "put_all", dying)
        with pytest.raises(KeyboardInterrupt):
            index_found(some_phantoms(1, 10), tmp_path / "A", options)
        monkeypatch.setattr(CaseStore, "put_all", put)
        index_found(some_phantoms(1, 10), tmp_path / "A", {})
    with Archive.open(tmp_path / "A") as opened:
        about = Recipe(opened.store.recipe).dose
        assert about["calibrated_on"] == 10
    assert [path.name for path in tmp_path.iterdir()] == ["A"]
