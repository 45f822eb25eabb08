"""The benchmark measures every kind of cell, and goes on where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isohash.evaluation.kit.results import read_results
from isohash.evaluation.speed import search as bench
from isohash.evaluation.speed.search_peers import Cell
from isohash.index.dispatch import engine_info

pytest.importorskip("faiss")

LEVEL = engine_info().level

CELLS = [
    Cell("flat", 128, 300, 2, 1),
    Cell("lee", 24, 300, 2, 1, 10),
    Cell("wide", 24, 300, 2, 1),
    Cell("tables", 64, 300, 1, 1),
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "cells", lambda quick, cores: CELLS)
    monkeypatch.setattr(bench, "SLICE_SECONDS", 1e-6)
    monkeypatch.setattr(bench, "memory_bandwidth", lambda: 1.0)


@pytest.mark.usefixtures("small")
def test_every_kind_of_cell_is_measured_and_written(tmp_path: Path) -> None:
    rows = bench.run_search_bench(tmp_path, quick=True)
    assert {row.kind for row in rows} == {cell.kind for cell in CELLS}
    assert all(row.recall == 1.0 for row in rows if row.method.startswith("isohash"))
    written = read_results(tmp_path, f"search-{LEVEL}-quick")
    assert len(written["rows"]) == len(rows)
    assert (tmp_path / f"search-{LEVEL}-quick.csv").exists()
    assert not list(tmp_path.glob("*.jsonl"))


@pytest.mark.usefixtures("small")
def test_a_stopped_run_goes_on_with_the_next_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Cell] = []
    plain = bench.measure

    def stopping(cell: Cell, *rest: object) -> list[bench.Measurement]:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(cell)
        return plain(cell, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(bench, "measure", stopping)
    with pytest.raises(KeyboardInterrupt):
        bench.run_search_bench(tmp_path, quick=True)
    monkeypatch.setattr(bench, "measure", plain)
    left = json.loads((tmp_path / f"search-{LEVEL}-quick.json").read_text())["conditions"]
    assert (left["cells"], left["of_cells"]) == (2, len(CELLS))
    (journal,) = tmp_path.glob("*.jsonl")
    journal.write_text(journal.read_text() + '{"cell": {"kind": "fl')  # killed while writing
    rows = bench.run_search_bench(tmp_path, quick=True)
    assert [row.kind for row in rows if row.method.startswith("faiss")] == [
        cell.kind for cell in CELLS
    ]
    assert measured == CELLS[:2]
