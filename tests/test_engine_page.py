"""docs/engine.md tells what the measured scan of cases says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from isohash.evaluation.kit.results import read_results

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "engine.md").read_text()


def test_the_table_of_cases_is_that_of_the_measured_numbers() -> None:
    path = ROOT / "benchmarks" / "case_scan.py"
    spec = importlib.util.spec_from_file_location("case_scan", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    about = read_results(ROOT / "docs" / "numbers", "case_scan")
    assert "| adaptive | 20,000 |" in PAGE
    assert module.filled(PAGE, about) == PAGE, "run python benchmarks/case_scan.py --again"
