"""Asking by the dose that an anatomy would get: as a map, as slices, by its histograms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from isohash.dosimetry.rigid import dose_at, rigid_between
from isohash.errors import InputError
from isohash.records import Case, Volume
from isohash.retrieval.dose_arrays import KeptDose
from isohash.retrieval.dose_cubes import CELL_MM, SIDE, STEP_GY, cube_affine, cube_of, cube_volume
from isohash.retrieval.engine import Archive
from isohash.retrieval.ways.foreseen import NOTE


@pytest.fixture
def noisy(new_patient: Case, rng: np.random.Generator) -> Case:
    """The same patient with a dose that means nothing."""
    noise = rng.uniform(0, 70, new_patient.ct.array.shape).astype(np.float32)
    return replace(new_patient, dose=Volume(noise, new_patient.ct.affine))


def test_by_map_ranks_by_the_whole_doses_laid_rigidly(dosed: Archive, new_patient: Case) -> None:
    session = dosed.session(new_patient)
    answer = session.ask(12, by="map")
    kept = KeptDose(session.query.arrays)
    predicted, inside = kept.predicted, kept.places > 0
    points = np.argwhere(inside) @ predicted.affine[:3, :3].T + predicted.affine[:3, 3]
    apart = {}
    for name in dosed:
        if name != "bare":
            other = KeptDose(dosed.entry(name).arrays)
            laid = dose_at(other.planned, rigid_between(kept.centres, other.centres)(points))
            apart[name] = float(np.abs(laid - predicted.array[inside]).mean())
    assert answer.ids == sorted(apart, key=apart.get)
    np.testing.assert_allclose(answer.distances, sorted(apart.values()), rtol=1e-5)
    assert answer.by == "map"
    assert all(m.interval[0] <= m.near["map"].estimate <= m.interval[1] for m in answer)


def test_few_candidates_by_cube_hold_the_nearest_by_dose(
    dosed: Archive, new_patient: Case, monkeypatch
) -> None:
    from isohash.retrieval.ways import doses

    every = dosed.query(new_patient, 2, by="map")
    monkeypatch.setattr(doses, "CANDIDATES", 4)
    assert dosed.query(new_patient, 2, by="map").ids == every.ids


@pytest.mark.parametrize("by", ["plan", "map"])
def test_a_plan_free_question_is_answered_without_the_own_dose(
    dosed: Archive, new_patient: Case, noisy: Case, by: str
) -> None:
    one, other = (dosed.query(case, by=by) for case in (new_patient, noisy))
    assert (one.ids, one.distances) == (other.ids, other.distances)
    assert [m.interval for m in one] == [m.interval for m in other]


@pytest.mark.parametrize("by", ["dose", "joint"])
def test_a_patient_without_dose_is_asked_with_the_predicted_one(
    dosed: Archive, new_patient: Case, noisy: Case, by: str
) -> None:
    answer = dosed.query(new_patient, 4, by=by)
    assert NOTE in answer.warnings
    assert answer.by == by
    foreseen = replace(new_patient, dose=dosed.propose(new_patient).dose)
    by_hand = dosed.query(foreseen, 4, by=by)
    assert NOTE not in by_hand.warnings
    assert (answer.ids, answer.distances) == (by_hand.ids, by_hand.distances)
    assert NOTE not in dosed.query(noisy, 4, by=by).warnings  # it has a dose of its own


def test_nothing_is_foreseen_unasked(dosed: Archive, new_patient: Case) -> None:
    bare = replace(new_patient, structures={})
    assert dosed.query(bare, 3).by == "ct"
    with pytest.raises(InputError, match="no dose to compare"):
        dosed.query(bare, 3, by="dose")
    with pytest.raises(InputError, match=r"no dose can be foretold for new: .* has no target"):
        dosed.query(bare, 3, by="map")


def test_archives_without_doses_cannot_be_asked_by_map(archive: Archive, other_patient) -> None:
    with pytest.raises(InputError, match="keeps no doses"):
        archive.query(other_patient, by="map")


def test_absent_structures_count_as_asked(dosed: Archive, new_patient: Case) -> None:
    usual = dosed.query(new_patient, 12, by="plan")
    asked = dosed.query(new_patient, 12, by="plan", absent="mean")
    assert (usual.ids, usual.distances) == (asked.ids, asked.distances)
    shared = {m.id: m for m in dosed.query(new_patient, 12, by="plan", absent="ignored")}
    for match in usual:
        known = [share.difference_gy for share in match.shares if share.known]
        assert shared[match.id].distance == pytest.approx(np.mean(known))
        assert all(share.known for share in shared[match.id].shares)


def test_absent_means_nothing_by_images(dosed: Archive, new_patient: Case) -> None:
    with pytest.raises(InputError, match="--absent ignored means nothing"):
        dosed.query(new_patient, by="ct", absent="ignored")
    with pytest.raises(InputError, match="--absent must be mean or ignored"):
        dosed.query(new_patient, absent="never")


def test_a_cube_is_the_dose_about_its_centre() -> None:
    """A linear dose comes back to half a step."""
    affine = np.array([[0, 0, 2.5, -200], [0, 2.0, 0, -200], [-3.0, 0, 0, 200], [0, 0, 0, 1]])
    index = np.indices((140, 200, 160)).reshape(3, -1)
    mm = affine[:3, :3] @ index + affine[:3, 3:]
    gy = (40.0 + mm.T @ [0.05, 0.08, -0.1]).clip(0).reshape(140, 200, 160).astype(np.float32)
    centre = np.array([3.0, -5.0, 7.0])
    cube = cube_of(Volume(gy, affine), centre)
    assert cube.shape == (1, SIDE, SIDE, SIDE)
    back = cube_volume(cube[0], {"all targets": centre})
    np.testing.assert_array_equal(back.affine, cube_affine(centre))
    middle = back.affine[:3, :3] @ np.full(3, (SIDE - 1) / 2) + back.affine[:3, 3]
    np.testing.assert_allclose(middle, centre)
    points = centre + np.random.default_rng(0).uniform(-12, 12, (50, 3)) * CELL_MM
    expected = 40.0 + points @ [0.05, 0.08, -0.1]
    np.testing.assert_allclose(dose_at(back, points), expected, atol=STEP_GY / 2 + 1e-3)
