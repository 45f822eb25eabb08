"""Queries by plan: laws of the view, and the way from structures to an answer without a dose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isohash.apps.page.report import render
from isohash.archive.store import CaseStore
from isohash.dosimetry.plan_distance import plan_distances
from isohash.errors import InputError
from isohash.features.cases.measures import measure
from isohash.features.encoders.shipped import OPENKBP_GEOMETRY
from isohash.retrieval.building.plan_fitting import OWN_CASES, choose_plan_encoder
from isohash.retrieval.engine import Archive
from isohash.retrieval.pipeline import CodedItem
from isohash.retrieval.plan_code import STEP_GY, plan_arrays
from isohash.retrieval.plan_comparison import PlanColumn, PlanComparison
from small_cases import OPTIONS, index_with_bare, phantom

FAMILIES, MEMBERS = 4, 6


@pytest.fixture(scope="module")
def planned_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with enough plans to learn from, see `index_with_bare`."""
    assert FAMILIES * MEMBERS >= OWN_CASES
    options = {**OPTIONS, "fit_cases": FAMILIES * MEMBERS}
    return index_with_bare(tmp_path_factory.mktemp("planned") / "A", FAMILIES, MEMBERS, options)


@pytest.fixture
def planned(planned_path: Path):
    with Archive.open(planned_path) as opened:
        yield opened


@pytest.fixture
def new_patient():
    """CT and structures of a patient of family 1, but no dose yet."""
    return replace(phantom(1, MEMBERS), id="new", patient="new", dose=None)


def random_doses(rng: np.random.Generator, n: int) -> np.ndarray:
    """Falling doses (n, 4 structures, 5 volumes), some structures absent."""
    doses = -np.sort(-rng.uniform(0, 75, (n, 4, 5)), axis=2)
    doses[rng.random((n, 4)) < 0.3] = np.nan
    doses[:, 0] = np.nan_to_num(doses[:, 0])
    return doses


def test_code_distances_are_plan_distances_but_for_rounding(rng):
    stored, query = random_doses(rng, 40), random_doses(rng, 1)[0]
    arrays = [plan_arrays(None, doses) for doses in stored]
    column = PlanColumn(
        *(np.concatenate([one[name] for one in arrays]) for name in ("plan.code", "plan.known")),
        np.arange(40),
    )
    found = PlanComparison.of(query, column, ("a", "b", "c", "d"))
    own = ~np.isnan(query[:, 0])
    for at in range(40):
        known = own & ~np.isnan(stored[at, :, 0])
        assert (found.known[:, at] == known[own]).all()
        wanted = np.abs(query - stored[at]).mean(axis=1)
        np.testing.assert_allclose(found.difference_gy[known[own], at], wanted[known], atol=STEP_GY)
    whole = np.flatnonzero(found.known.all(axis=0))
    ranked = {one.case: one.distance for one in found.rank(40, np.ones(40, dtype=bool))}
    wanted = plan_distances(query[None], stored)[0]
    np.testing.assert_allclose([ranked[i] for i in whole], wanted[whole], atol=STEP_GY)


def test_an_unknown_structure_counts_with_the_mean_of_the_others(rng):
    query = np.full((2, 3), 10.0)
    stored = np.array([[[10.0] * 3, [26.0] * 3], [[10.0] * 3, [np.nan] * 3]])
    column = PlanColumn(
        *(
            np.concatenate([plan_arrays(None, doses)[name] for doses in stored])
            for name in ("plan.code", "plan.known")
        ),
        np.arange(2),
    )
    first, second = PlanComparison.of(query, column, ("a", "b")).rank(2, np.ones(2, dtype=bool))
    assert (first.case, second.case) == (0, 1)
    assert first.distance == second.distance == pytest.approx(8.0)
    assert [share.known for share in second.shares] == [False, True]


def test_a_new_patient_with_ct_and_structures_is_asked_by_plan(planned, new_patient):
    answer = planned.query(new_patient, k=MEMBERS)
    assert answer.by == "plan"
    assert [m.facts["label"] for m in answer].count("family-01") >= MEMBERS - 1
    assert answer.distances == sorted(answer.distances)
    assert any("1 cases have no plan" in warning for warning in answer.warnings)
    assert answer.n_considered == FAMILIES * MEMBERS


def test_the_querys_own_dose_is_not_looked_at(planned, new_patient):
    with_dose = replace(phantom(1, MEMBERS), id="new", patient="new")
    one, other = planned.query(new_patient), planned.query(with_dose)
    assert (one.ids, one.distances) == (other.ids, other.distances)


def test_a_query_makes_only_what_it_is_asked_for(planned, new_patient, monkeypatch):
    made = []
    for name in ("embeddings", "plan"):
        make = getattr(CodedItem, name).func

        def told(coded, name=name, make=make):
            made.append(name)
            return make(coded)

        monkeypatch.setattr(CodedItem, name, property(told))
    planned.query(new_patient, by="plan")
    assert made == ["plan"]
    made.clear()
    planned.query(new_patient, by="ct", rerank=0)
    assert made == ["embeddings"]


def test_the_distance_is_the_mean_of_its_evidence(planned, new_patient):
    structures = set(planned.contents.pipeline.plan.structures) & set(
        measure(new_patient).own.structures
    )
    for match in planned.query(new_patient, k=5):
        assert {share.structure for share in match.shares} == structures
        parts = [share.difference_gy for share in match.shares]
        assert parts == sorted(parts, reverse=True)
        assert match.distance == pytest.approx(np.mean(parts))
        assert match.interval[0] <= match.near["plan"].estimate <= match.interval[1]


def test_an_indexed_case_is_asked_as_its_file_is(planned):
    by_id = planned.query("phantom-02-01")
    by_case = planned.query(replace(phantom(2, 1), id="phantom-02-01", patient="phantom-02-01"))
    assert by_id.by == by_case.by == "plan"
    assert by_id.ids == by_case.ids
    np.testing.assert_allclose(by_id.distances, by_case.distances, atol=1e-9)


def test_other_ways_to_ask_are_as_without_plans(planned, tmp_path):
    for by in ("ct", "dose", "joint"):
        assert planned.query("phantom-02-01", by=by).by == by
    assert planned.query("phantom-02-01", level="slice").by == "joint"


def test_images_fill_in_where_structures_are_missing(planned):
    answer = planned.query("bare", k=3)
    assert answer.by == "joint"
    assert not any("by plan" in warning for warning in answer.warnings)  # it has no structures
    only_cord = {"SpinalCord": phantom(0, 0).structures["SpinalCord"]}
    cord = replace(phantom(0, 0), id="c", patient="c", structures=only_cord)
    answer = planned.query(cord, k=3)
    assert answer.by == "joint"
    assert any("has no target, or none of" in warning for warning in answer.warnings)
    with pytest.raises(InputError, match="has no target, or none of"):
        planned.query(cord, by="plan")


def test_filters_and_own_patient_hold_by_plan_too(planned, new_patient):
    answer = planned.query(new_patient, k=50, where="label == 'family-02'")
    assert {match.facts["label"] for match in answer} == {"family-02"}
    assert len(answer) == MEMBERS
    own = replace(new_patient, patient="phantom-01-02")
    assert "phantom-01-02" not in planned.query(own, k=50).ids
    assert "phantom-01-02" in planned.session(own).ask(50, same_patient=True).ids


def test_slices_are_not_ranked_by_plan(planned, new_patient):
    with pytest.raises(InputError, match="whole cases"):
        planned.query(new_patient, by="plan", level="slice")


def test_the_report_says_what_ranked_and_shows_dvhs_and_slices(planned):
    session = planned.session("phantom-02-01", pictures=True)
    answer = session.ask(3)
    page = render(session, answer)
    assert "Ranked by plan" in page
    assert "Dose-volume histograms" in page
    assert all(match.pairs for match in answer)


def test_the_report_of_a_patient_without_dose_shows_foreseen_histograms(planned, new_patient):
    session = planned.session(new_patient, pictures=True)
    page = render(session, session.ask(3))
    assert page.count('stroke-dasharray="5 3"') == page.count('class="chart"') - 3  # 3 of distances
    assert "what its anatomy would get" in page


def test_an_archive_without_plans_says_why(archive, other_patient):
    answer = archive.query(other_patient, k=3)
    assert answer.by == "joint"
    assert any("ranked by images" in warning for warning in answer.warnings)
    with pytest.raises(InputError, match="cannot be asked by plan"):
        archive.query(other_patient, by="plan")


def test_an_older_archive_says_what_to_do(archive_path, other_patient, monkeypatch):
    with Archive.open(archive_path) as present:
        recipe = {name: value for name, value in present.recipe.items() if name != "plan"}
    monkeypatch.setattr(CaseStore, "recipe", recipe)
    with Archive.open(archive_path) as older:
        assert older.query(other_patient, k=3).by == "joint"
        with pytest.raises(InputError, match="made before plans were compared"):
            older.query(other_patient, by="plan")


def test_an_encoder_that_misses_more_than_the_mean_plan_is_not_used():
    few = [measure(phantom(family, 0)) for family in range(4)]
    choice = choose_plan_encoder(few)
    assert choice.encoder is None
    assert "their mean plan" in choice.about["missing"]


def test_without_doses_the_shipped_encoder_is_taken_on_trust():
    few = [measure(replace(phantom(family, 0), dose=None)) for family in range(4)]
    choice = choose_plan_encoder(few)
    assert choice.encoder is not None
    assert choice.encoder.settings == OPENKBP_GEOMETRY
    assert choose_plan_encoder([]).about == {}
