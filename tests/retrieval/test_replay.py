"""An answer's id gives the same bytes again, or says what has changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from isohash.errors import InputError
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.building.removal import remove
from isohash.retrieval.engine import Archive
from isohash.retrieval.origin import Asked, Moment, mark, read_id
from isohash.retrieval.replay import replay
from isohash.retrieval.request import Request
from small_cases import OPTIONS, as_findings, phantom

ASKED = [
    {},
    {"k": 3, "by": "joint", "alpha": 0.3, "where": "label == 'family-00'"},
    {"by": "ct", "level": "slice", "slice": 7, "rerank": 0},
    {"weights": {"ct": 0.2, "dose": 0.8}, "covered": 0.5, "same_patient": True},
    {"by": "plan", "absent": "ignored"},
]


@pytest.fixture
def own(archive_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(archive_path, tmp_path / "archive"))


def answer_of(path: Path, case: str = "phantom-00-01", **options) -> dict:
    with Archive.open(path) as archive:
        return archive.query(case, **options).to_json()


@pytest.mark.parametrize("options", ASKED[:4], ids=str)  # this archive knows no plans
def test_the_same_archive_gives_the_same_bytes(archive_path: Path, options) -> None:
    before = answer_of(archive_path, **options)
    with Archive.open(archive_path) as archive:
        again = replay(archive, before["replay"])
    assert again.same
    assert again.changed == ()
    assert json.dumps(again.answer) == json.dumps(before)


def test_an_id_says_what_was_asked() -> None:
    moment = Moment(7, 3, "ab", "cd", "0.1.0")
    for options in ASKED:
        asked = Asked("x", Request(**options), moment)
        assert read_id(asked.id_of({"a": 1})) == (asked, mark({"a": 1}))
    assert asked.id_of({"a": 1}) != asked.id_of({"a": 2})


@pytest.mark.parametrize(
    "text", ["", "r1-", "r1-!!!", "r1-AAAA", "r1-AAAA00000000", "nonsense", "r2-eJw", "r1-ä"]
)
def test_what_is_no_id_is_refused(archive, text: str) -> None:
    with pytest.raises(InputError, match="not the id of an answer"):
        replay(archive, text)


def test_a_cut_or_changed_id_is_refused(archive_path: Path) -> None:
    text = answer_of(archive_path)["replay"]
    other = {"A": "B"}
    for at in range(4, len(text)):
        for wrong in (text[:at], text[:at] + other.get(text[at], "A") + text[at + 1 :]):
            with pytest.raises(InputError):
                read_id(wrong)


def test_a_grown_archive_names_what_was_added(own: Path) -> None:
    before = answer_of(own, k=3, by="ct")
    index_found(as_findings({"phantom-02-40": lambda: phantom(2, 40)}), own, OPTIONS)
    with Archive.open(own) as archive:
        again = replay(archive, before["replay"])
    assert any(told == "the archive has grown by 1: phantom-02-40" for told in again.changed)


def test_a_removed_case_is_told_also_where_it_was_asked_with(own: Path) -> None:
    before, lost = answer_of(own, by="ct"), answer_of(own, "phantom-02-01", by="ct")
    remove(own, ["phantom-02-01"])
    with Archive.open(own) as archive:
        told = replay(archive, before["replay"]).changed
        assert "1 of its 15 cases were removed" in told
        with pytest.raises(InputError, match="no longer holds the case phantom-02-01"):
            replay(archive, lost["replay"])


def test_another_version_is_told(archive_path: Path, monkeypatch) -> None:
    before = answer_of(archive_path)
    monkeypatch.setattr("isohash.__version__", "99.0")
    with Archive.open(archive_path) as archive:
        again = replay(archive, before["replay"])
    assert again.same
    assert [told for told in again.changed if told.endswith("this is 99.0")]


def test_a_new_case_is_asked_again_with_what_it_was(archive_path: Path, other_patient) -> None:
    with Archive.open(archive_path) as archive:
        before = archive.query(other_patient, k=2).to_json()
        with pytest.raises(InputError, match="give it with --case"):
            replay(archive, before["replay"])
        assert replay(archive, before["replay"], other_patient).same


def test_the_command_prints_the_same_bytes(isohash, archive_path: Path, own: Path) -> None:
    asked = isohash("query", archive_path, "phantom-00-01", "--by", "ct", "-k", "3", "--json")
    again = isohash("replay", archive_path, json.loads(asked.out)["replay"])
    assert (again.status, again.out) == (0, asked.out)
    remove(own, ["phantom-00-02"])
    changed = isohash("replay", own, json.loads(asked.out)["replay"], "--json")
    assert changed.status == 1
    assert "1 of its 15 cases were removed" in json.loads(changed.out)["changed"]
