"""The planning study on a small archive: its numbers agree with what they are defined as."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isohash.dosimetry.plan_scores import dose_score
from isohash.evaluation.planning.patients import Patient, stored_patients
from isohash.evaluation.planning.ranking import Distances, distances, ranking_rows
from isohash.evaluation.planning.rows import Table, band_rows, score_row
from isohash.evaluation.planning.study import LEFT_OUT, MODEL, PlanningSettings, run_planning
from isohash.retrieval.engine import Archive
from small_cases import DOSED_MEMBERS, phantom, write_openkbp


@pytest.fixture(scope="module")
def new_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients that the archive has not seen."""
    folder = tmp_path_factory.mktemp("new")
    for family in range(2):
        write_openkbp(phantom(family, DOSED_MEMBERS + 1), folder / f"pt_{family}.npz")
    return folder


@pytest.fixture(scope="module")
def study(dosed_path: Path, new_source: Path, tmp_path_factory: pytest.TempPathFactory):
    pytest.importorskip("matplotlib")
    out = tmp_path_factory.mktemp("study")
    return out, run_planning(dosed_path, new_source, out, PlanningSettings(ranked=4))


def test_the_study_tells_of_both_splits_and_draws_three_patients(study, new_source: Path) -> None:
    out, tables = study
    assert {row["split"] for row in tables["scores"]} == {LEFT_OUT, new_source.name}
    pictures = {f"patient-{name}.png" for name in ("best", "median", "worst")}
    assert pictures <= {path.name for path in out.iterdir()}
    told = json.loads((out / "scores.json").read_text())
    assert told["patients"] == {LEFT_OUT: 12, new_source.name: 2}
    (own,) = (r for r in tables["scores"] if (r["split"], r["dose"]) == (LEFT_OUT, MODEL))
    assert own["dose_score_low"] <= own["dose_score"] <= own["dose_score_high"]


def test_the_model_beats_the_nearest_plan(study, new_source: Path) -> None:
    _, tables = study
    score = {row["dose"]: row for row in tables["scores"] if row["split"] == new_source.name}
    assert score[MODEL]["dose_score"] < score["nearest by plan"]["dose_score"]
    assert score["nearest by own map"]["dose_score"] <= score["nearest by plan"]["dose_score"]


def test_left_out_scores_are_those_of_the_stored_doses(dosed: Archive) -> None:
    patients = stored_patients(dosed.contents)
    assert len(patients) == 12
    for one in patients[:3]:
        told, true = one.kept.predicted.array, one.kept.planned.array
        assert one.dose_score == dose_score(told[true > 0], true[true > 0])
        assert len(one.dvh_misses) == sum(3 if n[:3] == "PTV" else 2 for n in one.structures)


def test_a_prediction_that_is_the_plan_ranks_perfectly(dosed: Archive) -> None:
    """Told what was planned, every comparison finds what the own plan finds."""
    patients = stored_patients(dosed.contents)
    arrays = [dict(one.kept.arrays) for one in patients]
    for own in arrays:
        own["dose.own"], own["dose.bytes"] = own["dose.own_planned"], own["dose.plan_bytes"]
    perfect = [
        Patient(p.id, p.patient, type(p.kept)(a)) for p, a in zip(patients, arrays, strict=True)
    ]
    layout = dosed.contents.pipeline.dose.layout
    found = distances(perfect[:3], perfect, layout, None)
    rows = {(r["ranked by"], r["against"]): r for r in ranking_rows("x", found, 0)}
    for pair in (("map", "doses"), ("shared", "histograms")):
        assert rows[pair]["r"] == pytest.approx(1.0)
        assert rows[pair]["nearest_gy"] == rows[pair]["best_gy"]
    assert np.isnan(np.diag(found.by["map"])).all()


def test_the_correlation_of_reversed_distances_is_minus_one() -> None:
    gy = np.random.default_rng(0).random((4, 9))
    found = Distances({"map": -gy, "own map": gy, "plan": gy, "shared": gy, "own": gy})
    rows = {(r["ranked by"], r["against"]): r["r"] for r in ranking_rows("x", found, 0)}
    assert rows["map", "doses"] == pytest.approx(-1.0)
    assert rows["plan", "histograms"] == pytest.approx(1.0)


def test_bands_of_random_halves_hold_what_they_promise() -> None:
    missed = np.abs(np.random.default_rng(1).standard_normal((200, 2, 6)))
    rows = band_rows("x", Table(("PTV_70", "Brainstem"), missed), None, 0)
    cover = {row["nominal"]: row["cover_percent"] for row in rows if row["of"] == "all"}
    assert cover[0.68] == pytest.approx(68.0, abs=2.0)
    assert cover[0.9] == pytest.approx(90.0, abs=2.0)
    widths = {row["nominal"]: row["half_width_gy"] for row in rows if row["of"] == "all"}
    assert widths[0.68] == pytest.approx(0.994, abs=0.1)  # of a normal distribution
    assert widths[0.9] == pytest.approx(1.645, abs=0.15)


def test_a_score_pools_all_metrics_of_all_patients() -> None:
    row = score_row("x", "y", [1.0, 3.0], [np.array([1.0]), np.array([2.0, 3.0, 6.0])])
    assert (row["dose_score"], row["dvh_score"]) == (2.0, 3.0)


def test_archives_without_a_dose_model_are_refused(archive_path: Path, tmp_path: Path, isohash):
    pytest.importorskip("matplotlib")
    told = isohash("evaluate", "planning", archive_path, "--out", tmp_path / "out")
    assert told.status == 1
    assert "no calibrated dose model" in told.err
    assert not (tmp_path / "out").exists()
