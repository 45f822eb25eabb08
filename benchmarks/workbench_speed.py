"""What the workbench costs: another weight, the first screen, and twenty people at once.

    isohash index ../shared/data/openkbp/train okbp
    python benchmarks/workbench_speed.py okbp --out docs/numbers

Another weight is measured in this process: processor time from the question to its JSON, of 21
weights asked once before. The rest asks a server of its own over the loopback, where times are of
the wall, and depend on what else the machine does: its load is told beside them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import workbench
from isohash.evaluation.kit.results import write_results
from isohash.retrieval.engine import Archive

WEIGHTS = [round(0.05 * i, 2) for i in range(21)]
PEOPLE, QUESTIONS, CASES = 20, 20, 8


def weights_ms(archive: Archive, rerank: int | None) -> dict[str, float]:
    """Processor milliseconds of another weight: median and worst over some queries."""
    spent = []
    for name in list(archive)[:: max(1, len(archive) // CASES)][:CASES]:
        session = archive.session(name)
        for measured in (False, True):
            for alpha in WEIGHTS[1:-1]:
                before = time.process_time()
                session.ask(by="joint", alpha=alpha, rerank=rerank).to_json()
                if measured:
                    spent.append(1e3 * (time.process_time() - before))
    return {"median_ms": float(np.median(spent)), "p95_ms": float(np.quantile(spent, 0.95))}


def served(archive: Path, names: list[str]) -> dict[str, Any]:
    """Wall milliseconds of the first screen and of twenty people, and the server's memory."""
    with workbench.served(archive) as (address, process):
        base, _, token = address.partition("/?token=")
        get = asker(base, token)
        first = get("/cases", {})
        for at in range(CASES):
            get("/api/query", {"case": names[at], "by": "joint"})
        before = resident_mb(process)

        def person(who: int) -> list[float]:
            return [
                get("/api/query", {"case": names[(who + at) % CASES], "by": "joint",
                                   "alpha": WEIGHTS[(3 * who + at) % 21]})
                for at in range(QUESTIONS)
            ]  # fmt: skip

        with ThreadPoolExecutor(PEOPLE) as people:
            times = [one for all_of in people.map(person, range(PEOPLE)) for one in all_of]
        after = resident_mb(process)
    return {
        "first_screen_ms": first,
        "people": PEOPLE,
        "questions": len(times),
        "median_ms": float(np.median(times)),
        "p95_ms": float(np.quantile(times, 0.95)),
        "memory_mb": before,
        "memory_after_mb": after,
    }


def asker(base: str, token: str) -> Callable[[str, dict[str, Any]], float]:
    """Asks a page and gives the milliseconds until its last byte; an error is raised."""

    def get(path: str, options: dict[str, Any]) -> float:
        before = time.perf_counter()
        with urlopen(f"{base}{path}?{urlencode({**options, 'token': token})}") as found:
            found.read()
        return 1e3 * (time.perf_counter() - before)

    return get


def resident_mb(pid: int) -> float:
    """The memory of a process, of Linux."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    given = parser.parse_args()
    with Archive.open(given.archive) as archive:
        names = list(archive)
        by_code, ranked = (weights_ms(archive, rerank) for rerank in (0, None))
    rows = [
        {"what": "another weight, by code", **by_code},
        {"what": "another weight, re-ranked", **ranked},
        {"what": "over the loopback", **served(given.archive, names)},
    ]
    load = os.getloadavg()[0]
    write_results(given.out, "workbench", rows, {"cases": len(names), "load": load})
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
