"""Machines wait for nothing that only people see: no `--json` command loads what draws tables."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from isohash.apps.cli.commands import PLACES
from isohash.sources.dicom.writer import write_dicom
from small_cases import phantom

HERE = Path(__file__).resolve()
CALLED = set(PLACES) - {"serve", "listen"}  # which do not end
CALLED -= {"pull", "send"}  # which need a PACS: tests/apps/test_hospital.py
GROUPS = {"train": "kernel", "evaluate": "dice", "bench": "search"}

# Each command does its own work; what takes long (models, studies, benches) is stood in for.
CHILD = """
import json, sys
from types import SimpleNamespace
from isohash.apps import demo, proposal_files
from isohash.apps.cli.main import main
from isohash.evaluation.kit import benchmark
from isohash.evaluation.speed import search
from isohash.retrieval.building import rehashing
from isohash.retrieval.engine import Archive

def first(archive):
    with Archive.open(archive) as opened:
        return next(iter(opened))

def said(archive):
    with Archive.open(archive) as opened:
        return opened.query(next(iter(opened)), by="ct", same_patient=True).to_json()["replay"]

STANDS_FOR = {"ID": first, "REPLAY": said}

told = SimpleNamespace(to_json=dict, alarm=False, passed=True)
Archive.propose = Archive.check = Archive.compare = lambda *_, **__: told
proposal_files.write_proposal = lambda *_, **__: None
demo.run_demo = lambda *_: told
rehashing.train_kernel = benchmark.run_dice = lambda *_, **__: [{"a": 1}]
search.run_search_bench = lambda *_: []
for arguments in json.loads(sys.argv[1]):
    given = [STANDS_FOR[a](arguments[1]) if a in STANDS_FOR else a for a in arguments]
    sys.argv = ["isohash", *given]
    status = 0
    try:
        main()
    except SystemExit as stop:
        status = stop.code
    drawn = [name for name in ("rich", "isohash.apps.cli.console") if name in sys.modules]
    print(json.dumps({"command": arguments[0], "status": status or 0, "drawn": drawn}))
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """One call of every command that the program has."""
    archive, other = str(folder / "A"), str(folder / "B")
    source = str(folder / "source")
    given = {
        "index": [source, archive, "--encoder", "pca", "--bits", "64", "--no-dose-model"],
        "list": [archive], "show": [archive, "ID"], "facts": [archive], "info": [archive],
        "query": [archive, "ID", "--by", "ct", "--same-patient"],
        "replay": [archive, "REPLAY"],
        "users": ["add", archive, "anna", "--password-file", str(folder / "password")],
        "audit": ["verify", archive],
        "propose": [archive, "ID", "--out", str(folder / "P")], "check": [archive, "ID"],
        "compare": [archive, "ID", "ID"],
        "names": [source], "resolve": [source], "phi-scan": [archive, source],
        "export": [archive, "--by", "ct", "--out", str(folder / "a.csv")],
        "backup": [archive, other], "merge": [archive, other], "verify": [archive],
        "remove": [archive, "ID"], "doctor": [], "demo": [], "plan-bits": [],
        "train": [GROUPS["train"], archive], "bench": [GROUPS["bench"]],
        "evaluate": [GROUPS["evaluate"], source, source],
    }  # fmt: skip
    assert set(given) == CALLED
    return given


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What became of each call, told by one process that made them all."""
    folder = tmp_path_factory.mktemp("machines")
    for number in range(3):
        write_dicom(phantom(0, number), folder / "source" / f"c{number}")
    (folder / "password").write_text("a long enough password")
    with_ids = commands(folder)
    made = [[name, *rest, "--json"] for name, rest in with_ids.items()]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(made)], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    answers, told = lines[::2], lines[1::2]
    return {one["command"]: one | {"answer": a} for a, one in zip(answers, told, strict=True)}


@pytest.mark.parametrize("name", sorted(CALLED))
def test_nothing_is_drawn_for_machines(calls: dict[str, dict[str, object]], name: str) -> None:
    assert "error" not in calls[name]["answer"], calls[name]
    assert calls[name]["status"] == 0
    assert calls[name]["drawn"] == []


def test_only_the_console_and_the_bar_draw() -> None:
    """Whatever command is added, it gets the library that draws from these two."""
    source = HERE.parents[2] / "src" / "isohash"
    found = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [n.name for n in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "rich" for name in names):
                found.add(path.relative_to(source).as_posix())
    assert found == {"apps/cli/console.py", "apps/cli/progress.py"}


def test_every_command_that_pages_name_is_there(isohash) -> None:
    root = HERE.parents[2]
    pages = [root / "Makefile", root / "README.md", *(root / "docs").glob("*.md")]
    written = "\n".join(page.read_text() for page in pages)
    named = set(re.findall(r"isohash (train|evaluate|bench) ([a-z][a-z-]+)", written))
    assert len(named) > 10
    for group in GROUPS:
        listed = isohash(group, "--help").out.split("Commands:")[1]
        there = {line.split()[0] for line in listed.splitlines() if re.match(r"  [a-z]", line)}
        assert {name for of, name in named if of == group} <= there
