"""What SECURITY.md says is held by the tests that it names; some of them look at all code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = re.findall(r"`tests/([\w/]+\.py)::(\w+)`", PAGE)
PROMISES = PAGE.split("## What isohash promises")[1].split("\n## ")[0]
# Commands that are asked to speak to a network live in modules of these names, and nowhere else.
ASKED_TO = ("web", "pacs", "network", "remote", "serve")
SPEAKS = {
    "socket", "ssl", "urllib.request", "http", "ftplib", "smtplib", "xmlrpc", "asyncio", "requests",
    "httpx", "aiohttp", "urllib3", "pynetdicom", "fastapi", "uvicorn",
}  # fmt: skip
RUNS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "code", "runpy"}
CALLS = {"eval", "exec", "compile", "__import__"}
PROGRAMS = sorted((ROOT / "src" / "isohash").rglob("*.py"))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_every_test_that_the_page_names_is_there(file, name):
    tree = ast.parse((ROOT / "tests" / file).read_text())
    assert name in {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}


def test_every_promise_names_its_test():
    promises = re.findall(r"^- .*(?:\n  .*)*", PROMISES, re.MULTILINE)
    assert len(promises) > 15
    assert [one for one in promises if "::test_" not in one] == []


def imported(path):
    """The modules that a program imports, with all names of their parents."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def test_no_module_speaks_to_a_network():
    quiet = [path for path in PROGRAMS if not set(path.with_suffix("").parts) & set(ASKED_TO)]
    assert len(quiet) > 250
    assert [(p.name, name) for p in quiet for name in imported(p) if name in SPEAKS] == []


def test_nothing_is_unpickled_or_run():
    found = [(path.name, name) for path in PROGRAMS for name in imported(path) if name in RUNS]
    for path in PROGRAMS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", "")
                picks = [k for k in node.keywords if k.arg in ("allow_pickle", "weights_only")]
                wrong = [k for k in picks if ast.unparse(k) not in SAFE]
                found += [(path.name, called)] if called in CALLS or wrong else []
                loads = isinstance(node.func, ast.Attribute) and ast.unparse(node.func) in LOADS
                found += [(path.name, ast.unparse(node.func))] if loads and not picks else []
    assert found == []


SAFE = ("allow_pickle=False", "weights_only=True")
LOADS = ("np.load", "numpy.load", "torch.load")


def test_the_look_at_the_code_sees_what_it_looks_for(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("import socket\nfrom urllib import request\nimport pickle as p\n")
    assert {"socket", "urllib.request", "pickle"} <= set(imported(bad))
