"""Saved queries, cohorts, comparisons and files to take along, as a browser asks for them."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from isohash.retrieval.building.removal import remove
from isohash.retrieval.engine import Archive
from workbench import HOST, TOKEN, client_of

QUERY = "/kept/query?case=phantom-00-01&by=joint&alpha=0.3&k=4"
NASTY = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def own(archive_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(archive_path, tmp_path / "archive"))


@pytest.fixture
def client(own: Path):
    with client_of(own) as found:
        yield found


def place(answer) -> str:
    """The page that a form leads to."""
    assert answer.history[0].status_code == 303
    return answer.url.path


def test_a_saved_query_survives_and_can_be_replayed(client, own: Path, isohash) -> None:
    page = place(client.post(QUERY, data={"name": "mine", "note": "why"}))
    kept = client.get(f"{page}.json").json()
    assert (kept["name"], kept["note"], kept["shared"]) == ("mine", "why", False)
    assert client.get(kept["address"]).status_code == 200
    done = isohash("replay", own, kept["replay"])
    asked = {"case": "phantom-00-01", "by": "joint", "alpha": 0.3, "k": 4}
    assert done.status == 0
    assert json.loads(done.out) == client.get("/api/query", params=asked).json()
    with client_of(own) as later:
        assert [one["name"] for one in later.get("/api/kept").json()["kept"]] == ["mine"]
        assert "mine" in later.get("/kept").text
        later.post(f"{page}/drop")
        assert later.get("/kept.json").json() == {"kept": []}
        assert later.get(page).status_code == 400


def test_a_cohort_is_filled_noted_and_taken_along(client, own: Path) -> None:
    cases = ["phantom-00-01", "phantom-01-02"]
    page = place(client.post("/kept/cases", data={"case": cases, "cohort": "", "name": "hard"}))
    client.post(f"{page}/note", data={"case": cases[1], "note": "=1+1 too hot"})
    client.post(page, data={"name": "harder", "note": "narrow", "shared": "yes"})
    more = {"case": ["phantom-02-00"], "cohort": page.split("/")[-1]}
    assert place(client.post("/kept/cases", data=more)) == page
    kept = client.get(f"{page}.json").json()
    assert kept["cases"] == {cases[0]: "", cases[1]: "=1+1 too hot", "phantom-02-00": ""}
    assert (kept["name"], kept["note"], kept["shared"]) == ("harder", "narrow", True)
    client.post(f"{page}/take", data={"case": cases[0]})
    rows = list(csv.DictReader(io.StringIO(client.get(f"{page}.csv").text)))
    assert [(row["id"], row["note"]) for row in rows] == [
        (cases[1], "'=1+1 too hot"), ("phantom-02-00", ""),
    ]  # fmt: skip
    assert rows[0]["label"] == "family-01"
    remove(own, ["phantom-02-00"])
    assert "no longer in the archive" in client.get(page).text


def test_names_and_notes_are_data_on_every_page(client) -> None:
    cohort = {"case": ["phantom-00-01"], "cohort": "", "name": NASTY, "note": NASTY}
    pages = [place(client.post("/kept/cases", data=cohort))]
    pages += [place(client.post(QUERY, data={"name": NASTY, "note": NASTY}))]
    for page in (*pages, "/kept", "/query?case=phantom-00-01"):
        text = client.get(page).text
        assert "alert(1)" in text
        assert "<script>alert" not in text
        assert "<img" not in text
    header = client.get(f"{pages[0]}.csv").headers["content-disposition"]
    assert header.count('"') == 2
    assert "<" not in header


def test_what_a_page_may_not_say_is_refused(client) -> None:
    for form, said in (
        ({"case": ["nobody"], "cohort": "", "name": "x"}, "the archive holds no case nobody"),
        ({"cohort": "", "name": "x"}, "tick some"),
        ({"case": ["phantom-00-01"], "cohort": "", "name": " "}, "1 to 120"),
        ({"case": ["phantom-00-01"], "cohort": "0" * 12}, "nothing is kept"),
    ):
        found = client.post("/kept/cases", data=form)
        assert found.status_code == 400
        assert said in found.text
    upload = client.post("/kept/query?case=upload-0", data={"name": "x"})
    assert "not kept" in upload.text
    assert client.get("/kept.json").json() == {"kept": []}
    assert client.post("/kept/cohort", data={"name": "x" * 70_000}).status_code == 413


def test_a_form_of_another_page_changes_nothing(client) -> None:
    del client.headers["authorization"]
    client.cookies.set("isohash", TOKEN)
    ours = {"origin": f"http://{HOST}"}
    form = {"name": "forged"}
    token = client.get("/kept").text.partition('name="csrf" content="')[2].partition('"')[0]
    for given, headers in (
        ({}, ours),
        ({"csrf": "0" * 64}, ours),
        ({"csrf": TOKEN}, ours),
        ({"csrf": token}, {}),
        ({"csrf": token}, {"origin": "https://evil.example"}),
        ({}, {**ours, "x-csrf-token": "wrong"}),
    ):
        assert client.post("/kept/cohort", data=form | given, headers=headers).status_code == 403
    assert client.get("/kept.json").json() == {"kept": []}
    page = client.post("/kept/cohort", data=form | {"csrf": token}, headers=ours)
    assert page.status_code == 200
    put = client.post("/api/uploads", headers={**ours, "x-csrf-token": token})
    assert put.status_code == 200


def test_answers_and_lists_are_taken_along(client, own: Path) -> None:
    asked = {"case": "phantom-00-01", "by": "ct", "k": 3}
    answer = client.get("/api/query", params=asked).json()
    table = client.get("/query.csv", params=asked)
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["id"] for row in rows] == [match["id"] for match in answer["matches"]]
    listed = client.get("/cases.csv", params={"where": "label == 'family-01'"}).text
    assert len(list(csv.DictReader(io.StringIO(listed)))) == 5
    report = client.get("/report", params=asked)
    assert report.headers["content-disposition"] == 'attachment; filename="like-phantom-00-01.html"'
    assert "<script" not in report.text
    assert "@media print" in report.text


def test_two_cases_are_compared(client, own: Path) -> None:
    asked = {"case": "phantom-00-01", "other": "phantom-01-02"}
    found = client.get("/api/compare", params=asked).json()
    with Archive.open(own) as archive:
        one, two = (archive.entry(name).doses() for name in asked.values())
    for row in found["doses"]:
        key = {"volume": "volume_cc", "CI": "conformity"}.get(
            row["metric"], f"{row['metric'].lower()}_gy"
        )
        a, b = (doses.get(row["structure"], {}).get(key) for doses in (one, two))
        assert (row["case"], row["other"]) == (a, b)
        assert row["difference"] == (None if a is None or b is None else b - a)
    assert {row["structure"] for row in found["doses"]} == {*one, *two}
    assert client.get("/compare", params=asked).status_code == 200
    assert "structure,metric,unit" in client.get("/compare.csv", params=asked).text
    for wrong in ({"case": "/etc/passwd", "other": "x"}, {**asked, "other": "nobody"}):
        assert client.get("/api/compare", params=wrong).status_code == 400
