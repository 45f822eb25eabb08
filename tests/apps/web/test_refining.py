"""Refinements in the workbench: each is in the address, shown, and taken back by a link."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from isohash.retrieval.engine import Archive
from workbench import client_of

CASE = "phantom-00-01"


@pytest.fixture(scope="module")
def client(dosed_path: Path):
    with client_of(dosed_path) as found:
        yield found


def link(page: str, about: str) -> str:
    """Where the link leads that is called so."""
    found = re.search(rf'href="([^"]*)" aria-label="{re.escape(about)}"', page)
    assert found is not None, about
    return html.unescape(found.group(1))


def test_a_mark_is_an_address_and_is_taken_back(client) -> None:
    page = client.get("/query", params={"case": CASE, "by": "joint", "alpha": 0.4, "k": 20}).text
    ids = re.findall(r'data-case="(phantom[^"]*)"', page)
    hit = ids[-1]
    marked = link(page, f"{hit} is wanted")
    assert f"good={hit}" in marked
    assert "alpha=0.4" in marked
    after = client.get(marked).text
    assert "1 cases marked as wanted" in after
    back = link(after, f"{hit}: take back that it is wanted")
    assert back == f"/query?case={CASE}&k=20&by=joint&alpha=0.4"
    other = link(after, f"{hit} is unwanted")
    assert "good" not in other
    assert f"bad={hit}" in other


def test_weights_of_structures_are_links_and_the_form_keeps_them(client, dosed_path: Path) -> None:
    page = client.get("/query", params={"case": CASE, "by": "plan"}).text
    name = re.search(r'aria-label="more: ([^"]+)"', page).group(1)
    heavier = link(page, f"more: {name}")
    after = client.get(heavier).text
    assert f"Weights of structures: {name} 2" in html.unescape(after)
    assert f'<input type="hidden" name="structure" value="{name}=2" form="ask">' in after
    assert "structure" not in link(after, f"less: {name}")
    found = client.get(heavier.replace("/query", "/api/query")).json()
    with Archive.open(dosed_path) as archive:
        wanted = archive.query(CASE, by="plan", structures={name: 2.0}).to_json()
    wanted, found = (json.loads(json.dumps(one)) for one in (wanted, found))
    assert found["matches"][0]["distance"] == wanted["matches"][0]["distance"]
    assert [one["id"] for one in found["matches"]] == [one["id"] for one in wanted["matches"]]


def test_a_region_is_in_the_address_and_shown(client) -> None:
    page = client.get("/query", params={"case": CASE, "by": "ct", "span": "4, 9"}).text
    assert "Only slices 4 to 9 of the query count" in page
    assert 'name="span" form="ask" value="4 9"' in page
    more = html.unescape(re.search(r'class="more" href="([^"]*)"', page).group(1))
    assert "span" not in more
    by_map = client.get("/api/query", params={"case": CASE, "by": "map", "box": "-30 -90 40 90"})
    assert "Only x -30 to 40" in by_map.json()["refined"][0]
    assert all(match["interval"] is None for match in by_map.json()["matches"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"span": "4"}, "--span must be two"),
        ({"span": "a b"}, "span must be a number"),
        ({"box": "1 2 3", "by": "map"}, "--box must be four"),
        ({"structure": "Brainstem"}, "NAME=WEIGHT"),
        ({"good": "nobody", "by": "joint"}, "nobody is marked"),
    ],
)
def test_wrong_refinements_are_refused_in_one_sentence(client, options, told) -> None:
    found = client.get("/api/query", params={"case": CASE, **options})
    assert found.status_code == 400
    assert told in found.json()["error"]
