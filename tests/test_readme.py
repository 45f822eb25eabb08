"""README tells what the numbers in docs/numbers say, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_tables_are_those_of_the_measured_numbers() -> None:
    path = ROOT / "benchmarks" / "readme_tables.py"
    spec = importlib.util.spec_from_file_location("readme_tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, tables in module.TEXTS.items():
        text = (ROOT / name).read_text()
        assert module.filled(text, tables) == text, "run make readme"


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_public_name_can_be_loaded() -> None:
    import isohash

    missing = []
    for name in isohash.__all__:
        try:
            getattr(isohash, name)
        except (ImportError, AttributeError):
            missing.append(name)
    assert missing == []
