"""The segment reader against a fuzzer, for a fixed time; see tests/fuzz/segments.py."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from processes import small_parent

SECONDS = 60
TARGET = Path(__file__).parents[1] / "fuzz" / "segments.py"


@pytest.mark.slow
@pytest.mark.timeout(10 * SECONDS)
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs the extra 'fuzz'")
def test_fuzzed_segments_are_read_right_or_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(TARGET), str(tmp_path / "corpus")]
    done = subprocess.run(
        small_parent(*command, f"-max_total_time={SECONDS}"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "DONE" in done.stderr
