"""What leaves the house: the source distribution, the tutorials, the site, the container file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
FROM_IT = (
    "tests/dosimetry/test_comparison.py",
    "tests/dosimetry/test_resample.py",
    "tests/test_distances.py",
)

RUN = """
import json, sys
cells = json.load(open(sys.argv[1], encoding="utf-8"))["cells"]
names = {"__name__": "__main__"}
for cell in cells:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]), names)
"""


def run(*command: object, cwd: Path, **settings: str) -> str:
    """What a command prints; its end where it fails."""
    told = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, (told.stdout + told.stderr)[-3000:]
    return told.stdout


def test_tutorials_are_kept_without_what_they_printed() -> None:
    assert len(TUTORIALS) == 3
    for path in TUTORIALS:
        code = [one for one in json.loads(path.read_text())["cells"] if one["cell_type"] == "code"]
        assert code
        assert all(one["outputs"] == [] and one["execution_count"] is None for one in code)


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_from_its_first_to_its_last_cell(path: Path, tmp_path: Path) -> None:
    where = {"TMPDIR": str(tmp_path), "ISOHASH_KEY_FILE": str(tmp_path / "key")}
    told = run(sys.executable, "-W", "error", "-c", RUN, path, cwd=tmp_path, **where)
    assert told.count("\n") >= 2


@pytest.mark.slow
def test_the_tests_run_from_the_source_distribution(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    checkout, dist = tmp_path / "checkout", tmp_path / "dist"
    checkout.mkdir()
    run("git", "checkout-index", "--all", f"--prefix={checkout}/", cwd=ROOT)
    build = f"from setuptools import build_meta as b; b.build_sdist({str(dist)!r})"
    run(sys.executable, "-c", build, cwd=checkout)
    (packed,) = dist.glob("isohash-*.tar.gz")
    with tarfile.open(packed) as file:
        file.extractall(tmp_path / "from", filter="data")
    (unpacked,) = (tmp_path / "from").iterdir()
    for name in ("Makefile", "constraints.txt", "docs/planning.md", "Containerfile"):
        assert (unpacked / name).exists(), name
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FROM_IT)
    told = run(*command, cwd=unpacked, PYTHONPATH=str(unpacked / "src"))
    assert " passed" in told
    assert "failed" not in told


@pytest.mark.slow
def test_the_site_holds_every_page_command_and_name(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    import isohash
    from isohash.apps.cli.commands import PLACES

    run(sys.executable, ROOT / "docs" / "site" / "build.py", tmp_path / "site", cwd=ROOT)
    names, commands = ((tmp_path / "site" / f"{n}.html").read_text() for n in ("names", "commands"))
    for name in isohash.__all__:
        assert name == "__version__" or f'id="isohash.{name}"' in names, name
    assert [name for name in PLACES if f"isohash {name}" not in commands] == []
    pages = [path.stem for path in (ROOT / "docs").glob("*.md")]
    assert [one for one in pages if not (tmp_path / "site/docs" / f"{one}.html").exists()] == []


def test_the_container_has_no_root_and_takes_what_is_locked() -> None:
    lines = [line for line in (ROOT / "Containerfile").read_text().splitlines() if line]
    (user,) = (line for line in lines if line.startswith("USER "))
    assert int(user.split()[1]) > 0
    text = "\n".join(lines)
    assert "--require-hashes --requirement /tmp/isohash/requirements.lock" in text
    assert "--no-deps --no-index" in text  # of isohash itself: nothing beside the lock
