"""What `import isohash`, hashing and searching load: never the heavy optional libraries."""

from __future__ import annotations

import subprocess
import sys

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
