"""The public names: each is there, documented, loaded on first use, and known to type checkers."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import isohash

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "isohash"
PROGRAM = ROOT / "tests" / "typing" / "everything.py"
NAMES = sorted(isohash._HOMES)


def test_checkers_and_programs_find_the_same_names() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    (block,) = (
        n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"
    )
    imported = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == alias.asname  # "X as X": re-exported
    }
    assert imported == isohash._HOMES
    assert dir(isohash) == isohash.__all__ == sorted([*NAMES, "__version__"])


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_documented_where_it_lives_and_on_its_page(name: str) -> None:
    value = getattr(isohash, name)
    assert value.__module__ == isohash._HOMES[name]
    assert (inspect.getdoc(value) or "").strip()
    page = (ROOT / "docs" / "python.md").read_text()
    assert re.search(rf"`{name}\b", page), f"docs/python.md does not list {name}"


def test_a_misspelt_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Archives'"):
        isohash.Archives  # type: ignore[attr-defined]  # noqa: B018


def test_the_typed_program_uses_every_name() -> None:
    names = {
        n.attr for n in ast.walk(ast.parse(PROGRAM.read_text())) if isinstance(n, ast.Attribute)
    }
    names |= {n.id for n in ast.walk(ast.parse(PROGRAM.read_text())) if isinstance(n, ast.Name)}
    assert set(isohash.__all__) <= names


WRONG = """
import isohash
isohash.Archives
isohash.Archive.open(3)
len(isohash.read_case("x"))
"""


def checked(tmp_path: Path, *command: str) -> tuple[str, list[int]]:
    """What a checker says of the program, and the lines of a wrong program that it finds."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    told = subprocess.run([*command, PROGRAM, wrong], capture_output=True, text=True, check=False)
    lines = [int(n) for n in re.findall(rf"{wrong.name}:(\d+)", told.stdout)]
    return told.stdout, sorted(set(lines))


@pytest.mark.slow
def test_mypy_knows_every_public_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mypy")
    monkeypatch.setenv("MYPYPATH", str(SOURCE.parent))
    cache = f"--cache-dir={tmp_path / 'cache'}"
    strict = ("--strict", "--follow-imports=silent", "--config-file=", cache)
    told, lines = checked(tmp_path, sys.executable, "-m", "mypy", *strict)
    assert PROGRAM.name not in told, told
    assert lines == [3, 4, 5], told


@pytest.mark.slow
def test_pyright_knows_every_public_name(tmp_path: Path) -> None:
    pytest.importorskip("basedpyright")
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(SOURCE.parent)]}
    project = tmp_path / "pyrightconfig.json"
    project.write_text(json.dumps({**settings, "include": [str(PROGRAM), "wrong.py"]}))
    (tmp_path / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", "basedpyright", "--project", project]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert PROGRAM.name not in told, told
    lines = {int(n) for n in re.findall(r"wrong\.py:(\d+):\d+ - error", told)}
    assert lines == {3, 4, 5}, told
