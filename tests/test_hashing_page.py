"""docs/hashing.md tells what the files in docs/numbers say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "hashing.md").read_text()


def test_the_tables_are_those_of_the_measured_numbers() -> None:
    path = ROOT / "benchmarks" / "hashing_tables.py"
    spec = importlib.util.spec_from_file_location("hashing_tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.filled(PAGE) == PAGE, "run python benchmarks/hashing_tables.py"
