"""Queries: laws that hold whatever the encoder, on synthetic families with known neighbours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.records import Volume
from isohash.retrieval.answer import covered_text
from isohash.retrieval.engine import Archive, _barely_covered
from isohash.retrieval.ranked import Covered
from small_cases import FAMILIES, MEMBERS


def test_relatives_come_first_for_every_family(archive: Archive) -> None:
    for family in range(FAMILIES):
        answer = archive.query(f"phantom-{family:02d}-00", k=MEMBERS - 1)
        found = [match.facts["label"] for match in answer]
        assert found.count(f"family-{family:02d}") >= MEMBERS - 2


def test_a_case_finds_itself_first_at_distance_zero(archive: Archive) -> None:
    for case_id in archive:
        first = archive.query(case_id, k=1, same_patient=True).matches[0]
        assert (first.id, first.distance) == (case_id, 0.0)


def test_the_own_patient_is_left_out_and_counted(archive: Archive) -> None:
    answer = archive.query("phantom-00-00", k=100)
    assert "phantom-00-00" not in answer.ids
    assert answer.n_excluded == 1
    assert answer.n_considered == len(archive) - 1


def test_other_cases_of_the_same_patient_are_left_out_too(archive: Archive, other_patient) -> None:
    twin = replace(other_patient, patient="phantom-01-02")
    assert "phantom-01-02" not in archive.query(twin, k=100).ids
    assert "phantom-01-02" in archive.query(other_patient, k=100).ids


def test_alpha_one_is_ct_and_alpha_zero_is_dose(archive: Archive) -> None:
    session = archive.session("phantom-02-01")
    for alpha, by in ((1.0, "ct"), (0.0, "dose")):
        joint, single = session.ask(9, by="joint", alpha=alpha), session.ask(9, by=by)
        assert joint.ids == single.ids
        assert joint.distances == single.distances


def test_changing_alpha_reads_no_codes_again(archive: Archive, monkeypatch) -> None:
    session = archive.session("phantom-02-01")
    session.ask(8, rerank=0)
    monkeypatch.setattr("isohash.retrieval.comparison.distances_to_cases", None)
    monkeypatch.setattr(archive.store, "gather", None)
    assert len({tuple(session.ask(8, alpha=a, rerank=0).distances) for a in (0.2, 0.5, 0.8)}) == 3


def test_the_distance_is_the_weighted_mean_of_its_evidence(archive: Archive) -> None:
    session = archive.session("phantom-00-03")
    n = int(session.query.table.usable(("ct", "dose")).sum())
    for match in session.ask(5, by="joint", alpha=0.3, rerank=0):
        mean = {
            view: np.mean(model.measured([pair.counts[view] for pair in match.pairs]))
            for view, model in archive.contents.pipeline.models.items()
        }
        least = (0.3 * mean["ct"] + 0.7 * mean["dose"]) * len(match.pairs) / n
        whole = (match.lengths.query, match.lengths.case) == (1.0, 1.0)
        assert match.distance == pytest.approx(least) if whole else match.distance > least
        low, high = match.interval
        assert low - 1e-12 <= match.distance <= high + 1e-12
        slices = [pair.slice for pair in match.pairs]
        assert slices == sorted(slices) or slices == sorted(slices, reverse=True)


def test_a_smaller_k_is_a_prefix_of_a_larger_one(archive: Archive) -> None:
    session = archive.session("phantom-00-03")
    for level in ("case", "slice"):
        assert session.ask(3, level=level).ids == session.ask(9, level=level).ids[:3]


def test_a_slice_finds_itself_first(archive: Archive) -> None:
    answer = archive.query("phantom-01-01", k=2, level="slice", same_patient=True)
    first = answer.matches[0]
    assert (first.id, first.distance) == ("phantom-01-01", 0.0)
    assert first.pairs[0].query_slice == first.pairs[0].slice


def test_the_slice_that_is_asked_by_default_is_the_middle_one(archive: Archive) -> None:
    table = archive.entry("phantom-01-01").table
    dosed = [i for i in range(len(table.index)) if min(table.row[v][i] for v in table.row) >= 0]
    answer = archive.query("phantom-01-01", k=1, by="joint", level="slice")
    asked = answer.matches[0].pairs[0].query_slice
    before = sum(table.index[i] < asked for i in dosed)
    after = sum(table.index[i] > asked for i in dosed)
    assert abs(int(before - after)) <= 1
    assert len(dosed) > 5


def test_the_answer_says_how_it_was_compared(archive: Archive) -> None:
    both = archive.query("phantom-00-00", by="joint", alpha=0.25)
    assert both.summary.endswith("CT and dose (alpha 0.25), compared as whole cases, 1 left out")
    single = archive.query("phantom-00-00", by="ct", level="slice")
    assert single.summary.endswith("CT, compared slice by slice, 1 left out")


def test_filters_come_before_the_search(archive: Archive) -> None:
    answer = archive.query("phantom-00-00", k=4, where="label == 'family-02'")
    assert {match.facts["label"] for match in answer} == {"family-02"}
    assert len(answer) == 4


def test_fewer_results_than_asked_for_come_with_the_reason(archive: Archive) -> None:
    answer = archive.query("phantom-00-00", k=100, where="label == 'family-02'")
    assert len(answer) == MEMBERS
    assert any("no more cases qualify" in warning for warning in answer.warnings)
    assert archive.query("phantom-00-00", where="n_slices < 0").matches == ()


def test_a_case_without_dose_is_asked_by_ct(archive: Archive, other_patient) -> None:
    no_dose = replace(other_patient, dose=None)
    answer = archive.query(no_dose, k=3)
    assert answer.by == "ct"
    with pytest.raises(InputError, match="no dose to compare"):
        archive.query(no_dose, by="dose")


def test_a_case_without_ct_is_asked_by_dose(archive: Archive, other_patient) -> None:
    answer = archive.query(replace(other_patient, ct=None), k=3)
    assert answer.by == "dose"
    assert answer.matches[0].facts["label"] == "family-01"


def test_the_same_question_gives_the_same_answer(archive: Archive, archive_path) -> None:
    with Archive.open(archive_path) as again:
        first, second = (a.query("phantom-02-02", k=9).to_json() for a in (archive, again))
    assert first == second


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "-k must be at least 1"),
        ({"by": "colour"}, "--by must be plan, map, ct, dose or joint"),
        ({"alpha": 1.5}, "--alpha is the weight"),
        ({"level": "organ"}, "--level must be slice or case"),
        ({"level": "slice", "slice": 9999}, "usable slices lie in"),
        ({"where": "n_slices +"}, "--where"),
    ],
)
def test_bad_questions_are_refused_by_name(archive: Archive, options, message) -> None:
    with pytest.raises(InputError, match=message):
        archive.query("phantom-00-00", **options)


def test_an_unknown_case_is_refused_by_name(archive: Archive) -> None:
    with pytest.raises(InputError, match="neither a path nor the id"):
        archive.query("nobody")


def test_a_match_says_how_much_of_both_lengths_is_matched(archive: Archive) -> None:
    answer = archive.query("phantom-00-03", k=4, by="ct")
    for match, told in zip(answer, answer.to_json()["matches"], strict=True):
        assert match.covered == told["covered"] == told["lengths"]["query"]
        assert 0.5 <= match.covered <= 1.0
        share = f"{match.covered:.0%} of the query, {match.lengths.case:.0%} of the case"
        assert covered_text(match).endswith(share)
    single = archive.query("phantom-00-03", k=1, by="ct", level="slice").matches[0]
    assert (single.covered, covered_text(single)) == (None, "1 of 1")
    first = replace(answer.matches[0], lengths=Covered(0.4, 1.0))
    assert "of rank 1: less than half of the query's length" in _barely_covered((first,))[0]
    assert _barely_covered(answer.matches) == []


def test_a_covered_share_can_be_asked_for(archive: Archive, other_patient) -> None:
    def upper(volume: Volume) -> Volume:
        return Volume(np.asarray(volume.array)[14:], volume.affine)

    short = replace(other_patient, ct=upper(other_patient.ct), dose=None, structures={})
    with Archive.open(archive.store.path) as opened:
        long = opened.query("phantom-00-03", k=9, by="ct", covered=0.9)
        assert all(match.covered >= 0.9 for match in long)
        everyone = opened.query(short, k=99, by="ct")
    assert all(match.lengths.case < 0.6 for match in everyone)  # longer cases are told as such
    with pytest.raises(InputError, match="--covered is the least share"):
        archive.query("phantom-00-03", covered=1.5)
    with pytest.raises(InputError, match=r"--covered 0\.5 means nothing"):
        archive.query("phantom-00-03", by="ct", level="slice", covered=0.5)
    few = archive.query("phantom-00-03", k=99, by="ct", covered=1.0)
    assert len(few) == 99 or "--covered asks for" in " ".join(few.warnings)
