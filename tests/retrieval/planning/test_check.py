"""Finished plans against what their anatomy would get."""

from __future__ import annotations

import json
import stat
from dataclasses import replace

import numpy as np
import pytest

from isohash.dosimetry.names import is_target, structures_by_name
from isohash.errors import InputError
from isohash.records import Case, Volume
from isohash.retrieval.engine import Archive
from isohash.retrieval.planning.check import ALARM, share_as_bad, worst_excess
from small_cases import DOSED_MEMBERS, phantom


@pytest.fixture
def finished() -> Case:
    """A new patient with a plan."""
    return replace(phantom(1, DOSED_MEMBERS), id="new", patient="new")


def worse(case: Case, organ: str, gy: float) -> Case:
    """The plan with more dose to one organ."""
    dose = case.dose.array.copy()
    dose[structures_by_name(case)[organ].array] += np.float32(gy)
    return replace(case, dose=Volume(dose, case.dose.affine))


def an_organ(case: Case) -> str:
    return next(name for name in sorted(structures_by_name(case)) if not is_target(name))


def test_what_was_made_worse_is_told_first(dosed: Archive, finished: Case) -> None:
    organ = an_organ(finished)
    found = dosed.check(worse(finished, organ, 60.0))
    first = found.findings[0]
    assert (first.structure, first.verdict) == (organ, "more than foreseen")
    assert found.worst == first.excess > dosed.check(finished).worst
    assert found.share_as_bad == pytest.approx(1 / 13)  # as bad as none of 12
    assert first.shown_by
    past = {name: dict(first.shown_by)[name] for name, _ in first.shown_by}
    assert all(gy < first.planned_gy for gy in past.values())


def test_the_excess_is_the_miss_in_half_widths(dosed: Archive, finished: Case) -> None:
    for one in dosed.check(finished).findings:
        half = one.high_90 - one.foreseen_gy
        sign = -1.0 if one.metric in ("D95", "D99") else 1.0
        assert one.excess == pytest.approx(sign * (one.planned_gy - one.foreseen_gy) / half)
        outside = not one.low_90 <= one.planned_gy <= one.high_90
        assert (one.verdict != "as foreseen") == outside


def test_a_stored_plan_is_checked_like_the_same_from_a_file(dosed: Archive) -> None:
    case = replace(phantom(1, 2), id="phantom-01-02", patient="phantom-01-02")
    by_id, by_file = dosed.check("phantom-01-02"), dosed.check(case)
    assert by_id.compared_with == by_file.compared_with == 11  # not with itself
    assert by_id.worst == pytest.approx(by_file.worst, abs=0.05)


def test_alarms_on_plans_like_the_past_are_as_rare_as_told() -> None:
    """Each of n exchangeable plans against the others: at most 5 % are told of."""
    worst = np.random.default_rng(0).standard_normal(400)
    told = [share_as_bad(x, np.delete(worst, i)) <= ALARM for i, x in enumerate(worst)]
    assert 0.04 <= np.mean(told) <= ALARM


def test_the_worst_of_a_plan_that_is_as_foreseen_is_nothing(dosed: Archive) -> None:
    calibration = dosed.contents.pipeline.dose.calibration
    told = np.full((2, len(calibration.structures), 3), 20.0)
    assert worst_excess(told, told, calibration).tolist() == [0.0, 0.0]
    lower, higher = told - 5.0, told + 5.0
    assert (worst_excess(told, lower, calibration) > 0).all()  # targets lack dose
    assert (worst_excess(told, higher, calibration) > 0).all()  # organs get more


def test_a_plan_without_dose_or_of_an_unknown_archive_is_refused(
    dosed: Archive, archive: Archive, finished: Case
) -> None:
    with pytest.raises(InputError, match="new cannot be checked: it has no dose"):
        dosed.check(replace(finished, dose=None))
    with pytest.raises(InputError, match="proposes no dose"):
        archive.check(finished)


def test_the_command_says_what_python_says(dosed: Archive, dosed_path, isohash) -> None:
    told = isohash("check", dosed_path, "phantom-01-02", "--json")
    found = dosed.check("phantom-01-02")
    assert json.loads(told.out) == json.loads(json.dumps(found.to_json()))
    assert told.status == int(found.alarm)
    table = isohash("check", dosed_path, "phantom-01-02").out
    assert "Research, not for treatment" in table
    assert isohash("check", dosed_path, "bare").status == 1


def test_the_page_shows_what_is_worse_and_both_doses(dosed_path, finished, tmp_path, isohash):
    from isohash.sources.dicom.writer import write_dicom

    plan = worse(finished, an_organ(finished), 60.0)
    whole = replace(plan.ct, array=np.rint(plan.ct.array))
    write_dicom(replace(plan, ct=whole, facts={}), tmp_path / "plan")
    page = tmp_path / "check.html"
    told = isohash("check", dosed_path, tmp_path / "plan", "--report", page)
    assert told.status in (0, 1), told.err  # 1 where the alarm is raised
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    text = page.read_text()
    assert text.count("more than foreseen") >= 1
    assert text.count("<figcaption>planned, z = ") == text.count("<figcaption>foreseen, z = ") == 5
    assert "research, not for treatment" in text
    assert "gamma 3 %/2 mm, global" in text
    assert "Paddick" in text
    assert "<script" not in text
