"""Plans compared with each other and with what their anatomy would get."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from isohash.dosimetry.gamma import GammaCriteria
from isohash.errors import InputError
from isohash.records import Case, Volume
from isohash.retrieval.engine import Archive
from isohash.retrieval.planning.compare import FORESEEN
from small_cases import DOSED_MEMBERS, phantom

QUICK = (GammaCriteria(),)


@pytest.fixture
def finished() -> Case:
    """A new patient with a plan."""
    return replace(phantom(1, DOSED_MEMBERS), id="new", patient="new")


def test_two_plans_on_one_ct_are_compared_where_they_are(dosed: Archive, finished: Case) -> None:
    dose = finished.dose
    hotter = replace(finished, id="hotter", dose=Volume(dose.array * 1.05, dose.affine))
    found = dosed.compare(hotter, finished, QUICK)
    assert (found.dose.name, found.reference.name, found.notes) == ("hotter", "new", ())
    judged = dose.array[dose.array >= 0.1 * dose.array.max()]
    assert found.difference.mean_gy == pytest.approx(0.05 * judged.mean(), rel=1e-4)
    assert 0.0 < found.gamma[0].passing_percent < 100.0
    for one in found.metrics:
        if one.unit == "Gy":
            assert one.value == pytest.approx(1.05 * one.reference, abs=0.11)  # two bins
    same = dosed.compare(finished, finished, QUICK)
    assert same.difference.mean_absolute_gy == 0.0
    assert same.gamma[0].mean < 1e-9


def test_a_plan_on_another_ct_is_laid_rigidly_and_that_is_said(dosed, finished) -> None:
    moved = np.eye(4)
    moved[:3, 3] = (13.0, -20.0, 31.0)

    def elsewhere(volume: Volume) -> Volume:
        return Volume(volume.array, moved @ volume.affine)

    structures = {name: elsewhere(mask) for name, mask in finished.structures.items()}
    parts = {"ct": elsewhere(finished.ct), "dose": elsewhere(finished.dose)}
    other = replace(finished, id="other", patient="other", structures=structures, **parts)
    found = dosed.compare(finished, other, QUICK)
    assert "laid on new rigidly" in found.notes[0]
    assert found.difference.mean_absolute_gy < 1e-3  # the motion is found
    assert found.gamma[0].passing_percent == 100.0
    assert {one.difference for one in found.metrics} == {0.0}


def test_a_stored_plan_is_compared_like_the_same_from_a_file(dosed: Archive, finished) -> None:
    name = "phantom-01-02"
    case = replace(phantom(1, 2), id=name, patient=name)
    found = dosed.compare(name, case, QUICK)
    assert found.notes == ()  # on one CT
    assert found.difference.mean_absolute_gy < 0.2  # the archive's grid, and steps of 0.1 Gy
    assert found.metrics
    for one in found.metrics:
        if one.unit == "Gy":
            assert one.difference == pytest.approx(0.0, abs=0.5), one  # a bin
    for target, fit in found.dose.conformity.items():
        assert fit.paddick == pytest.approx(found.reference.conformity[target].paddick, abs=1e-6)
    json.dumps(found.to_json(), allow_nan=False)


def test_without_another_the_foreseen_dose_is_the_reference(dosed: Archive, finished) -> None:
    proposal = dosed.propose(finished)
    found = dosed.compare(finished, criteria=QUICK)
    assert found.reference.name == FORESEEN
    told = {(one.structure, one.metric): one for one in found.metrics}
    for objective in proposal.objectives:
        one = told.get((objective.structure, objective.metric))
        if one is not None:
            assert one.reference == pytest.approx(objective.gy, abs=0.3), one  # two samplings
    stored = dosed.compare("phantom-01-02", criteria=QUICK)
    by_file = dosed.compare(replace(phantom(1, 2), patient="phantom-01-02"), criteria=QUICK)
    assert "a few volumes only" in stored.notes[0]
    assert stored.difference.mean_gy == pytest.approx(by_file.difference.mean_gy, abs=0.2)


def test_what_has_no_dose_is_refused(dosed: Archive, finished: Case) -> None:
    with pytest.raises(InputError, match="new cannot be compared: it has no dose"):
        dosed.compare(replace(finished, dose=None), finished)


def test_the_command_tells_and_prints(dosed_path, dosed, isohash) -> None:
    a, b = list(dosed)[:2]
    told = json.loads(isohash("compare", dosed_path, a, b, "--percent", 2, "--json").out)
    assert (told["use"], told["gamma"][0]["percent"]) == ("research, not for treatment", 2.0)
    shown = isohash("compare", dosed_path, a, b)
    assert (shown.status, "gamma 3 %/2 mm, global" in shown.out) == (0, True)
    refused = isohash("compare", dosed_path, a, b, "--mm", 0)
    assert (refused.status, "mm must be positive, got 0.0" in refused.err) == (1, True)
