"""The house rules that can be counted: short modules, short functions, small tables."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "src" / "isohash").rglob("*.py"))
NATIVE = sorted(p for p in (ROOT / "native").rglob("*") if p.suffix in (".cpp", ".hpp", ".h"))

MODULE_LINES = 350
FUNCTION_LINES = 50  # docstrings are not counted
TABLE_LINES = 1000

# Longer, with the reason; the list may only shrink.
LONG_FUNCTIONS = {
    "apps/cli/hospital.py pull": "one option a line",
    "apps/cli/index.py index": "one option a line",
    "apps/cli/query.py query": "one option a line",
    "kernels/learning/learner.py __init__": "an estimator names each parameter twice",
}

Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def lines_of(node: ast.AST) -> int:
    """The lines of a definition without its docstrings and those of what is defined in it."""
    definitions = [inner for inner in ast.walk(node) if isinstance(inner, Definition)]
    documented = [inner.body[0] for inner in definitions if ast.get_docstring(inner) is not None]
    spared = sum((one.end_lineno or 0) - one.lineno + 1 for one in documented)
    last = max(getattr(inner, "end_lineno", 0) or 0 for inner in ast.walk(node))
    return last - getattr(node, "lineno", 1) + 1 - spared


def functions_of(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def short(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "isohash").as_posix()


def test_no_module_and_no_function_is_long() -> None:
    trees = {short(path): ast.parse(path.read_text()) for path in MODULES}
    modules = {short(path) for path in MODULES if len(path.read_text().splitlines()) > MODULE_LINES}
    functions = {
        f"{name} {function.name}"
        for name, tree in trees.items()
        for function in functions_of(tree)
        if lines_of(function) > FUNCTION_LINES
    }
    assert len(trees) > 200
    assert not modules
    assert functions == set(LONG_FUNCTIONS)


def test_no_module_of_tests_is_long() -> None:
    modules = [path for one in ("tests", "benchmarks") for path in (ROOT / one).rglob("*.py")]
    assert len(modules) > 200
    assert [p.name for p in modules if len(p.read_text().splitlines()) > MODULE_LINES] == []


@pytest.mark.parametrize("path", NATIVE, ids=lambda path: path.name)
def test_no_file_and_no_function_of_the_kernels_is_long(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= MODULE_LINES
    assert max((end - start + 1 for start, end in blocks_of(lines)), default=0) <= FUNCTION_LINES


def blocks_of(lines: list[str]) -> Iterator[tuple[int, int]]:
    """First and last line of every function at the left edge (clang-format puts its braces so)."""
    start: int | None = None
    for number, line in enumerate(lines):
        if line.startswith("}"):
            if start is not None and lines[start].split()[0] not in ("class", "struct", "enum"):
                yield start, number
            start = None
        elif start is None and re.match(r"(?!namespace|extern|template|[#/*])\S", line):
            start = number
        if start is not None and line.endswith(";") and "{" not in "".join(lines[start:number]):
            start = None  # a declaration


def test_the_blocks_of_a_file_are_its_functions() -> None:
    lines = ["int a();", "int b(int,", "      int) {", "    return 1;", "}", "struct C {", "};"]
    assert list(blocks_of([*lines, "namespace {", "", "int d() {", "}"])) == [(1, 4), (9, 10)]


def test_the_count_leaves_out_docstrings() -> None:
    text = 'def f():\n    """One.\n\n    Two.\n    """\n    return 1\n'
    assert lines_of(ast.parse(text).body[0]) == 2
    assert lines_of(ast.parse('"""A."""\n' + text)) == 2


def test_no_table_in_the_repository_is_long() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    command = ["git", "ls-files", "docs"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tables = [ROOT / name for name in told.splitlines() if name.endswith((".csv", ".json"))]
    assert len(tables) > 20
    long = [p.name for p in tables if p.exists() and len(p.read_text().splitlines()) > TABLE_LINES]
    assert long == []


def test_every_file_that_a_page_names_is_there() -> None:
    card = ROOT / "src" / "isohash" / "features" / "encoders" / "weights" / "README.md"
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), card]
    places = (ROOT, ROOT / "src" / "isohash", ROOT / "native")
    named = {
        (page.name, name)
        for page in pages
        if page.name != "CHANGELOG.md"
        for name in re.findall(r"`([\w/.-]+\.(?:py|cpp|hpp|h))\b", page.read_text())
    }
    assert len(named) > 15
    assert [one for one in named if not any((place / one[1]).exists() for place in places)] == []
