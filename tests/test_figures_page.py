"""docs/figures.md tells what the files in docs/figures say, shows them all, and they are small."""

from __future__ import annotations

import importlib.util
import json
import re
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "figures.md").read_text()
FIGURES = ROOT / "docs" / "figures"
LARGEST_PICTURE = 150_000  # bytes


def test_the_tables_are_those_of_the_measured_numbers() -> None:
    path = ROOT / "benchmarks" / "figure_tables.py"
    spec = importlib.util.spec_from_file_location("figure_tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.filled(PAGE) == PAGE, "run python benchmarks/figure_tables.py"


def is_ignored(path: Path) -> bool:
    """Whether the repository leaves out a table that its command writes again."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    return any(fnmatch(str(path.relative_to(ROOT)), line) for line in lines)


def test_every_figure_is_on_the_page_with_its_table_and_its_origin() -> None:
    pictures = [p for start in ("mnist", "slices", "codes") for p in FIGURES.glob(f"{start}*.png")]
    assert len(pictures) >= 11
    for picture in pictures:
        assert f"figures/{picture.name}" in PAGE, f"docs/figures.md does not show {picture.name}"
        assert picture.stat().st_size <= LARGEST_PICTURE
        assert picture.with_suffix(".csv").is_file() or is_ignored(picture.with_suffix(".csv"))
        told = json.loads(picture.with_suffix(".json").read_text())
        assert told["metric"]
        assert told["machine"]["processor"]
        assert re.search(r'"digest": "[0-9a-f]{64}"', picture.with_suffix(".json").read_text())


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
