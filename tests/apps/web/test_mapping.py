"""The page of the map: every point a link, JSON beside it, colours and a query in the address."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import isohash
from workbench import client_of


def test_the_map_shows_every_case_as_a_link_and_has_its_json(dosed_path: Path) -> None:
    with client_of(dosed_path) as client:
        page = client.get("/map?colour=label&case=phantom-00-01")
        assert page.status_code == 200
        assert page.text.count("<circle cx") > 10
        assert 'aria-label="phantom-01-02: family-01"' in page.text
        assert "The cross is where phantom-00-01 falls." in page.text
        assert "style=" not in page.text
        found = client.get("/map.json?colour=label&case=phantom-00-01").json()
        assert found == client.get("/api/map?colour=label&case=phantom-00-01").json()
        assert found["query"]["case"] == "phantom-00-01"
        own = next(one for one in found["points"] if one["id"] == "phantom-00-01")
        assert (own["x"], own["y"]) == (found["query"]["x"], found["query"]["y"])
        assert own["value"] == "family-00"
        for wrong in ("colour=shoes", "case=nobody"):
            assert client.get(f"/map.json?{wrong}").status_code == 400
            assert client.get(f"/map?{wrong}").status_code == 400


def test_vectors_have_a_map_too(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((40, 8))
    isohash.build_archive(rows, tmp_path / "archive", bits=64)
    with client_of(tmp_path / "archive") as client:
        page = client.get("/map?case=array:3")
        assert page.status_code == 200
        assert "array:39" in page.text
        assert len(client.get("/map.json").json()["points"]) == 40
