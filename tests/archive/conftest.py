"""Lets the tests of this folder, and the processes they start, share `store_model`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def quick_tmp() -> Iterator[Path]:
    """A temporary folder in memory where there is one: thousands of fsyncs take no time there."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    folder = Path(tempfile.mkdtemp(dir=memory if usable else None))
    yield folder
    shutil.rmtree(folder)
