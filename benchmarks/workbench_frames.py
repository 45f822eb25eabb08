"""How long the workbench takes from a slice asked for to both slices drawn, in chromium.

    python benchmarks/workbench_frames.py ARCHIVE CASE

Steps through the slices of a case twice, one every 50 ms: first with what is drawn usually, then
with cuts, wash and dose difference as well. Prints median and 95th percentile of both rounds in ms
of wall time, and how often the server was asked meanwhile.
Needs the extras serve and test, and chromium.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from playwright.sync_api import Page
from workbench_browser import opened
from workbench_images import ready

SHOWN = {"usual": "lines.outlines", "everything": "lines.outlines.wash.cuts.difference"}
STEP = """async () => {
  const took = [], { index } = workbench.viewer.query.head;
  for (const round of [0, 1]) {
    took.push([]);
    for (const one of index) {
      workbench.viewer.jump(one);
      await new Promise((done) => setTimeout(done, 50));
      took[round].push(workbench.drawn());
    }
  }
  return took;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("case")
    given = parser.parse_args()
    with opened(given.archive) as (browser, address):
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(address)
        for name, shown in SHOWN.items():
            page.goto(f"{address.partition('/?token=')[0]}/cases")
            path = f"/query?case={given.case}#show={shown}"
            page.goto(address.partition("/?token=")[0] + path)
            ready(page)
            print(json.dumps({"shown": name, **measured(page)}))


def measured(page: Page) -> dict[str, object]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    rounds = page.evaluate(STEP)
    found = {
        name: {
            "slices": len(took),
            "median_ms": round(statistics.median(took), 1),
            "p95_ms": round(statistics.quantiles(took, n=20)[-1], 1),
        }
        for name, took in zip(("first", "again"), rounds, strict=True)
    }
    return {**found, "requests": len(asked)}


if __name__ == "__main__":
    main()
