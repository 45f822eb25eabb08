"""What starting costs, against another version: python benchmarks/cold_start.py ARCHIVE CASE.

Processor seconds of new processes that import isohash, or answer one query, interleaved over
versions given as NAME=FOLDER (a checkout's src, with its compiled kernels); the checkout that this
file lies in takes part as "here". The archive must be readable by all of them. A first round, which
is not counted, leaves compiled bytecode behind, as an installation does. Then where the time of a
query goes. Writes cold-start and cold-parts (.csv, .json), and the tables of docs/engine.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from isohash.evaluation.kit.results import read_results, write_results

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "src"
NUMBERS = ROOT / "docs" / "numbers"
ASK = """
import sys
try:
    from isohash.apps.cli.main import main
except ImportError:
    from isohash.apps.cli import main
sys.argv[0] = "isohash"
main()
"""
# The same question without the command line, in its parts.
PARTS = """
import json, os, sys, time
times = [0.0, time.process_time()]
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy
times.append(time.process_time())
from isohash.retrieval.engine import Archive
times.append(time.process_time())
archive = Archive.open(sys.argv[1])
times.append(time.process_time())
answer = archive.session(sys.argv[2]).ask(by=sys.argv[3] or None)
times.append(time.process_time())
told = json.dumps(answer.to_json())
times.append(time.process_time())
print(json.dumps([b - a for a, b in zip(times, times[1:])]))
"""
NAMES = ("Python itself", "loading NumPy", "loading isohash", "opening the archive", "the answer",
         "its JSON")  # fmt: skip
REST = "reading the command line (typer, pydantic), and ending"
WAYS = {"usual way": "", "joint": "joint"}


def main() -> None:
    """Run every command of every version in turn, several times, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("case", help="a path, or the id of an indexed case")
    parser.add_argument("--against", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--out", type=Path, default=NUMBERS)
    given = parser.parse_args()
    versions = {"here": HERE} | {n: Path(f) for n, f in (one.split("=") for one in given.against)}
    asked = [str(given.archive), given.case]
    commands = {"import isohash": ["-c", "import isohash"]} | {
        f"query, {way}": ["-c", ASK, "query", *asked, "--json", *(["--by", by] if by else [])]
        for way, by in WAYS.items()
    }
    seconds: dict[tuple[str, str], list[float]] = {}
    parts: dict[str, list[list[float]]] = {}
    for n in range(given.runs + 1):
        for what, command in commands.items():
            for name, folder in versions.items():
                spent = run(command, folder)[0]
                if n:
                    seconds.setdefault((what, name), []).append(spent)
        for way, by in WAYS.items():
            if n:
                told = json.loads(run(["-c", PARTS, *asked, by], HERE)[1])
                parts.setdefault(way, []).append(told)
    rows = [
        {"what": what, "version": name, **spread(found)} for (what, name), found in seconds.items()
    ]
    write_results(given.out, "cold-start", rows, {"runs": given.runs})
    whole = {way: median(seconds[f"query, {way}", "here"]) for way in WAYS}
    write_results(given.out, "cold-parts", part_rows(parts, whole), {"runs": given.runs})
    page = ROOT / "docs" / "engine.md"
    page.write_text(filled(page.read_text(), read_results(given.out, "cold-start")))


def spread(seconds: list[float]) -> dict[str, float]:
    """What a row tells of several runs."""
    return {"median_s": median(seconds), "least_s": min(seconds)}


def part_rows(parts: dict[str, list[list[float]]], whole: dict[str, float]) -> list[dict[str, Any]]:
    """Medians of each part; what is left of the whole query goes to the command line."""
    columns = {
        way: [median(one) for one in zip(*found, strict=True)] for way, found in parts.items()
    }
    rows = [
        {"part": name, **{f"{way}_s": round(columns[way][i], 4) for way in WAYS}}
        for i, name in enumerate(NAMES)
    ]
    rest = {f"{way}_s": round(whole[way] - sum(columns[way]), 4) for way in WAYS}
    return [*rows, {"part": REST, **rest}]


def run(command: list[str], folder: Path) -> tuple[float, str]:
    """Processor seconds of one process, its children included; and what it printed."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *command],
        env={**env, "PYTHONPATH": str(folder)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return round(user + system, 4), done.stdout


def table(about: dict[str, Any]) -> str:
    """The tables of docs/engine.md: beside the other version, and in parts."""
    found: dict[str, dict[str, float]] = {}
    for row in about["rows"]:
        found.setdefault(row["what"], {})[row["version"]] = row["median_s"]
    versions = list(next(iter(found.values())))
    lines = [f"| | {' | '.join(versions)} |", "|---|" + "---|" * len(versions)]
    lines += [
        f"| {what} | " + " | ".join(f"{by[name]:.3f} s" for name in versions) + " |"
        for what, by in found.items()
    ]
    lines += ["", "| part of a query | usual way | joint |", "|---|---|---|"]
    lines += [
        f"| {row['part']} | " + " | ".join(f"{row[f'{way}_s']:.3f} s" for way in WAYS) + " |"
        for row in read_results(NUMBERS, "cold-parts")["rows"]
    ]
    machine = about["machine"]
    return "\n".join(lines) + (
        f"\n\nA stored case asked of 30 patients; processor time of new processes, medians of "
        f"{about['runs']}, interleaved. Command: `python benchmarks/cold_start.py ARCHIVE CASE "
        f"--against 2026-11-28=FOLDER`; {machine['processor']}, Python {machine['python']}."
    )


def filled(page: str, about: dict[str, Any]) -> str:
    """The page with the tables that these numbers make."""
    body = f"<!-- cold-start -->\n{table(about)}\n<!-- /cold-start -->"
    pattern = r"<!-- cold-start -->.*?<!-- /cold-start -->"
    return re.sub(pattern, lambda _: body, page, flags=re.DOTALL)


if __name__ == "__main__":
    main()
