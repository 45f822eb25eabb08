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


def test_every_figure_of_the_documentation_is_listed_with_its_command() -> None:
    """Each line of the last table names one kind of figure; `*` and "the others" take the rest."""
    table = PAGE.partition("## All figures")[2]
    lines = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| ")][1:]
    patterns = []
    for named, command, state in lines:
        assert re.search("isohash evaluate|README", command), named
        assert state.strip() == "as measured" or state.strip().startswith("older: "), named
        found = re.findall(r"[\w./*-]+\.png", named)
        folder = found[0].rpartition("/")[0]
        patterns += [one if "/" in one else f"{folder}/{one}" for one in found]
    pictures = [str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.png")]
    shown = [p for p in pictures if not p.startswith("numbers/")]
    assert [p for p in shown if not any(fnmatch(p, one) for one in patterns)] == []
    assert [one for one in patterns if not any(fnmatch(p, one) for p in shown)] == []


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
