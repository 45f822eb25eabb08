"""docs/svm.md quotes what `isohash evaluate svm` wrote to docs/figures/svm."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_tables_of_the_page_are_those_of_the_files() -> None:
    path = ROOT / "benchmarks" / "svm_tables.py"
    spec = importlib.util.spec_from_file_location("svm_tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.PAGE.read_text()
    assert module.filled(page) == page, "run python benchmarks/svm_tables.py"
