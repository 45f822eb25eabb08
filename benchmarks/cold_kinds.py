"""What one query costs in a new process, kind by kind.

    python benchmarks/cold_kinds.py DATA MNIST.npz --out docs/numbers

Makes an archive of DATA's first 30 OpenKBP patients and one of 10,000 digits, then asks both in
every way, by what is stored and by what is new. Processor seconds of new processes (Python,
loading, opening, answering, JSON), the kinds in turn; a first round, which is not counted, leaves
compiled bytecode behind, as an installation does. Writes cold-kinds (.csv, .json), which
`make readme` quotes in docs/engine.md.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from cold_start import ASK, HERE, run, spread

from isohash.evaluation.kit.results import write_results

PATIENTS, ROWS, RUNS = 30, 10_000, 9
STORED = ("plan", "joint", "ct", "dose", "map")
NEW = ("plan", "joint")


def isohash(*words: str | Path) -> list[str]:
    """The arguments of Python that run a command."""
    return ["-c", ASK, *map(str, words)]


def query(*words: str | Path) -> list[str]:
    """The arguments of Python that ask an archive."""
    return isohash("query", *words, "--json")


def commands(data: Path, digits: Path, work: Path) -> dict[str, list[str]]:
    """What is asked, of archives that are made in `work`."""
    cases, vectors = work / "cases", work / "vectors"
    files = sorted((data / "train").glob("pt_*.npz"), key=lambda one: int(one.stem[3:]))
    (work / "source").mkdir()
    for one in files[:PATIENTS]:
        shutil.copy(one, work / "source")
    with np.load(digits) as images:
        rows = images["x_train"][: ROWS + 1].reshape(-1, 784).astype(np.float32)
    np.save(work / "rows.npy", rows[:ROWS])
    np.save(work / "new.npy", rows[ROWS:])
    run(isohash("index", work / "source", cases, "--json"), HERE)
    run(isohash("index", work / "rows.npy", vectors, "--json"), HERE)
    known, new = files[0].stem, min((data / "validation").glob("pt_*.npz"))
    return {
        **{f"a stored case, by {by}": query(cases, known, "--by", by) for by in STORED},
        **{f"a new case, by {by}": query(cases, new, "--by", by) for by in NEW},
        "a stored vector": query(vectors, "rows:5"),
        "a new vector": query(vectors, work / "new.npy"),
    }


def main() -> None:
    """Ask in turn, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder of OpenKBP: train, validation")
    parser.add_argument("digits", type=Path, help="MNIST's mnist.npz")
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    given = parser.parse_args()
    spent: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as work:
        asked = commands(given.data, given.digits, Path(work))
        for n in range(RUNS + 1):
            for what, command in asked.items():
                seconds = run(command, HERE)[0]
                if n:
                    spent.setdefault(what, []).append(seconds)
    rows = [{"what": what, **spread(found)} for what, found in spent.items()]
    print(*rows, sep="\n")
    settings = {"runs": RUNS, "patients": PATIENTS, "digits": ROWS, "seed": "none"}
    write_results(given.out, "cold-kinds", rows, settings)


if __name__ == "__main__":
    main()
