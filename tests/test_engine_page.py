"""docs/engine.md tells what was measured."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from isohash.evaluation.kit.results import read_results

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "engine.md").read_text()


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("case_scan", "| adaptive | 20,000 |"),
        ("opening", "| 100,000 |"),
        ("cold_start", "| loading NumPy |"),
    ],
)
def test_each_table_is_that_of_the_measured_numbers(name: str, row: str) -> None:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    about = read_results(ROOT / "docs" / "numbers", {"cold_start": "cold-start"}.get(name, name))
    assert row in PAGE
    assert module.filled(PAGE, about) == PAGE, f"run python benchmarks/{name}.py"
