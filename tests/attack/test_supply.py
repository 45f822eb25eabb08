"""What is installed is what was chosen: pinned, hashed, above the known holes, of free licences."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from attack import licences

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# The first versions without the holes known by the autumn of 2026.
SOUND = {
    "pydicom": "3.0.2",  # CVE-2026-32711
    "pillow": "12.3",  # several of 2026, JPEG 2000 among them
    "python-gdcm": "3.2.6",  # CVE-2026-3650
    "onnx": "1.21",  # CVE-2026-27489, 28500, 34445
    "torch": "2.8",  # CVE-2025-32434 and others
    "jinja2": "3.1.6",  # CVE-2025-27516
}


def requirements():
    project = PROJECT["project"]
    optional = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for several in optional for line in several)]
    return {need.name.lower(): need for need in map(Requirement, lines)}


def pinned(path):
    """name -> (version, hashes) of a lock or a file of constraints."""
    text = path.read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==(\S+)", line):
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            found[name] = (match[2], re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line))
    return found


def test_lower_bounds_exclude_versions_with_known_holes():
    for name, sound in SOUND.items():
        lowest = [s.version for s in requirements()[name].specifier if s.operator == ">="]
        assert Version(lowest[0]) >= Version(sound), name


def test_the_lock_pins_and_hashes_all_that_is_needed_to_build_and_to_run():
    """`make lock` writes it anew."""
    lock = pinned(ROOT / "requirements.lock")
    assert len(lock) > 20
    assert all(hashes for _, hashes in lock.values())
    build = PROJECT["build-system"]["requires"]
    for need in map(Requirement, [*PROJECT["project"]["dependencies"], *build]):
        version, _ = lock[need.name.lower()]
        assert need.specifier.contains(version), need
    assert all("==" in line for line in build)
    wanted = licences.installed("isohash", ()).keys() - {"isohash"}
    assert wanted <= lock.keys()


def test_lock_and_constraints_agree():
    lock, constraints = pinned(ROOT / "requirements.lock"), pinned(ROOT / "constraints.txt")
    both = lock.keys() & constraints.keys()
    assert len(both) > 20
    assert {n for n in both if lock[n][0] != constraints[n][0]} == set()


def test_nothing_that_is_installed_binds_isohash_by_its_licence(capsys):
    assert licences.main() == 0, capsys.readouterr().out
    assert len(licences.installed("isohash", licences.OPTIONAL)) > 20


@pytest.mark.parametrize(
    "text",
    ["", "GPL-3.0-only", "MIT AND GPL-2.0-or-later", "GNU General Public License v3 (GPLv3)",
     "LGPL-3.0-only", "AGPL-3.0", "Proprietary", "MIT AND (GPL-2.0 WITH X)"],
)  # fmt: skip
def test_a_licence_that_binds_or_is_not_told_does_not_pass(text):
    assert not licences.is_allowed(text)


@pytest.mark.parametrize(
    "text",
    ["MIT", "Apache-2.0 OR GPL-3.0-only", "BSD-3-Clause AND GPL-3.0-or-later WITH "
     "GCC-exception-3.1", "Apache Software License", "ISC License (ISCL)"],
)  # fmt: skip
def test_a_licence_that_does_not_bind_passes(text):
    assert licences.is_allowed(text)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_wheels_built_twice_are_equal(tmp_path):
    """As by `make wheel`: in other folders, with other times of files and another umask."""
    folders = {tmp_path / "a": 0o022, tmp_path / "other" / "b": 0o077}
    for folder in folders:
        copied(folder)
    made = [build(folder, umask) for folder, umask in folders.items()]
    assert made[0].name == made[1].name
    first, second = (hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in made)
    assert first == second


def copied(folder):
    shutil.copytree(
        ROOT,
        folder,
        ignore=shutil.ignore_patterns(
            ".git", ".venv*", "build", "*.so", "out", "*.egg-info", "docs"
        ),
    )


def build(folder, umask):
    for file in folder.rglob("*"):
        os.utime(file, (umask * 10**6, umask * 10**6))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--quiet", "--wheel-dir", str(folder / "dist"), "."],
        cwd=folder,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1780000000"},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel
