"""What an archive proposes for a new patient, and whom it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isohash.apps.cli.plan_tables import proposal_table
from isohash.apps.page.proposal import render
from isohash.dosimetry.dvh import dvh
from isohash.dosimetry.names import is_target, structures_by_name
from isohash.errors import InputError
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.features.encoders.dose_model import DoseModel
from isohash.features.encoders.encoders import load_encoder
from isohash.features.encoders.shipped import DOSE, shipped_by_digest
from isohash.records import Case, Volume
from isohash.retrieval.building.dose_sharing import share_dose_model
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.contents import NOT_MEASURED
from isohash.retrieval.engine import Archive
from small_cases import OPTIONS, as_findings, phantom, some_phantoms


def test_a_proposal_lies_on_the_grid_of_the_ct_and_agrees_with_itself(
    dosed: Archive, new_patient: Case
) -> None:
    found = dosed.propose(new_patient)
    for volume in (found.dose, found.half_width, found.half_width_90):
        assert volume.array.shape == new_patient.ct.array.shape
        np.testing.assert_array_equal(volume.affine, new_patient.ct.affine)
    assert (found.half_width_90.array >= found.half_width.array - 1e-4).all()
    assert (found.method, found.calibrated) == ("model", True)
    assert found.learned_from == "12 plans of this archive"
    for name, band in found.bands.items():
        curve = dvh(found.dose, structures_by_name(new_patient)[name])
        told = [curve.d(volume) for volume in band.volume_percent]
        np.testing.assert_allclose(band.gy, told, rtol=0.03, atol=0.4)  # 0.1 Gy, bins of 0.05
        assert (band.low[1] <= band.low[0]).all()
        assert (band.low[0] <= band.gy).all()
        assert (band.gy <= band.high[0]).all()
        assert (band.high[0] <= band.high[1]).all()


def test_the_best_of_an_objective_is_what_a_past_patient_got(
    dosed: Archive, new_patient: Case
) -> None:
    found = dosed.propose(new_patient)
    organs = [one for one in found.objectives if one.metric == "mean"]
    assert organs
    past = {name: phantom(*map(int, name.split("-")[1:])) for name in dosed if name != "bare"}
    for one in organs:
        case = past[one.best_case]
        got = dvh(case.dose, structures_by_name(case)[one.structure]).mean_gy
        assert one.best_gy == pytest.approx(got, abs=0.1)
        assert not is_target(one.structure)
    assert {one.id for one in found.leans_on} <= set(past)
    distances = [one.distance_gy for one in found.leans_on]
    assert distances == sorted(distances)


def test_the_own_dose_of_a_case_changes_no_bit_of_its_proposal(
    dosed: Archive, new_patient: Case, rng: np.random.Generator
) -> None:
    noise = rng.uniform(0, 70, new_patient.ct.array.shape).astype(np.float32)
    wrong = replace(new_patient, dose=Volume(noise, new_patient.ct.affine))
    one, other = dosed.propose(new_patient), dosed.propose(wrong)
    np.testing.assert_array_equal(one.dose.array, other.dose.array)
    assert one.to_json() == other.to_json()


def test_a_stored_case_is_proposed_as_if_it_were_new(dosed: Archive) -> None:
    by_id = dosed.propose("phantom-01-02")
    case = replace(phantom(1, 2), id="phantom-01-02", patient="phantom-01-02")
    np.testing.assert_allclose(by_id.dose.array, dosed.propose(case).dose.array, atol=1e-4)
    assert "phantom-01-02" not in {one.id for one in by_id.leans_on}


def test_a_lower_prescription_is_a_lower_dose(dosed: Archive, new_patient: Case) -> None:
    whole, less = (dosed.propose(new_patient, gy) for gy in (60.0, 30.0))
    assert any("prescription of 30" in one for one in less.warnings)
    assert 0.4 < less.dose.array.max() / whole.dose.array.max() < 0.6


@pytest.mark.parametrize("gy", [0.0, -60.0, 6000.0, float("nan")])
def test_a_prescription_that_cannot_be_is_refused(dosed: Archive, new_patient, gy) -> None:
    with pytest.raises(InputError, match="--prescription must be between"):
        dosed.propose(new_patient, gy)


def test_what_the_archive_has_seen_nothing_like_is_refused(
    dosed: Archive, new_patient: Case
) -> None:
    """A breast gets no dose of a neck."""
    names = {"PTV": "PTV_50", "a": "Heart", "b": "Lung_L", "c": "Breast_L"}
    masks = [m for n, m in new_patient.structures.items() if is_target(n)][:1] * 4
    breast = replace(new_patient, structures=dict(zip(names.values(), masks, strict=True)))
    with pytest.raises(InputError, match=r"no dose can be proposed for new: 0 of the 12 cases"):
        dosed.propose(breast)


@pytest.mark.parametrize(("lacking", "why"), [("structures", "has no target"), ("ct", "has no CT")])
def test_a_case_that_lacks_what_is_needed_is_refused(
    dosed: Archive, new_patient: Case, lacking: str, why: str
) -> None:
    poor = replace(new_patient, **{lacking: {} if lacking == "structures" else None})
    if lacking == "ct":
        poor = replace(poor, dose=phantom(1, 0).dose)
    with pytest.raises(InputError, match=why):
        dosed.propose(poor)


def elsewhere(case: Case) -> Case:
    """The case with organs of another site, of which the shipped model knows nothing."""
    organs = [name for name in case.structures if not is_target(name)]
    of = dict(
        zip(organs, ("Heart", "Lung_L", "Lung_R", "Liver", "Stomach", "Spleen"), strict=False)
    )
    named = {of.get(n, n): m for n, m in case.structures.items() if is_target(n) or n in of}
    return replace(case, structures=named)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory):
    """An archive of four plans of a site that the shipped model does not know."""
    path = tmp_path_factory.mktemp("few") / "A"
    plans = {f"c{m}": lambda m=m: elsewhere(replace(phantom(0, m), id=f"c{m}")) for m in range(4)}
    index_found(as_findings(plans), path, {**OPTIONS, "dose_model": True})
    with Archive.open(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def few_necks(tmp_path_factory: pytest.TempPathFactory):
    """An archive of three plans with organs of the neck."""
    path = tmp_path_factory.mktemp("necks") / "A"
    index_found(some_phantoms(1, 3), path, {**OPTIONS, "dose_model": True})
    with Archive.open(path) as opened:
        yield opened


def test_few_plans_of_a_known_site_get_the_shipped_model_and_that_is_said(
    few_necks: Archive, new_patient: Case
) -> None:
    found = few_necks.propose(new_patient)
    assert (found.method, found.calibrated) == ("model", True)
    assert found.learned_from == "169 plans of OpenKBP"
    assert any("the shipped model" in warning for warning in found.warnings)
    inside = np.any([m.array for n, m in new_patient.structures.items() if is_target(n)], axis=0)
    assert found.dose.array[inside].mean() > 2 * found.dose.array[found.dose.array > 0].mean()
    assert found.half_width.array[inside].min() > 0


def test_what_the_shipped_model_does_not_know_is_refused_in_such_an_archive(
    few_necks: Archive, new_patient: Case
) -> None:
    with pytest.raises(InputError, match="0 of the 169 cases"):
        few_necks.propose(elsewhere(new_patient))


def test_a_lost_shipped_model_is_put_back(few_necks: Archive) -> None:
    model = few_necks.contents.pipeline.dose.model
    assert shipped_by_digest(model.digest) == model.to_bytes()


def test_the_model_of_an_archive_is_written_as_files(
    dosed: Archive, few: Archive, tmp_path: Path
) -> None:
    share_dose_model(dosed.store.path, tmp_path)
    model = load_encoder(tmp_path / f"{DOSE}.safetensors", DoseModel)
    own = dosed.contents.pipeline.dose.model
    assert (model.name, model.about["seed"], model.about["plans"]) == (DOSE, 0, 12)
    np.testing.assert_array_equal(model.trees.values, own.trees.values)
    with pytest.raises(InputError, match="no dose model of its own"):
        share_dose_model(few.store.path, tmp_path)


def test_few_plans_are_laid_rigidly_and_that_is_said(few: Archive, new_patient: Case) -> None:
    new_patient = elsewhere(new_patient)
    found = few.propose(new_patient)
    assert (found.method, found.calibrated) == ("transfer", False)
    assert any("stands in" in warning for warning in found.warnings)
    assert len(found.leans_on) == 4
    assert found.dose.array.shape == new_patient.ct.array.shape
    assert found.bands
    past = np.mean([phantom(0, m).dose.array.max() for m in range(4)])
    assert 0.5 * past < found.dose.array.max() < 1.1 * past


def test_plans_of_one_anatomy_laid_on_it_are_themselves(tmp_path: Path) -> None:
    case = elsewhere(phantom(0, 0))
    copies = {f"c{i}": lambda i=i: replace(case, id=f"c{i}", patient=f"c{i}") for i in range(3)}
    index_found(as_findings(copies), tmp_path / "A", {**OPTIONS, "dose_model": True})
    with Archive.open(tmp_path / "A") as opened:
        found = opened.propose(replace(case, id="new", patient="new"))
    dosed = found.dose.array > 0
    np.testing.assert_allclose(found.dose.array[dosed], case.dose.array[dosed], atol=3.0)
    assert np.abs(found.dose.array[dosed] - case.dose.array[dosed]).mean() < 0.5
    for name, band in found.bands.items():
        curve = dvh(case.dose, structures_by_name(case)[name])
        np.testing.assert_allclose(band.gy, [curve.d(v) for v in band.volume_percent], atol=0.4)


def test_a_patient_unlike_the_few_is_refused(few: Archive, new_patient: Case) -> None:
    targets = {n: m for n, m in new_patient.structures.items() if is_target(n)}
    with pytest.raises(InputError, match="0 past plans have a dose and organs like its own"):
        few.propose(replace(new_patient, structures=targets))


def test_archives_without_plans_say_so(archive: Archive, new_patient: Case) -> None:
    with pytest.raises(InputError, match="proposes no dose"):
        archive.propose(new_patient)


def test_settings_of_histograms_are_those_of_the_bands(dosed: Archive, new_patient: Case) -> None:
    found = dosed.propose(new_patient)
    for band in found.bands.values():
        assert band.volume_percent.tolist() == list(GeometrySettings((), ()).dose_volumes)


def test_an_answer_and_a_proposal_tell_a_stranger_in_the_same_words(
    dosed: Archive, new_patient: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = dosed.contents.usual
    shifted = replace(usual, scores=usual.scores / 50.0)  # members far more alike than they are
    monkeypatch.setattr(dosed.contents, "usual", shifted)
    told = dosed.query(new_patient, k=1, by="plan").unlike
    proposal = dosed.propose(new_patient)
    assert told is not None
    assert proposal.unlike == told
    assert json.loads(json.dumps(proposal.to_json()))["unlike"]["p"] == told.p
    assert told.text in render(proposal)
    assert proposal_table(proposal, Path("P"))[0].text == told.text
    monkeypatch.setattr(dosed.contents, "usual", None)
    assert dosed.propose(new_patient).warnings[-1] == NOT_MEASURED
