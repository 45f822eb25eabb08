"""Every kind of archive answers the same public calls and refuses the same nonsense."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.retrieval.answer import Answer
from isohash.retrieval.building.indexing import build_archive, index_found
from isohash.retrieval.engine import Archive
from isohash.retrieval.request import Request
from small_cases import OPTIONS, phantom, some_phantoms

KINDS = ("cases", "cases by code", "planned cases", "vectors", "vectors by code")
PLANNED = {**OPTIONS, "fit_cases": 24}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("archives")
    np.save(folder / "v.npy", np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32))
    some = some_phantoms(3, 2)
    index_found(some, folder / "cases", OPTIONS)
    index_found(some, folder / "cases by code", {**OPTIONS, "embeddings": False})
    index_found(some_phantoms(4, 6), folder / "planned cases", PLANNED)
    build_archive(folder / "v.npy", folder / "vectors", bits=64)
    build_archive(folder / "v.npy", folder / "vectors by code", bits=64, embeddings=False)
    return {kind: folder / kind for kind in KINDS}


@pytest.fixture(params=KINDS)
def archive(request: pytest.FixtureRequest, archives: dict[str, Path]):
    with Archive.open(archives[request.param]) as opened:
        yield opened


def test_archives_are_one_type_with_names_that_can_be_asked(archive: Archive) -> None:
    assert type(archive) is Archive
    names = list(archive)
    assert len(names) == len(set(names)) == len(archive) > 0
    assert all(name in archive for name in names)
    assert "nobody" not in archive
    assert 7 not in archive
    for name in names[:3]:
        answer = archive.query(name, k=2)
        assert isinstance(answer, Answer)
        assert len(answer) == 2
        assert set(answer.ids) <= set(names) - {name}


def test_the_recipe_reads_as_its_json_and_by_names(archive: Archive) -> None:
    recipe = archive.recipe
    assert recipe["kind"] == recipe.kind
    assert recipe["settings"]["bits"] == recipe.settings.bits
    assert set(recipe["near"]) == set(recipe.near)
    assert dict(recipe) == archive.store.recipe
    assert archive.verify().problems == ()


def test_a_request_and_its_fields_by_name_are_the_same_question(archive: Archive) -> None:
    name = next(iter(archive))
    session = archive.session(name)
    wanted = archive.query(name, k=3, same_patient=True).to_json()
    request = Request(k=3, same_patient=True)
    assert archive.query(name, request).to_json() == wanted
    assert archive.query(name, 3, same_patient=True).to_json() == wanted
    assert session.ask(request).to_json() == session.ask(3, same_patient=True).to_json() == wanted
    assert name in [match["id"] for match in wanted["matches"]]  # by plan it is asked as if new


def test_answers_say_what_they_are(archive: Archive) -> None:
    answer = archive.query(next(iter(archive)), k=2)
    told = answer.to_json()
    assert {"query", "by", "level", "weights", "ranked_by", "meaning", "matches"} <= set(told)
    assert answer.meaning.startswith("Distance: ")
    assert answer.summary.startswith(f"2 nearest of {answer.n_considered} ")
    assert answer.distances == sorted(answer.distances)
    assert sum(answer.weights.values()) == pytest.approx(1)


NONSENSE = {
    "k": [0, -3, 2.5, "many", None],
    "by": ["nonsense", "", 3],
    "alpha": [7, -0.1, float("nan"), "half"],
    "level": ["bogus", "", 1],
    "slice": [-1, 10**6, 1.5, "middle"],
    "rerank": [-5, 0.5, "all"],
    "where": ["n +", "import os", 5],
    "weights": [{}, {"ct": -1.0}, {"colour": 1.0}, {"ct": float("inf")}, "ct", {"ct": 0.0}],
    "same_patient": ["yes", 2],
    "colour": ["blue"],
}


@pytest.mark.parametrize("option", NONSENSE)
def test_nonsense_is_refused_by_name(archive: Archive, option: str) -> None:
    session = archive.session(next(iter(archive)))
    for value in NONSENSE[option]:
        with pytest.raises(InputError, match=option if option != "k" else "-k must be"):
            session.ask(**{option: value})


MEANINGLESS = [
    {"by": "ct", "alpha": 0.3},
    {"by": "plan", "alpha": 0.3},
    {"by": "plan", "rerank": 5},
    {"by": "plan", "slice": 3},
    {"by": "plan", "weights": {"ct": 1.0}},
    {"by": "plan", "level": "slice"},
    {"by": "joint", "slice": 3},
    {"slice": 3},
    {"by": "ct", "level": "case", "slice": 3},
    {"alpha": 0.3, "weights": {"ct": 1.0}},
    {"by": "ct", "weights": {"ct": 1.0}},
]


@pytest.mark.parametrize("options", MEANINGLESS, ids=str)
def test_an_option_that_means_nothing_is_refused(archive: Archive, options: dict) -> None:
    session = archive.session(next(iter(archive)))
    with pytest.raises(InputError):
        session.ask(**options)


def test_vectors_refuse_what_only_cases_have(archives: dict[str, Path]) -> None:
    with Archive.open(archives["vectors"]) as archive:
        for options in ({"by": "ct"}, {"by": "joint"}, {"alpha": 0.5}, {"level": "slice"}):
            with pytest.raises(InputError, match=next(iter(options))):
                archive.query("v:0", **options)
        with pytest.raises(InputError, match="no pictures"):
            archive.session("v:0", pictures=True)
        assert archive.query("v:0", by="vector").ids == archive.query("v:0").ids


def test_an_array_is_asked_as_its_file_is(archives: dict[str, Path], tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
    np.save(tmp_path / "q.npy", rows)
    with Archive.open(archives["vectors"]) as archive:
        for at, row in enumerate(rows):
            asked = archive.query(row, k=5)
            assert asked.ids == archive.query(tmp_path / "q.npy", k=5, slice=at).ids
            assert asked.distances == archive.query(rows, k=5, slice=at).distances
        with pytest.raises(InputError, match="rows 0 to 2"):
            archive.query(rows, slice=3)
        with pytest.raises(InputError, match=r"wants \(n, 8\)"):
            archive.query(np.zeros(9))


def test_weights_stand_for_by_and_alpha(archives: dict[str, Path]) -> None:
    with Archive.open(archives["cases"]) as archive:
        session = archive.session(next(iter(archive)))
        joint = session.ask(by="joint", alpha=0.3)
        weighted = session.ask(weights={"ct": 0.3, "dose": 0.7})
        assert weighted == joint
        by_ct = session.ask(by="ct")
        assert session.ask(weights={"ct": 1.0, "dose": 0.0}) == by_ct


def test_options_of_images_ask_for_images_where_plans_would_answer(archives) -> None:
    with Archive.open(archives["planned cases"]) as archive:
        session = archive.session(next(iter(archive)))
        assert session.ask().by == session.ask(level="case").by == "plan"
        assert session.ask(alpha=0.5).by == session.ask(rerank=0).by == "joint"
        assert session.ask(level="slice").level == "slice"
        assert session.ask(level="slice", slice=12).matches[0].pairs[0].query_slice == 12


def test_request_and_options_together_are_refused() -> None:
    with pytest.raises(InputError, match="not both"):
        Request.of(Request(3), {"by": "ct"})
    with pytest.raises(InputError, match="k is given twice"):
        Request.of(3, {"k": 4})
    with pytest.raises(InputError, match="no option 'colour'"):
        Request.of(None, {"colour": "blue"})  # type: ignore[typeddict-unknown-key]


def test_an_archive_is_built_from_what_is_in_memory(tmp_path: Path) -> None:
    cases = [phantom(family, 0) for family in range(3)]
    report = build_archive(cases, tmp_path / "cases", **OPTIONS)
    assert report.indexed == tuple(case.id for case in cases)
    assert build_archive(cases, tmp_path / "cases").unchanged == report.indexed
    changed = [replace(cases[0], label="other"), *cases[1:]]
    assert build_archive(changed, tmp_path / "cases").indexed == report.indexed[:1]
    with Archive.open(tmp_path / "cases") as archive:
        assert list(archive) == list(report.indexed)
    rows = np.random.default_rng(0).standard_normal((60, 8))
    assert build_archive(rows, tmp_path / "rows", bits=64).n_cases == 60
    with Archive.open(tmp_path / "rows") as archive:
        assert archive.query(rows[7], k=1).ids == ["array:7"]


@pytest.mark.parametrize("source", [[], [3], np.zeros(5), np.full((2, 2), np.nan), 7], ids=str)
def test_what_no_archive_can_hold_is_refused(tmp_path: Path, source) -> None:
    with pytest.raises(InputError, match="got"):
        build_archive(source, tmp_path / "A")
    assert not (tmp_path / "A").exists()


def test_unknown_and_contradicting_options_are_refused(archives: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="no option 'colour'"):
        build_archive(np.zeros((9, 2)), archives["vectors"], colour="blue")  # type: ignore[call-arg]
    with pytest.raises(InputError, match="made with bits = 64, not 128"):
        build_archive(np.zeros((9, 8)), archives["vectors"], bits=128)
    with pytest.raises(InputError, match="holds vectors, and the source cases"):
        build_archive([phantom(0, 0)], archives["vectors"])
