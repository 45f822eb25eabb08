"""`isohash pull` and a query by the address of a study, as typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from isohash.sources import extras
from isohash.sources.pacs import fetching
from pacs_nodes import Fake, serving, write_studies


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    with serving(Fake()) as node:
        for folder in write_studies(tmp_path / "studies", 3):
            node.add(folder)
        yield node


def test_pull_query_resolve(fake: Fake, tmp_path: Path, isohash) -> None:
    archive, links = tmp_path / "a", tmp_path / "links"
    told = isohash("pull", fake.address, archive, "--no-dose-model", "--keep-links", links)
    assert told.status == 0, told.err
    assert "3 studies, 0 seen before, 0 not asked for, 3 brought, 0 failed" in told.out
    study = next(iter(fake.objects))
    assert study not in told.out
    answer = isohash("query", archive, f"{fake.address}#{study}", "-k", "1", "--json")
    assert answer.status == 0, answer.out
    stored = json.loads(isohash("resolve", links, "--json").out)
    query = json.loads(answer.out)["query"]
    assert query in {row["id"] for row in stored if row["study"] == study}
    row = next(row for row in stored if row["study"] == study)
    shown = isohash("resolve", links, row["id"], "--viewer", "https://v/?s={study}", "--json")
    assert json.loads(shown.out)[0]["viewer"] == f"https://v/?s={study}"
    assert "over {nothing}" in isohash("resolve", links, "--viewer", "over {nothing}").err
    assert isohash("resolve", tmp_path / "studies", "--viewer", "{study}").status == 2


def test_what_cannot_be_had_is_told_and_ends_with_one(fake: Fake, tmp_path: Path, isohash) -> None:
    archive = tmp_path / "a"
    study = list(fake.objects)[1]
    fake.react = lambda handler, body: (
        f"{study}/series/" in handler.path and (handler.send_error(403) or True)
    )
    told = isohash("pull", fake.address, archive, "--no-dose-model")
    assert told.status == 1
    assert "does not allow this user to do so" in told.out
    assert "2 cases indexed" in told.out


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("dicomweb:ftp://pacs/x", "not a URL"),
        ("dicomweb:http://user:secret@pacs/x", "ISOHASH_PACS_USER"),
        ("dicomweb:http://pacs/x#no-uid", "UID of a study"),
        ("dimse:ORTHANC@127.0.0.1", "no title, host and port"),
        ("dimse:ORTHANC@127.0.0.1:99999", "no title, host and port"),
        ("folder", "no address of a PACS"),
    ],
)
def test_a_wrong_address_is_told(source: str, why: str, tmp_path: Path, isohash) -> None:
    told = isohash("pull", source, tmp_path / "a")
    assert told.status == 1
    assert why in told.err
    assert "secret" not in told.err
    assert not (tmp_path / "a").exists()


def test_credentials_are_for_their_owner_alone(fake: Fake, tmp_path: Path, isohash) -> None:
    file = tmp_path / "credentials.json"
    for text, mode, why in (
        ('{"user": "a", "password": "b"}', 0o644, "chmod 600"),
        ('{"name": "a"}', 0o600, "other fields than user, password"),
        ("user: a", 0o600, "is not JSON"),
        ('{"user": "a", "token": "b"}', 0o600, "both a user and a token"),
    ):
        file.write_text(text)
        file.chmod(mode)
        told = isohash("pull", fake.address, tmp_path / "a", "--credentials", file)
        assert told.status == 1
        assert why in told.err
    assert not fake.asked


def test_the_extra_is_asked_for_before_the_work(
    tmp_path: Path, isohash, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    told = isohash("pull", "dicomweb:http://127.0.0.1:9/x", tmp_path / "a")
    assert told.status == 1
    assert "pip install 'isohash[dicomweb]'" in told.err


def test_an_address_without_a_study_is_no_case(fake: Fake, tmp_path: Path, isohash) -> None:
    isohash("pull", fake.address, tmp_path / "a", "--no-dose-model")
    told = isohash("query", tmp_path / "a", fake.address)
    assert told.status == 1
    assert "names no study; add #UID" in told.err


def test_listen_wants_an_archive_and_titles(tmp_path: Path, isohash) -> None:
    told = isohash("listen", tmp_path / "a", "--from", "PLANNING")
    assert told.status == 1
    assert "there is no archive at" in told.err
    assert isohash("listen", tmp_path / "a").status == 2
