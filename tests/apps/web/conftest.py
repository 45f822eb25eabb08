"""A workbench that is served, a browser, and a visit that fails on errors and other origins."""

from __future__ import annotations

from pathlib import Path

import pytest

from browsing import Visit
from workbench import serving

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def address(archive_path: Path):
    with serving(archive_path) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser, address: str):
    found = Visit(browser, address)
    yield found
    found.page.close()
    assert found.errors == []
    assert all(url.startswith((found.base, "data:", "blob:")) for url in found.asked)
