"""The workbench of an archive, served, and a browser to look at it with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from workbench import serving


@contextmanager
def opened(archive: Path) -> Iterator[tuple[Browser, str]]:
    """A browser, and the address with its token."""
    with serving(archive) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser, address
        browser.close()
