"""The second stage of a query: exact order among the candidates, told as such, or refused."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pytest

from isohash.apps.cli.answers import answer_table
from isohash.apps.cli.pieces import Line
from isohash.apps.page.report import render
from isohash.errors import InputError
from isohash.retrieval.answer import headers
from isohash.retrieval.building.indexing import build_archive, index_found
from isohash.retrieval.building.rehashing import train_kernel
from isohash.retrieval.dense import UNCOVERED
from isohash.retrieval.engine import Archive
from oracle import aligned, laid
from small_cases import OPTIONS, some_phantoms

VIEWS = {"ct": 0.3, "dose": 0.7}


@pytest.fixture(scope="module")
def codes_only(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("codes") / "A"
    index_found(some_phantoms(2, 2), path, {**OPTIONS, "embeddings": False})
    return path


@pytest.fixture(scope="module")
def vectors(tmp_path_factory) -> tuple[np.ndarray, Path, Path]:
    """Rows, an archive that keeps them, and one that does not."""
    folder = tmp_path_factory.mktemp("vectors")
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((500, 16)).astype(np.float32)
    rows[300] = rows[7]
    np.save(folder / "rows.npy", rows)
    build_archive(folder / "rows.npy", folder / "full", bits=64)
    build_archive(folder / "rows.npy", folder / "codes", bits=64, embeddings=False)
    return rows, folder / "full", folder / "codes"


def exact_distance(archive: Archive, query: str, other: str) -> float:
    """Plain NumPy on the stored embeddings: align the weighted distances of all slice pairs."""
    a, b = archive.entry(query), archive.entry(other)
    usable = [(e.table.row["ct"] >= 0) & (e.table.row["dose"] >= 0) for e in (a, b)]
    costs = 0.0
    for view, weight in VIEWS.items():
        x, y = (
            e.arrays[f"embedding.{view}"][e.table.row[view][keep]].astype(float)
            for e, keep in zip((a, b), usable, strict=True)
        )
        apart = np.linalg.norm(x[:, None] - y[None], axis=2)
        costs = costs + weight * apart / archive.contents.pipeline.models[view].near
    at, slices = laid(*(e.table.z_mm[keep] for e, keep in zip((a, b), usable, strict=True)))
    price = UNCOVERED * len(costs) / (at[-1] + 1 + len(slices))
    return aligned(costs[:, slices], at, price) / len(costs)


def test_enough_candidates_give_the_exact_order_of_all_cases(archive: Archive) -> None:
    session = archive.session("phantom-01-02")
    answer = session.ask(20, by="joint", alpha=0.3, rerank=len(archive))
    exact = {i: exact_distance(archive, "phantom-01-02", i) for i in archive}
    del exact["phantom-01-02"]
    assert answer.ids == sorted(exact, key=lambda i: exact[i])
    np.testing.assert_allclose(answer.distances, [exact[i] for i in answer.ids], rtol=1e-9)
    assert answer.ranked_by == "embeddings"
    assert all(match.interval is None for match in answer)


def test_more_candidates_never_lose_a_true_neighbour(archive: Archive) -> None:
    session = archive.session("phantom-00-01")
    truth = set(session.ask(4, rerank=100).ids)
    found = [len(truth & set(session.ask(4, rerank=n).ids)) for n in (1, 5, 8, 14)]
    assert found == sorted(found)
    assert found[-1] == 4


def test_the_candidates_keep_filters_and_the_patient_rule(archive: Archive) -> None:
    answer = archive.query("phantom-00-00", k=4, where="label == 'family-02'", rerank=5)
    assert {match.facts["label"] for match in answer} == {"family-02"}
    assert "phantom-00-00" not in archive.query("phantom-00-00", k=100, rerank=100).ids
    first = archive.query("phantom-00-00", k=1, rerank=3, same_patient=True).matches[0]
    assert (first.id, first.distance) == ("phantom-00-00", 0.0)


def test_slices_are_ranked_exactly_too(archive: Archive) -> None:
    session = archive.session("phantom-02-00")
    answer = session.ask(200, by="dose", level="slice", slice=None, rerank=100_000)
    assert answer.distances == sorted(answer.distances)
    model = archive.contents.pipeline.models["dose"]
    own = session.query
    for match in answer.matches[::40]:
        pair, other = match.pairs[0], archive.entry(match.id)
        x, y = (
            e.arrays["embedding.dose"][e.table.row["dose"][e.table.index == i]].astype(float)
            for e, i in ((own, pair.query_slice), (other, pair.slice))
        )
        assert match.distance == pytest.approx(np.linalg.norm(x - y) / model.near, rel=1e-9)


def test_the_answer_says_which_stage_ranked(archive: Archive, archive_path, isohash) -> None:
    by_code = archive.query("phantom-00-00", rerank=0)
    assert (by_code.ranked_by, by_code.n_reranked) == ("codes", 0)
    told = json.loads(isohash("query", archive_path, "phantom-00-00", "--json").out)
    assert told["ranked_by"] == "embeddings"
    assert told["n_reranked"] == len(archive) - 1
    assert "exact" in told["meaning"]
    assert [match["interval"] for match in told["matches"]] == [None] * len(told["matches"])
    assert "all 14 were compared exactly" in told["uncertain"]
    assert (
        "left a nearer one out of the 4 of 14"
        in archive.query("phantom-00-00", k=2, rerank=4).uncertain
    )
    assert "interval holds 95 %" in by_code.uncertain
    shown = " ".join(isohash("query", archive_path, "phantom-00-00").out.split())
    assert "exact" in shown
    assert "95 % of true ones" in shown
    told = json.loads(isohash("query", archive_path, "phantom-00-00", "--rerank", 0, "--json").out)
    assert told["ranked_by"] == "codes"
    assert told["meaning"] == by_code.meaning


def test_what_codes_cannot_tell_is_told_as_tied(archive: Archive, archive_path, isohash) -> None:
    answer = archive.query("phantom-00-00", k=14, rerank=0)
    for match in answer:
        if match.tie is None:
            continue
        first = answer.matches[match.tie - 1]
        blind = all(near.beyond_range for near in first.near.values())
        assert first.tie == first.rank
        assert match.distance <= first.interval[1] or blind
    assert any(match.tie for match in answer)  # 256 bits do not tell all relatives apart
    out = isohash("query", archive_path, "phantom-00-00", "--rerank", 0, "-k", 14).out
    assert "not told apart" in out
    assert "ranks 1-" in out or "ranks 2-" in out or "ranks 3-" in out
    assert all(match.tie is None for match in archive.query("phantom-00-00", k=14))


@pytest.mark.parametrize("options", [{}, {"rerank": 0}, {"by": "ct"}, {"by": "ct", "rerank": 0}])
def test_every_column_is_explained_where_it_is_shown(archive: Archive, options) -> None:
    """Table, JSON and page have the same columns, each with a sentence."""
    session = archive.session("phantom-00-00", pictures=True)
    answer = session.ask(14, **options)
    by_code = options == {"by": "ct", "rerank": 0}
    assert ("near" in answer.explained) == (not by_code or not answer.linear)
    assert ("tie" in answer.explained) == any(match.tie for match in answer)
    pieces = answer_table(answer)
    shown = [piece.text for piece in pieces if isinstance(piece, Line)]
    page = html.unescape(render(session, answer))
    for name, told in answer.explained.items():
        line = f"{headers(answer)[name]}: {told}."
        assert line in shown
        assert line in page
    assert answer.to_json()["explained"] == answer.explained
    assert f"{answer.meaning} {answer.uncertain}" in shown
    assert answer.uncertain in page


def test_an_archive_without_embeddings_answers_by_code_and_refuses_the_rest(
    codes_only, isohash
) -> None:
    with Archive.open(codes_only) as archive:
        assert "embedding.ct" not in archive.entry("phantom-00-00").arrays
        assert archive.query("phantom-00-00").ranked_by == "codes"
        with pytest.raises(InputError, match="--no-embeddings"):
            archive.query("phantom-00-00", rerank=5)
    with pytest.raises(InputError, match="--no-embeddings"):
        train_kernel(codes_only)
    outcome = isohash("query", codes_only, "phantom-00-00", "--rerank", 5)
    assert outcome.status == 1
    assert "index the source into a new archive" in outcome.err


def test_answers_are_json_that_any_reader_takes(archive_path, isohash) -> None:
    """Beyond range there is no upper end: null, not a name that JSON does not have."""
    for k in (3, 14):
        out = isohash("query", archive_path, "phantom-00-00", "-k", k, "--rerank", 0, "--json").out
        told = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        for match in told["matches"]:
            for near in match["near"].values():
                assert (near["high"] is None) == near["beyond_range"]


def test_the_codes_tell_about_the_distance_that_embeddings_have(archive: Archive) -> None:
    session = archive.session("phantom-01-03")
    inside = []
    for view in VIEWS:
        for match in session.ask(14, by=view):
            near = match.near[view]
            apart = np.mean([pair.distance for pair in match.pairs])
            assert near.estimate == pytest.approx(apart, rel=0.15)
            inside.append(near.low <= apart <= (near.high or np.inf))
    assert np.mean(inside) > 0.5  # calibrated on five phantoms: not what many patients would give


def test_a_negative_number_of_candidates_is_refused(archive: Archive) -> None:
    with pytest.raises(InputError, match="--rerank must be 0"):
        archive.query("phantom-00-00", rerank=-1)


def test_vectors_come_back_in_euclidean_order(vectors) -> None:
    rows, full, _ = vectors
    apart = np.linalg.norm(rows.astype(float) - rows[20].astype(float), axis=1)
    order = [i for i in np.argsort(apart, kind="stable") if i != 20]
    with Archive.open(full) as archive:
        answer = archive.query("rows:20", k=12, rerank=500)
        assert answer.ids == [f"rows:{i}" for i in order[:12]]
        expected = apart[order[:12]] / archive.contents.model.near
        np.testing.assert_allclose(answer.distances, expected, rtol=1e-9)
        by_code = archive.query("rows:20", k=12, rerank=0)
        assert by_code.ranked_by == "codes"
        assert by_code.ids != answer.ids
        twins = archive.query("rows:7", k=2).matches
        assert (twins[0].id, twins[0].distance) == ("rows:300", 0.0)


def test_vectors_that_are_not_kept_are_found_by_code(vectors) -> None:
    _, full, codes = vectors
    with Archive.open(full) as kept, Archive.open(codes) as bare:
        assert bare.query("rows:3", k=9).ids == kept.query("rows:3", k=9, rerank=0).ids
        with pytest.raises(InputError, match="--no-embeddings"):
            bare.query("rows:3", rerank=10)


def test_candidates_are_looked_for_with_the_whole_query(tmp_path: Path) -> None:
    rows = np.random.default_rng(5).standard_normal((3000, 24)).astype(np.float32)
    build_archive(rows, tmp_path / "A", bits=48)
    with Archive.open(tmp_path / "A") as archive:
        index, model = archive.contents.index, archive.contents.model
        found = {"codes": 0, "queries": 0}
        for at in range(60):
            exact = np.argsort(np.linalg.norm(rows - rows[at], axis=1), kind="stable")[1:11]
            for name, encode in (("codes", model.hash.encode), ("queries", model.asking)):
                near = index.search(encode(rows[at : at + 1]), 31).ids[0]
                found[name] += len(set(near.tolist()) & set(exact.tolist()))
            asked = archive.query(f"array:{at}", k=10, rerank=30)
            candidates = index.search(model.asking(rows[at : at + 1]), 31).ids[0]
            assert set(asked.ids) <= {f"array:{row}" for row in candidates}
        assert found["queries"] > found["codes"]  # 600 neighbours looked for
