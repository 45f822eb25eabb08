"""Logging in and out in a real browser, which decides by itself what it sends with a form."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from isohash.whole_files import workbench_of
from workbench import serving

pytestmark = pytest.mark.browser
CHROMIUM = Path("/usr/bin/chromium")
PASSWORD = "a long enough password"


@pytest.fixture
def address(archive_path: Path, tmp_path: Path):
    from isohash.apps.web.people.users import Users

    copy = Path(shutil.copytree(archive_path, tmp_path / "archive"))
    Users(workbench_of(copy)).add("ada", "admin", PASSWORD)
    with serving(copy, "--login") as found:
        yield found


def test_a_user_logs_in_keeps_something_and_logs_out(address: str) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{address}case?case=phantom-00-01")
        assert "/login?to=" in page.url
        for password in ("wrong", PASSWORD):
            page.get_by_label("Name").fill("ada")
            page.get_by_label("Password").fill(password)
            page.keyboard.press("Enter")
            page.wait_for_load_state()
        page.wait_for_url("**/case?case=phantom-00-01")
        page.goto(f"{address}kept")
        page.get_by_role("textbox", name="New cohort").fill("mine")
        page.get_by_role("button", name="Make").click()
        page.wait_for_url("**/kept/*")
        page.get_by_role("link", name="audit").click()
        assert page.locator("tbody tr").count() >= 2  # a request is written as its answer goes out
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        page.goto(f"{address}kept")
        assert "/login" in page.url
        browser.close()
