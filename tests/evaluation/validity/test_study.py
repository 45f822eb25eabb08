"""The validity study: laws of its parts, blindness to who is left out, a small study as a whole."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from isohash.dosimetry.bands import conformal_factor, coverage, nearest_bands
from isohash.dosimetry.plan_scores import dose_score, dvh_metrics, dvh_score
from isohash.dosimetry.rigid import TARGETS, dose_at, rigid_between
from isohash.errors import InputError, MissingExtra
from isohash.evaluation.validity import scores
from isohash.evaluation.validity import study as validity
from isohash.evaluation.validity.distances import (
    ANATOMY,
    PLAN,
    _Stacks,
    anatomy_tables,
    image_tables,
    needs_dose,
    slice_table,
)
from isohash.evaluation.validity.patients import load, prepare, save
from isohash.evaluation.validity.rows import _score_cells
from isohash.evaluation.validity.scores import (
    Anatomy,
    MeanDose,
    PairScores,
    Scores,
    agreement,
    anatomy_of,
    scores_of,
)
from isohash.features.encoders.downsampled import DownsampledEncoder
from isohash.records import Volume
from isohash.retrieval.dense import UNCOVERED
from isohash.sources.phantom import phantom_case
from oracle import ranked_cases
from small_cases import as_findings, phantom

ENCODERS = {view: DownsampledEncoder(side=8) for view in ("ct", "dose")}


@pytest.fixture(scope="module")
def patients():
    return [prepare(phantom(f, m), "", ENCODERS) for f in range(3) for m in range(5)]


def some_motion(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A rotation and a shift in mm."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation[:, 0] *= np.linalg.det(rotation)
    return rotation, rng.normal(0, 50, 3)


def test_rigid_alignment_recovers_a_known_motion(rng):
    rotation, shift = some_motion(rng)
    names = ["a", "b", "c", "d", TARGETS]
    start = {name: rng.normal(0, 60, 3) for name in names}
    end = {name: rotation @ at + shift for name, at in start.items()}
    end["only there"] = np.zeros(3)
    found = rigid_between(start, end)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-10)
    points = rng.normal(0, 100, (20, 3))
    np.testing.assert_allclose(found(points), points @ rotation.T + shift, atol=1e-9)


def test_few_centres_or_a_line_of_them_give_the_shift_alone(rng):
    shift = np.array([10.0, -20.0, 30.0])
    line = {name: np.array([0.0, 0.0, at]) for name, at in (("a", 0), ("b", 9), ("c", 20))}
    for points in (line, {"a": line["a"], "b": line["b"]}):
        found = rigid_between(points, {name: at + shift for name, at in points.items()})
        np.testing.assert_array_equal(found.rotation, np.eye(3))
        np.testing.assert_allclose(found.shift_mm, shift)
    assert rigid_between(line, {}).shift_mm.tolist() == [0, 0, 0]


def test_a_mirrored_patient_is_not_turned_inside_out(rng):
    start = {name: rng.normal(0, 60, 3) for name in "abcd"}
    end = {name: at * [-1, 1, 1] for name, at in start.items()}
    assert np.linalg.det(rigid_between(start, end).rotation) == pytest.approx(1.0)


def test_a_dose_between_voxels_is_interpolated_and_nothing_outside():
    affine = np.array([[0, 0, 2.0, 5], [0, 3.0, 0, 6], [4.0, 0, 0, 7], [0, 0, 0, 1]])
    dose = Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), affine)
    found = dose_at(dose, np.array([[5, 6, 7], [6, 7.5, 9], [-9, 6, 7]], dtype=float))
    np.testing.assert_allclose(found, [0.0, (0 + 1 + 4 + 5 + 12 + 13 + 16 + 17) / 8, 0.0])


def test_the_scores_of_the_same_dose_are_zero(patients, rng):
    for one in patients[:3]:
        found = scores_of(one, one.planned)
        assert (found.dose, found.misses.tolist()) == (0.0, [0.0] * len(found.misses))
    dose = rng.uniform(0, 70, 500)
    assert dose_score(dose + 2.0, dose) == pytest.approx(2.0)
    assert dvh_score({"Larynx": dose + 2.0}, {"Larynx": dose}, 0.02) == pytest.approx(2.0)


def test_dvh_metrics_are_those_of_the_challenge():
    dose = np.arange(1000, dtype=float)
    np.testing.assert_allclose(dvh_metrics("PTV_70", dose, 1.0), [989.01, 49.95, 9.99])
    hottest, mean = dvh_metrics("Larynx", dose, 0.025)  # 0.1 cc are 4 voxels: percentile 99.6
    assert (hottest, mean) == pytest.approx((0.996 * 999, 499.5))
    assert dvh_metrics("Larynx", dose[:1], 10.0)[0] == 0.0


def test_a_moved_patient_is_given_the_same_dose(patients):
    one = patients[0]
    moved, shift = one.dose.affine.copy(), np.array([30.0, -12.0, 55.0])
    moved[:3, 3] += shift
    other = replace(
        one,
        dose=Volume(one.dose.array, moved),
        centres={name: at + shift for name, at in one.centres.items()},
    )
    found = PairScores([one], [other]).of(0, 0)
    assert found.dose < 1e-3
    assert found.misses.max() < 1e-3


def test_the_dvh_score_is_pooled_over_all_structures_of_all_patients():
    """As the challenge does: a patient with more structures weighs more."""
    many, few = Scores(1.0, np.full(6, 4.0)), Scores(3.0, np.full(2, 8.0))
    row = _score_cells("plan", "all", [many, few], 0)
    assert (row["dose_score"], row["dvh_score"]) == (2.0, 5.0)
    assert row["dvh_score_low"] == 4.0  # both draws are of the patient with many
    assert row["dvh_score_high"] == 8.0
    assert Scores.mean([many, Scores(3.0, np.full(6, 2.0))]).misses.tolist() == [3.0] * 6


def test_the_mean_dose_leaves_its_query_out(patients):
    own = patients[0].dose
    planted = replace(patients[0], dose=Volume(own.array + 1000, own.affine))
    past = [planted, *patients[1:4]]
    without = MeanDose(patients[1:4]).at(planted, leave_out=False)
    np.testing.assert_allclose(MeanDose(past).at(planted, leave_out=True), without, atol=1e-2)


def test_nothing_is_fitted_to_who_is_left_out(patients):
    query = patients[7]
    others = [one for one in patients if one.id != query.id]
    together = anatomy_tables([query], patients)
    apart = anatomy_tables([query], others)
    kept = [at for at, one in enumerate(patients) if one.id != query.id]
    for way, table in together.items():
        assert np.isnan(table[0, 7])
        np.testing.assert_array_equal(table[0, kept], apart[way][0])


def test_a_planted_plan_changes_nothing_that_a_new_patient_could_be_asked_by(patients):
    query = patients[7]
    measured = replace(query.measured, histograms=query.measured.histograms + 40.0)
    dose = Volume(query.dose.array + 40.0, query.dose.affine)
    slices = {"ct": query.slices["ct"], "dose": query.slices["dose"] + 1.0}
    planted = replace(query, measured=measured, dose=dose, slices=slices)
    for tables in (anatomy_tables, image_tables):
        past = [*patients[:7], *patients[8:]]
        one, other = tables([query], past), tables([planted], past)
        for way in one:
            same = np.array_equal(one[way], other[way])
            assert same or needs_dose(way)
            assert not same or not needs_dose(way) or way == "down-sampled dose"
    assert not any(needs_dose(way) for way in (*ANATOMY, PLAN))


def test_relatives_are_nearest_by_plan(patients):
    table = anatomy_tables(patients, patients)[PLAN]
    nearest = np.nanargmin(table, axis=1)
    assert (nearest // 5 == np.arange(15) // 5).mean() > 0.9


def test_ct_slices_where_there_is_dose_are_found(patients):
    table = slice_table(patients[:3])
    for case, one in enumerate(patients[:3]):
        row = table.row["dose"][table.start[case] : table.start[case + 1]]
        assert (row >= 0).sum() == len(one.slices["dose"])
        np.testing.assert_array_equal(one.z_mm["ct"][row >= 0], one.z_mm["dose"])
    assert (np.diff(table.row["dose"][table.row["dose"] >= 0]) == 1).all()


def test_the_study_compares_images_as_the_product_does(patients):
    table = image_tables(patients[:2], patients)["joint, late, alpha 0.25"]
    near = {view: neighbour(patients, view) for view in ("ct", "dose")}
    weights = {"ct": 0.25, "dose": 0.75}
    for row, query in enumerate(patients[:2]):
        for column, other in enumerate(patients):
            apart = {view: distances_of(query, other, view) / one for view, one in near.items()}
            a, b = slice_table([query]), slice_table([other])
            found = ranked_cases(a, b, apart, weights, np.array([True]), UNCOVERED)
            assert table[row, column] == pytest.approx(found[0][0], abs=1e-6)


def distances_of(query, other, view: str) -> np.ndarray:
    own, others = (one.slices[view].astype(float) for one in (query, other))
    return np.linalg.norm(own[:, None] - others, axis=2)


def neighbour(patients, view: str) -> float:
    return _Stacks.of(patients).near[view]


def test_conformal_bands_hold_what_they_promise_for_exchangeable_cases(rng):
    n = 59
    misses = np.exp(rng.normal(0, 1, (n + 1, 200, 100)))  # 20 000 independent entries
    band = np.sqrt(np.log(2 / 1e-9) / (2 * 20_000))
    for nominal in (0.5, 0.68, 0.9):
        held, seen = coverage(misses[n:], conformal_factor(misses[:n], nominal))
        assert seen == 20_000
        assert nominal - band <= held / seen <= nominal + 1 / (n + 1) + band


def test_a_promise_that_few_cases_cannot_keep_is_an_endless_band(rng):
    misses = rng.uniform(0, 1, (9, 2, 3))
    misses[:5, 1] = np.nan
    assert np.isfinite(conformal_factor(misses, 0.9)[0]).all()
    assert np.isinf(conformal_factor(misses, 0.9)[1]).all()
    assert coverage(misses, conformal_factor(misses, 0.99)) == (39, 39)


def test_bands_come_from_the_nearest_that_have_the_structure():
    planned = np.array([[[1.0], [10.0]], [[3.0], [np.nan]], [[50.0], [20.0]]])
    centre, spread = nearest_bands(np.array([[0, 1, 2], [2, -1, -1]]), planned, k=2)
    np.testing.assert_allclose(centre[:, :, 0], [[2.0, 15.0], [50.0, 20.0]])
    np.testing.assert_allclose(spread[:, :, 0], [[2.0, 6.0], [1.0, 1.0]])


def test_anatomy_is_told_by_side_number_and_size(patients):
    facts = anatomy_of(patients[0])
    bits = patients[0].bits
    targets = [n for n in patients[0].names if n.startswith("PTV")]
    inside = sum(bits & (1 << patients[0].names.index(n)) for n in targets) > 0
    assert facts.target_cc == pytest.approx(inside.sum() * patients[0].dose.voxel_cc)
    assert facts.n_targets == len(targets)
    left, right = Anatomy("left", 2, 100.0), Anatomy("right", 2, 50.0)
    assert agreement(left, right) == agreement(right, left) == (False, True, 2.0)


def test_a_patient_survives_its_file_and_a_damaged_one_is_made_anew(patients, tmp_path):
    path = tmp_path / "one.npz"
    save(patients[0], path)
    found = load(path)
    assert (found.id, found.names, found.measured.own) == (
        patients[0].id,
        patients[0].names,
        patients[0].measured.own,
    )
    np.testing.assert_array_equal(found.scored, patients[0].scored)
    np.testing.assert_allclose(found.dose.array, patients[0].dose.array, atol=0.0051)
    path.write_bytes(path.read_bytes()[:1000])
    assert load(path) is None
    assert load(tmp_path / "none.npz") is None


def test_a_case_that_cannot_take_part_says_what_it_lacks():
    with pytest.raises(InputError, match="no dose"):
        prepare(replace(phantom(0, 0), dose=None), "", ENCODERS)
    cord = {"SpinalCord": phantom(0, 0).structures["SpinalCord"]}
    with pytest.raises(InputError, match="no target"):
        prepare(replace(phantom(0, 0), structures=cord), "", ENCODERS)


def test_a_small_study_goes_on_where_it_stopped(tmp_path, monkeypatch, draw_no_more):
    small = partial(phantom_case, shape=(16, 40, 40))
    members = [(f, m) for f in range(3) for m in range(4)]
    sources = {
        "past": as_findings({f"{f}{m}": partial(small, f, m) for f, m in members}),
        "new": as_findings({f"new {f}": partial(small, f, 6) for f in range(3)}),
    }
    monkeypatch.setattr(validity, "find", sources.__getitem__)
    monkeypatch.setattr(scores, "MEAN_GRID_MM", 15.0)
    settings = validity.ValiditySettings(
        k=4, n_random=2, n_bootstrap=5, fit_cases=4, fit_slices=64, dim=8
    )
    tables = validity.run_validity("past", "new", tmp_path, settings)
    r = {row["way"]: row["r_plan"] for row in tables["correlation"] if row["split"] == "new"}
    assert r["plan"] > 0.8
    assert r["own DVHs"] == 1.0
    score = {row["way"]: row["dvh_score"] for row in tables["nearest"]}
    assert score["plan"] < score["a random plan"]
    names = {path.name for path in tmp_path.iterdir()}
    for name in ("correlation", "nearest", "bands"):
        assert {f"{name}.csv", f"{name}.json"} <= names
    assert {"correlation.png", "scatter.png", "alpha.png", "nearest.png", "coverage.png"} <= names
    about = json.loads((tmp_path / "nearest.json").read_text())
    assert about["patients"] == {"leave one out": 12, "new": 3}
    draw_no_more()
    monkeypatch.setattr(validity, "prepare", None)  # everything is there already
    monkeypatch.setattr(validity, "image_tables", None)
    assert validity.run_validity("past", "new", tmp_path, settings) == tables


def test_a_held_out_set_is_asked_alone_and_named_by_its_folder(tmp_path, monkeypatch):
    small = partial(phantom_case, shape=(16, 40, 40))
    past = {f"{f}{m}": partial(small, f, m) for f in range(3) for m in range(4)}
    sources = {
        "past": as_findings(past),
        "ward 7/new": as_findings({f"new {f}": partial(small, f, 6) for f in range(3)}),
    }
    monkeypatch.setattr(validity, "find", sources.__getitem__)
    monkeypatch.setattr(scores, "MEAN_GRID_MM", 15.0)
    settings = validity.ValiditySettings(
        k=4, n_random=2, n_bootstrap=5, fit_cases=4, fit_slices=64, dim=8
    )
    tables = validity.run_validity("past", "ward 7/new", tmp_path, settings, only_queries=True)
    assert {row["split"] for rows in tables.values() for row in rows} == {"new"}
    about = json.loads((tmp_path / "nearest.json").read_text())
    assert about["patients"] == {"new": 3}
    assert about["chosen_alpha"] == {}
    with pytest.raises(InputError, match="--only-queries"):
        validity.run_validity("past", None, tmp_path, settings, only_queries=True)


def test_what_cannot_be_drawn_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(validity, "find", lambda path: pytest.fail("it was read"))
    with pytest.raises(MissingExtra, match=r"isohash\[figures\]"):
        validity.run_validity("past", "new", tmp_path)
