"""Screenshots of the workbench's pages at 1280 and 390 px, of the demonstration's archive.

    python benchmarks/workbench_images.py isohash-demo/archive --out docs/images

Needs the extras serve and test, and chromium.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import Browser, Page
from workbench_browser import opened

QUERY = "/query?case=phantom-01-03&by=joint&alpha=0.3"
PAGES = {
    "cases": "/cases",
    "map": "/map?colour=label&case=phantom-01-03",
    "query": f"{QUERY}#slice=30&result=2",
    "cuts": f"{QUERY}#slice=30&result=2&x=18&y=-24&show=lines.outlines.cuts.difference",
}
HEIGHTS = {1280: 1000, 390: 844}
READY = "!document.getElementById('viewer') || document.body.dataset.ready === 'yes'"
WAIT_MS, TIMES = 100, 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    with opened(given.archive) as (browser, address):
        for name in PAGES:
            for width in HEIGHTS:
                path = given.out / f"workbench-{name}-{width}.png"
                shoot(browser, address, PAGES[name], width, path)
                print(path)


def shoot(browser: Browser, address: str, page_path: str, width: int, path: Path) -> None:
    base = address.partition("/?token=")[0]
    page = browser.new_page(viewport={"width": width, "height": HEIGHTS[width]})
    page.goto(address)
    page.goto(base + page_path)
    ready(page)
    page.screenshot(path=path)
    page.close()


def ready(page: Page) -> None:
    """Wait until all that the page shows at once is there."""
    for _ in range(TIMES):
        if page.evaluate(READY):
            return
        page.wait_for_timeout(WAIT_MS)


if __name__ == "__main__":
    main()
