"""What vectors cost to index and to fit: python benchmarks/vector_costs.py MNIST.npz.

Processor seconds of new processes, one thread of BLAS each, that index 10,000 x 784 digits and that
fit the default codes to 1,000 of them. Versions given as NAME=FOLDER (a checkout's src, with its
compiled kernels) are measured as well; the checkout that this file lies in takes part as "here".
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from isohash.evaluation.kit.results import write_results

HERE = Path(__file__).resolve().parents[1] / "src"
INDEX = """
import sys
try:
    from isohash.apps.cli.main import main
except ImportError:
    from isohash.apps.cli import main
sys.argv = ["isohash", "index", *sys.argv[1:], "--json"]
main()
"""
FIT = """
import sys, time
import numpy as np, isohash
rows = np.load(sys.argv[1])["X"]
hasher = isohash.make_hasher(1024)
started = time.process_time()
hasher.fit(rows)
print(time.process_time() - started)
"""
ROWS, FEW = 10_000, 1_000


def main() -> None:
    """Measure every version in turn, several times, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("digits", type=Path, help="MNIST's mnist.npz")
    parser.add_argument("--against", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    given = parser.parse_args()
    versions = {n: Path(f) for n, f in (one.split("=") for one in given.against)} | {"here": HERE}
    spent: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as work:
        many, few = tables(given.digits, Path(work))
        for run in range(given.runs):
            for name, folder in versions.items():
                archive = Path(work) / f"{name}-{run}"
                found = {
                    f"isohash index, {ROWS:,} x 784": indexed(many, archive, folder),
                    f"make_hasher(1024).fit, {FEW:,} x 784": fitted(few, folder),
                }
                for what, seconds in found.items():
                    spent.setdefault((what, name), []).append(round(seconds, 3))
    rows = [
        {"what": what, "version": name, "median_s": median(found), "least_s": min(found)}
        for (what, name), found in sorted(spent.items())
    ]
    write_results(given.out, "vector-costs", rows, {"runs": given.runs})


def tables(digits: Path, folder: Path) -> tuple[Path, Path]:
    """Files of many and of few digits as vectors."""
    with np.load(digits) as data:
        pixels, labels = data["x_train"][:ROWS].reshape(ROWS, -1), data["y_train"][:ROWS]
    many, few = folder / "many.npz", folder / "few.npz"
    for path, n in ((many, ROWS), (few, FEW)):
        np.savez(path, X=pixels[:n].astype(np.float32), y=labels[:n])
    return many, few


def indexed(table: Path, archive: Path, folder: Path) -> float:
    """Processor seconds of a process that indexes a table."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(folder, INDEX, table, archive)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fitted(table: Path, folder: Path) -> float:
    """Processor seconds of one fit, imports apart."""
    return float(run(folder, FIT, table))


def run(folder: Path, program: str, *arguments: Path) -> str:
    """What a program prints that runs with the package of a folder."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, **one, "PYTHONPATH": str(folder)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


if __name__ == "__main__":
    main()
