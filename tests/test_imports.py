"""What `import isohash`, hashing and searching load: never the heavy optional libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "sklearn", "scipy", "matplotlib", "pydicom", "typer", "faiss")

IMPORT = "import isohash"
SEARCH = """
import isohash, numpy as np
codes = isohash.Codes(np.zeros((9, 8), np.uint8), 64)
isohash.FlatIndex.of(codes).search(codes, 3)
"""


@pytest.mark.parametrize("program", [IMPORT, SEARCH], ids=["import", "search"])
def test_heavy_libraries_are_not_loaded(program: str) -> None:
    show = f"\nimport sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program + show], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


# What reads, cuts, draws, encodes and fits: of a stored case all of it is done.
RARELY = (
    "isohash.dosimetry.dvh", "isohash.features.cases.slices", "isohash.features.cases.shown",
    "isohash.features.encoders.encoders", "isohash.hashing.measured", "isohash.archive.repair",
    "isohash.sources.reading", "numpy.random", "onnxruntime", "rich",
)  # fmt: skip


@pytest.mark.parametrize("by", ["ct", "joint", "dose"])
def test_a_stored_case_is_asked_by_what_is_stored(archive_path: Path, by: str) -> None:
    names = [name for name in (*HEAVY, *RARELY) if name != "typer"]
    program = f"""
import sys
from isohash.apps.cli.main import main
sys.argv = ["isohash", "query", {str(archive_path)!r}, "phantom-00-00", "--by", {by!r}, "--json"]
try:
    main()
finally:
    print(*[name for name in {names} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == []
