"""What a query of 100 slices costs the engine, by the number of cases of 100 slices each.

    python benchmarks/case_scan.py --out docs/numbers

For 1024-bit codes, drawn (Hamming) and fitted (`make_hasher`), in a memory-mapped file of synthetic
cases: processor seconds and peak memory of (a) the whole matrix of distances, (b) the least
distance per query slice and case, and (c) all distances to 20 of the cases. Each is measured in a
process of its own, on one thread. Writes case_scan.csv, .json and .png, and the table of
docs/engine.md.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from isohash import Codes, make_hasher
from isohash.evaluation.kit.plotting import figure
from isohash.evaluation.kit.results import read_results, write_results
from isohash.index.dispatch import engine_info
from isohash.index.flat import distances
from isohash.index.segments import distances_to_cases, least_per_case

CASES = (100, 300, 1000, 3000, 10_000, 20_000)
SLICES = 100  # of a case, and of the query
BITS, DIM = 1024, 128
CHOSEN = 20  # cases whose distances are wanted whole
SEED = 20260101
REPEATS = 3  # the least processor time counts
ROOT = Path(__file__).resolve().parents[1]

WAYS: dict[str, Callable[[Codes, Codes, np.ndarray], Any]] = {
    "matrix": lambda a, b, start: distances(a, b, threads=1),
    "least": lambda a, b, start: least_per_case(a, b, start, threads=1),
    "chosen": lambda a, b, start: distances_to_cases(
        a, b, start, np.arange(0, len(start) - 1, (len(start) - 1) // CHOSEN)[:CHOSEN], threads=1
    ),
}


def query_codes(kind: str) -> Codes:
    """The query's slices; with the alphabets of a hash fitted to vectors of falling variance."""
    rng = np.random.default_rng(SEED)
    if kind == "hamming":
        return Codes(rng.integers(0, 256, (SLICES, BITS // 8), dtype=np.uint8), BITS)
    spread = np.exp(-np.arange(DIM) / 25)
    vectors = (rng.standard_normal((4000, DIM)) * spread).astype(np.float32)
    return make_hasher(BITS).fit(vectors).transform(vectors[:SLICES])


def write_codes(path: Path, n_cases: int) -> None:
    """Random stored bytes: whatever they say, a scan of them costs the same."""
    rng = np.random.default_rng(SEED + 1)
    with path.open("wb") as file:
        for _ in range(n_cases):
            file.write(rng.bytes(SLICES * BITS // 8))


def anonymous_mb() -> float:
    """Memory of this process that no file stands behind, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def peak_mb(work: Callable[[], Any]) -> float:
    """How much anonymous memory grows by at most while `work` runs."""
    done, before = threading.Event(), anonymous_mb()
    peaks = [before]

    def watch() -> None:
        while not done.wait(0.002):
            peaks.append(anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    kept = work()
    peaks.append(anonymous_mb())
    done.set()
    watcher.join()
    del kept
    return max(peaks) - before


def processor_s(work: Callable[[], Any]) -> float:
    """The least processor time of several runs."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def measure_here(way: str, queries: Path, stored: Path) -> dict[str, float]:
    """One measurement, in this process."""
    asked = Codes.load(queries)
    packed = np.memmap(stored, np.uint8, "r").reshape(-1, BITS // 8)
    codes = Codes(packed, asked.length, asked.q, asked.metric, asked.alphabets)
    start = np.arange(0, len(codes) + 1, SLICES)
    WAYS[way](asked, codes[:SLICES], start[:2].repeat([1, CHOSEN]))  # kernels check themselves once

    def work() -> Any:
        return WAYS[way](asked, codes, start)

    return {"peak_mb": peak_mb(work), "processor_s": processor_s(work)}


def measure(folder: Path, cases: tuple[int, ...]) -> list[dict[str, Any]]:
    """A row for each number of cases, kind of codes and way."""
    rows = []
    for kind in ("hamming", "adaptive"):
        queries = folder / f"{kind}.npz"
        query_codes(kind).save(queries)
        for n_cases in cases:
            stored = folder / "stored"
            write_codes(stored, n_cases)
            for way in WAYS:
                command = [sys.executable, __file__, "--here", way, str(queries), str(stored)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                row = {"codes": kind, "cases": n_cases, "slices": n_cases * SLICES, "way": way}
                rows.append(row | json.loads(done.stdout))
                print(rows[-1], flush=True)
    return rows


def megabytes(amount: float) -> str:
    return f"{amount:,.0f} MB" if amount >= 10 else f"{amount:.1f} MB"


def table(about: dict[str, Any]) -> str:
    """The table of docs/engine.md."""
    rows = about["rows"]
    at = {(row["codes"], row["cases"], row["way"]): row for row in rows}
    lines = []
    for kind, n_cases in dict.fromkeys((row["codes"], row["cases"]) for row in rows):
        cells = [at[kind, n_cases, way] for way in WAYS]
        times = " | ".join(
            f"{cell['processor_s']:.3f} s, {megabytes(cell['peak_mb'])}" for cell in cells
        )
        lines.append(f"| {kind} | {n_cases:,} | {n_cases * SLICES:,} | {times} |")
    return (
        f"| codes | cases | slices | whole matrix | least per case | all of {CHOSEN} cases |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n\n"
        f"A query of {SLICES} slices, cases of {SLICES} slices, {BITS}-bit codes in a mapped "
        "file; processor time on one thread, and memory beyond the mapped file at its peak. "
        f"Command: `python benchmarks/case_scan.py --out docs/numbers`; seed {about['seed']}; "
        f"{about['machine']['processor']}, kernels {about['level']}, Python "
        f"{about['machine']['python']}."
    )


def draw(path: Path, rows: list[dict[str, Any]]) -> None:
    """Processor time and peak memory against the number of cases."""
    names = {"matrix": "whole matrix", "least": "least per case", "chosen": f"{CHOSEN} cases"}
    with figure(path, width=9.0, height=3.6, ncols=2) as (_, axes):
        for ax, column, label in zip(
            axes,
            ("processor_s", "peak_mb"),
            ("processor time (s)", "peak memory (MB)"),
            strict=True,
        ):
            for kind, style in (("hamming", "--"), ("adaptive", "-")):
                for colour, way in enumerate(WAYS):
                    mine = [r for r in rows if r["codes"] == kind and r["way"] == way]
                    ax.loglog(
                        [r["cases"] for r in mine],
                        [max(r[column], 1e-3) for r in mine],
                        style,
                        marker=".",
                        color=f"C{colour}",
                        label=f"{names[way]}, {kind}",
                    )
            ax.set_xlabel(f"cases of {SLICES} slices")
            ax.set_ylabel(label)
        axes[0].legend(fontsize=7)


def filled(page: str, about: dict[str, Any]) -> str:
    """The page with the table that these numbers make."""
    body = f"<!-- case_scan -->\n{table(about)}\n<!-- /case_scan -->"
    pattern = r"<!-- case_scan -->.*?<!-- /case_scan -->"
    return re.sub(pattern, lambda _: body, page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    parser.add_argument("--cases", type=int, nargs="+", default=CASES)
    parser.add_argument("--again", action="store_true", help="draw and tell the written numbers")
    parser.add_argument("--here", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        way, queries, stored = options.here
        print(json.dumps(measure_here(way, Path(queries), Path(stored))))
        return
    if not options.again:
        with tempfile.TemporaryDirectory() as folder:
            measured = measure(Path(folder), tuple(options.cases))
        head = {"seed": SEED, "bits": BITS, "threads": 1, "level": engine_info().level}
        write_results(options.out, "case_scan", measured, head)
    about = read_results(options.out, "case_scan")
    draw(options.out / "case_scan.png", about["rows"])
    page = ROOT / "docs" / "engine.md"
    page.write_text(filled(page.read_text(), about))


if __name__ == "__main__":
    main()
