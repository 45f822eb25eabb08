"""Refined questions: spans, boxes, weights of structures, marks; what is whole refines nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isohash
from isohash.dosimetry.rigid import dose_at, rigid_between
from isohash.errors import InputError
from isohash.retrieval.alignment import OUTSIDE, Segmented, alignment_totals, paths
from isohash.retrieval.answer import Answer
from isohash.retrieval.dose_arrays import KeptDose
from isohash.retrieval.engine import Archive
from isohash.retrieval.plan_comparison import PlanComparison
from isohash.retrieval.refined import moved, moved_query, named_weights
from isohash.retrieval.request import Request
from isohash.retrieval.rungs import rungs_of
from oracle import laid, matchings, spent


def same(one: Answer, other: Answer) -> bool:
    """Whether two questions were answered the same."""
    return replace(one, asked=None) == replace(other, asked=None)


SEEDS = st.integers(0, 2**32 - 1)
QUERY = "phantom-00-01"
WHOLE = (0, 10_000)


# -- by region ---------------------------------------------------------------------------------


@given(st.integers(1, 5), st.lists(st.integers(1, 6), min_size=1, max_size=3), SEEDS)
@settings(max_examples=50)
def test_a_part_of_a_body_pays_for_no_end_of_a_case(n, lengths, seed) -> None:
    rng = np.random.default_rng(seed)
    query, start = 3.0 * np.arange(n), np.concatenate([[0], np.cumsum(lengths)])
    stored = np.concatenate([np.cumsum(rng.choice([1.5, 3, 3, 6], m)) for m in lengths])
    costs = rng.integers(0, 6, (n, len(stored))).astype(float)
    price = rng.integers(0, 3, len(lengths)).astype(float)
    problem = Segmented(costs, rungs_of(query, stored, start), price, free_ends=True)
    totals = alignment_totals(problem)
    for case in range(len(lengths)):
        at, slices = laid(query, stored[start[case] : start[case + 1]])
        own, cost = costs[:, start[case] + np.array(slices)], float(price[case])
        wanted = min(
            spent(own, at, cost, one)[0] - cost * _ends(one, len(slices))
            for one in matchings(at, len(slices))
        )
        found = paths(problem.of_cases(np.array([case])))
        path = [None if rung == OUTSIDE else int(rung) for rung in found.rungs[0]]
        told = spent(own, at, cost, path)[0] - cost * _ends(path, len(slices))
        assert totals[case] == found.totals[0] == told == wanted


def _ends(path: list[int | None], n_rungs: int) -> int:
    """How many rungs of a case lie before and after the matched ones."""
    inside = [rung for rung in path if rung is not None]
    return inside[0] + n_rungs - 1 - inside[-1]


@pytest.mark.parametrize(
    "options", [{"by": "joint", "alpha": 0.3}, {"by": "ct", "rerank": 0}], ids=str
)
def test_the_whole_span_refines_nothing(archive: Archive, options) -> None:
    plain = archive.query(QUERY, 5, **options)
    assert same(archive.query(QUERY, 5, span=WHOLE, **options), plain)
    assert plain.refined == ()


@pytest.mark.parametrize("rerank", [0, None])
def test_only_the_span_counts(archive: Archive, rerank) -> None:
    session = archive.session(QUERY)
    answer = session.ask(6, by="joint", span=(8, 14), rerank=rerank, same_patient=True)
    assert (answer.matches[0].id, answer.matches[0].distance) == (QUERY, 0.0)
    for match in answer:
        assert {pair.query_slice for pair in match.pairs} <= set(range(8, 15))
    assert "Only slices 8 to 14" in answer.refined[0]
    assert answer.distances != session.ask(6, by="joint", rerank=rerank).distances


def test_fewer_cells_give_the_same_answer_to_a_part(archive: Archive) -> None:
    comparison = archive.contents.compared(archive.entry(QUERY))
    from isohash.retrieval.ranked import Question

    everyone = np.ones(len(archive), dtype=bool)
    for weights in ({"ct": 1.0}, {"ct": 0.3, "dose": 0.7}):
        part = comparison.within((5, 9), tuple(weights))
        assert part.part_only
        for k in (1, 4, 99):
            question = Question(weights, k, everyone)
            assert part.rank(question) == part.reference().rank(question)


def test_intervals_of_a_part_hold_the_distances_of_its_embeddings(archive: Archive) -> None:
    held = []
    for name in archive:
        session = archive.session(name)
        exact = session.ask(99, by="ct", span=(6, 16), rerank=99)
        by_code = {m.id: m for m in session.ask(99, by="ct", span=(6, 16), rerank=0)}
        for match in exact:
            low, high = by_code[match.id].interval
            held.append(low - 1e-9 <= match.distance <= high + 1e-9)
    assert len(held) > 100
    assert np.mean(held) >= 0.95


def test_by_map_only_the_box_counts(dosed: Archive, new_patient) -> None:
    session = dosed.session(new_patient)
    plain = session.ask(4, by="map")
    assert same(session.ask(4, by="map", box_mm=(-1e4, -1e4, 1e4, 1e4), span=WHOLE), plain)
    kept = KeptDose(session.query.arrays)
    predicted, used = kept.predicted, kept.places > 0
    points = np.argwhere(used) @ predicted.affine[:3, :3].T + predicted.affine[:3, 3]
    middle = np.median(points, axis=0)
    box = (points[:, 0].min(), points[:, 1].min(), middle[0], middle[1])
    inside = (points[:, :2] <= middle[:2]).all(axis=1)
    answer = session.ask(4, by="map", box_mm=box)
    for match in answer:
        other = KeptDose(dosed.entry(match.id).arrays)
        laid_ = dose_at(other.planned, rigid_between(kept.centres, other.centres)(points[inside]))
        wanted = np.abs(laid_ - predicted.array[used][inside]).mean()
        assert match.distance == pytest.approx(wanted, rel=1e-5)
        assert match.interval is None
    assert "Only x" in answer.refined[0]
    assert "no interval" in answer.uncertain
    half = session.ask(4, by="map", span=(0, 11))
    assert half.distances != plain.distances
    with pytest.raises(InputError, match="none of the dose"):
        session.ask(by="map", box_mm=(900, 900, 901, 901))


# -- by structure ------------------------------------------------------------------------------


def plans(rng: np.random.Generator) -> PlanComparison:
    """A query with five structures against 30 plans, some of which lack some."""
    apart, known = rng.uniform(0, 30, (5, 30)), rng.random((5, 30)) < 0.7
    return PlanComparison(tuple("abcde"), apart, known, np.arange(30))


def test_equal_weights_are_none_and_zero_is_absence(rng) -> None:
    whole, everyone = plans(rng), np.ones(30, dtype=bool)
    for absent in (None, "ignored"):
        plain = whole.rank(9, everyone, absent)
        assert whole.weighted(dict.fromkeys("abcde", 1.0)).rank(9, everyone, absent) == plain
        kept = [0, 2, 3, 4]
        without = PlanComparison(
            tuple("acde"), whole.difference_gy[kept], whole.known[kept], whole.case
        )
        weighted = whole.weighted(dict.fromkeys("acde", 1.0) | {"b": 0.0})
        assert weighted.rank(9, everyone, absent) == without.rank(9, everyone, absent)


def test_the_distance_is_the_weighted_mean_of_its_shares(rng) -> None:
    weighted = plans(rng).weighted(dict(zip("abcde", (3.0, 1.0, 0.5, 0.0, 2.0), strict=True)))
    for absent in (None, "ignored"):
        for one in weighted.rank(30, np.ones(30, dtype=bool), absent):
            total = sum(share.weight for share in one.shares)
            mean = sum(share.weight * share.difference_gy for share in one.shares) / total
            assert one.distance == pytest.approx(mean)
            assert "d" not in {share.structure for share in one.shares}


def test_weights_of_structures_are_asked_for_and_said(dosed: Archive, new_patient) -> None:
    session = dosed.session(new_patient)
    plain = session.ask(5)
    names = [share.structure for share in plain.matches[0].shares]
    assert same(session.ask(5, structures={names[0]: 1.0}), plain)
    answer = session.ask(5, structures={names[0]: 4.0, names[1]: 0.0})
    assert answer.by == "plan"
    assert all(match.interval is None and not match.near for match in answer)
    assert "no interval" in answer.uncertain
    assert f"{names[0]} 4" in answer.refined[0]
    assert not any("no close match" in one for one in answer.warnings)
    for match in answer:
        assert names[1] not in {share.structure for share in match.shares}
    for wrong, told in (
        ({"Tail": 1.0}, "takes no part"),
        (dict.fromkeys(names, 0.0), "nothing is"),
    ):
        with pytest.raises(InputError, match=told):
            session.ask(structures=wrong)


# -- by example --------------------------------------------------------------------------------


@given(SEEDS, st.integers(0, 4), st.integers(0, 4))
def test_marks_move_weights_towards_what_tells_the_wanted(seed, n_good, n_bad) -> None:
    rng = np.random.default_rng(seed)
    weights = dict(zip("abc", rng.uniform(0.1, 1, 3).tolist(), strict=True))
    good, bad = rng.uniform(0, 2, (n_good, 3)), rng.uniform(0, 2, (n_bad, 3))
    usual = rng.uniform(0.5, 1.5, 3)
    after = moved(weights, good, bad, usual)
    assert sum(after) == pytest.approx(sum(weights.values()))
    assert moved(weights, good[::-1], bad[::-1], usual) == pytest.approx(after)
    assert moved(weights, good[:0], bad[:0], usual) == list(weights.values())
    if n_good and n_bad:
        g = (good.sum(axis=0) + usual) / (n_good + 1)
        b = (bad.sum(axis=0) + usual) / (n_bad + 1)
        share = np.array(after) / list(weights.values())
        assert np.argsort(share).tolist() == np.argsort(b / g).tolist()


@pytest.mark.parametrize("by", ["joint", "plan"])
def test_marks_are_shown_and_leave_no_trace_when_taken_back(dosed: Archive, by) -> None:
    session = dosed.session("phantom-00-01")
    plain = session.ask(8, by=by)
    marked = session.ask(8, by=by, good=plain.ids[:1], bad=plain.ids[-1:])
    assert "1 cases marked as wanted and 1 as unwanted move the weights" in marked.refined[0]
    assert marked.distances != plain.distances
    assert same(session.ask(8, by=by), plain)
    assert sum(marked.weights.values()) == pytest.approx(1.0)
    if by == "joint":
        assert marked.weights != plain.weights
    else:
        weights = {share.weight for match in marked for share in match.shares}
        assert len(weights) > 1


def test_two_marks_raise_the_precision_of_vectors(tmp_path: Path, rng) -> None:
    towards = rng.standard_normal((2, 16))
    labels = np.repeat([0, 1], 40)
    rows = (towards[labels] + 0.8 * rng.standard_normal((80, 16))).astype(np.float32)
    isohash.build_archive(rows, tmp_path / "archive", bits=64)
    query = towards.mean(axis=0).astype(np.float32)
    with Archive.open(tmp_path / "archive") as archive:
        session = archive.session(query)
        plain = session.ask(20)
        of = [labels[int(name.split(":")[1])] for name in plain.ids]
        good = [name for name, one in zip(plain.ids, of, strict=True) if one == 1][:1]
        bad = [name for name, one in zip(plain.ids, of, strict=True) if one == 0][:1]
        marked = session.ask(20, good=good, bad=bad)
        told = [labels[int(name.split(":")[1])] for name in marked.ids]
        assert sum(told) > sum(of)
        at = [int(name.split(":")[1]) for name in (*good, *bad)]
        wanted = (query + 0.75 * rows[at[0]] - 0.15 * rows[at[1]]) / 1.6
        np.testing.assert_allclose(
            moved_query(query[None], rows[at[:1]], rows[at[1:]])[0], wanted, rtol=1e-5
        )
        apart = {f"array:{i}": np.linalg.norm(row - wanted) for i, row in enumerate(rows)}
        assert marked.ids == sorted(apart, key=apart.get)[:20]


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"span": (9, 3)}, "--span must go up"),
        ({"span": 4}, "--span must be two"),
        ({"box_mm": (0, 0, 0, 1)}, "--box must go up"),
        ({"box_mm": "wide"}, "--box must be four"),
        ({"structures": {}}, "structures must name"),
        ({"structures": {"a": -1}}, "weights must be 0 or more"),
        ({"good": "phantom-00-01"}, "--good must be a list"),
        ({"good": ["a"], "bad": ["a"]}, "marked as good and as bad"),
    ],
)
def test_what_means_nothing_is_refused_where_it_is_made(options, told) -> None:
    with pytest.raises(InputError, match=told):
        Request(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"by": "ct", "span": (900, 901)}, "nothing to compare there; usable slices lie in"),
        ({"by": "ct", "box_mm": (0, 0, 1, 1)}, "--box 0 0 1 1 means nothing"),
        ({"by": "ct", "level": "slice", "span": (0, 9)}, "of single slices"),
        ({"by": "ct", "good": ["phantom-00-02"]}, "use --by joint"),
        ({"by": "joint", "good": ["nobody"]}, "nobody is marked"),
        ({"by": "ct", "structures": {"Brainstem": 2}}, "--structure"),
    ],
)
def test_what_means_nothing_to_a_query_is_refused(archive: Archive, options, told) -> None:
    with pytest.raises(InputError, match=told):
        archive.query(QUERY, **options)


def test_weights_are_read_as_name_and_number() -> None:
    assert named_weights(["A=B=2"]) == {"A=B": 2.0}
    assert named_weights([]) is None
    for wrong in ("Brainstem", "=2", "A=much"):
        with pytest.raises(InputError, match="NAME=WEIGHT"):
            named_weights([wrong])


def test_the_command_line_says_what_it_refined(isohash, archive_path: Path) -> None:
    done = isohash("query", archive_path, QUERY, "--by", "joint", "--span", 5, 12, "--good",
                   "phantom-00-02", "-k", 3)  # fmt: skip
    assert done.status == 0
    assert "Only slices 5 to 12" in done.out
    assert "marked as wanted" in done.out
    assert isohash("query", archive_path, QUERY, "--structure", "x").status == 1
