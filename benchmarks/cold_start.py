"""What starting costs, against another version: python benchmarks/cold_start.py ARCHIVE CASE.

Processor seconds of new processes that import isohash, or answer one query, interleaved over
versions given as NAME=FOLDER (a checkout's src, with its compiled kernels); the checkout that this
file lies in takes part as "here". The archive must be readable by all of them.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

from isohash.evaluation.kit.results import write_results

HERE = Path(__file__).resolve().parents[1] / "src"
ASK = """
import sys
try:
    from isohash.apps.cli.main import main
except ImportError:
    from isohash.apps.cli import main
sys.argv[0] = "isohash"
main()
"""


def main() -> None:
    """Run every command of every version in turn, several times, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("case", help="a path, or the id of an indexed case")
    parser.add_argument("--against", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    given = parser.parse_args()
    versions = {"here": HERE} | {n: Path(f) for n, f in (one.split("=") for one in given.against)}
    query = ["query", str(given.archive), given.case, "--json"]
    commands = {
        "import isohash": ["-c", "import isohash"],
        "query, usual way": ["-c", ASK, *query],
        "query, joint": ["-c", ASK, *query, "--by", "joint"],
    }
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(given.runs):
        for what, command in commands.items():
            for name, folder in versions.items():
                seconds.setdefault((what, name), []).append(spent(command, folder))
    rows = [
        {"what": what, "version": name, "median_s": median(found), "least_s": min(found)}
        for (what, name), found in seconds.items()
    ]
    write_results(given.out, "cold-start", rows, {"runs": given.runs})


def spent(command: list[str], folder: Path) -> float:
    """Processor seconds of one process, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(folder)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return round(user + system, 4)


if __name__ == "__main__":
    main()
