"""What an evaluation writes comes back, each row once, and its work lies elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from isohash.evaluation.kit.parts import work_folder
from isohash.evaluation.kit.results import (
    read_csv,
    read_results,
    write_csv,
    write_curves,
    write_results,
)

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from(["make_hasher, codes", 'a "b"', "two\nlines", "gamma = 1", "-", "é"]),
)


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"a": VALUES, "b": VALUES}), min_size=1))
def test_rows_come_back_with_their_numbers_to_the_last_bit(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "x.csv"
    write_csv(path, rows)
    back = [{name: repr(row[name]) for name in "ab"} for row in read_csv(path)]
    assert back == [{name: repr(row[name]) for name in "ab"} for row in rows]


def test_rows_are_stored_once(tmp_path):
    rows = [{"n": 1, "score": 0.1 + 0.2}, {"n": 2, "other": None}]
    write_results(tmp_path, "x", rows, {"metric": "m", "settings": {"seed": 0}})
    told = json.loads((tmp_path / "x.json").read_text())
    assert set(told) == {"metric", "settings", "machine"}
    assert read_results(tmp_path, "x") == {
        **told,
        "rows": [
            {"n": 1, "score": 0.1 + 0.2, "other": None},
            {"n": 2, "score": None, "other": None},
        ],
    }


def test_points_stand_in_the_table_and_what_they_share_in_the_head(tmp_path):
    panels = [{"view": "ct", "r": 0.5, "x": [1, 2], "y": [3, 4]}, {"view": "dose", "r": 0.25}]
    write_curves(tmp_path, "x", panels, ["view"], {"metric": "m"})
    told = json.loads((tmp_path / "x.json").read_text())
    assert told["panels"] == [{"view": "ct", "r": 0.5}, {"view": "dose", "r": 0.25}]
    points = [{"view": "ct", "x": 1, "y": 3}, {"view": "ct", "x": 2, "y": 4}]
    assert read_csv(tmp_path / "x.csv") == points


def test_work_lies_beside_the_results_and_not_among_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert work_folder("out/dice") == tmp_path / "out" / "dice.work"
    assert work_folder("out/x.y/") == tmp_path / "out" / "x.y.work"
    assert work_folder(".") == tmp_path.with_name(f"{tmp_path.name}.work")
    assert work_folder("out", "elsewhere") == Path("elsewhere")
