"""What opening an archive and its first answers cost, by the number of cases.

    python benchmarks/opening.py --out docs/numbers

Synthetic cases: a few are indexed, then repeated with codes of their own by the store's writer,
three slices each, with 1.5 kB of facts. Each row is a new process: processor seconds of importing,
of `Archive.open`, of the first and the second answer by CT, of a filter over all cases, and the
peak of memory. Writes opening.csv and .json, and the table of docs/engine.md.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from isohash.archive.segments import array_bytes
from isohash.archive.state import Change, Record, encode_records
from isohash.archive.store import CaseStore
from isohash.evaluation.kit.results import read_results, write_results

CASES = (1000, 10_000, 100_000)
SLICES = 3
SEED = 20260101
ROOT = Path(__file__).resolve().parents[1]
VIEWS = ("codes.ct", "codes.dose", "embedding.ct", "embedding.dose")
FACT = "x" * 60  # of which twenty make up the facts of a clinical case

ASK = """
import json, resource, sys, time
times = [time.process_time()]
from isohash.retrieval.engine import Archive
times.append(time.process_time())
archive = Archive.open(sys.argv[1])
times.append(time.process_time())
session = archive.session(next(iter(archive)))
for where in (None, None, "prescription_gy >= 60"):
    session.ask(k=5, by="ct", where=where)
    times.append(time.process_time())
names = ("import_s", "open_s", "first_s", "second_s", "filter_s")
row = {n: round(b - a, 3) for n, a, b in zip(names, times, times[1:])}
row["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(json.dumps(row))
"""


def base_archive(folder: Path) -> Path:
    """A small archive of synthetic patients."""
    sys.path.insert(0, str(ROOT / "tests"))
    from isohash.retrieval.building.indexing import index_found
    from small_cases import OPTIONS, some_phantoms

    index_found(some_phantoms(3, 4), folder, OPTIONS)
    return folder


def many(folder: Path, n: int) -> None:
    """Replace the cases of an archive by n others, in one compacted segment."""
    rng = np.random.default_rng(SEED)
    with CaseStore.open(folder, writable=True) as store:
        ids = store.ids()
        facts = store.metadata(ids[0]) | {f"fact_{i}": FACT for i in range(20)}
        columns = {
            "slice.index": np.tile(np.arange(SLICES), n),
            "slice.z_mm": np.tile(3.0 * np.arange(SLICES), n),
            "slice.row.ct": np.tile(np.arange(SLICES), n),
            "slice.row.dose": np.tile(np.arange(SLICES), n),
        }
        for name in VIEWS:
            pool = np.concatenate([store.arrays(one, [name])[name] for one in ids])
            columns[name] = pool[rng.integers(0, len(pool), n * SLICES)]
        log = store._log
        sequence = log.state.sequence + 1
        records = tuple(record(c, sequence, facts, list(columns)) for c in range(n))
        content = encode_records(records)
        kept = sorted(log.state.files().values())
        shapes = [(name, column.dtype, column.shape) for name, column in columns.items()]
        sources = [[content], *([array_bytes(column)] for column in columns.values())]
        entry = log.publish("compact", content, shapes, sources, kept=kept)
        log.commit(Change(entry, records, kept=frozenset(kept)))


def record(case: int, sequence: int, facts: dict[str, Any], names: list[str]) -> Record:
    """The record of one of many cases."""
    rows = {name: [block, case * SLICES, SLICES] for block, name in enumerate(names, 1)}
    own = {"patient": f"p{case}", "n_slices": SLICES, "prescription_gy": 50.0 + case % 30}
    metadata = json.dumps(facts | own, separators=(",", ":"))
    rows_text = json.dumps(rows, separators=(",", ":"))
    return Record(case + 1, f"case-{case:06d}", "f", sequence, rows_text, metadata)


def measure(cases: tuple[int, ...]) -> list[dict[str, Any]]:
    """A row for each number of cases: the medians of three processes."""
    rows = []
    for n in cases:
        with tempfile.TemporaryDirectory() as name:
            archive = base_archive(Path(name) / "archive")
            many(archive, n)
            size = (archive / "catalogue.sqlite").stat().st_size / 1e6
            command = [sys.executable, "-c", ASK, str(archive)]
            found = [
                json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                for _ in range(3)
            ]
        medians = {key: float(np.median([one[key] for one in found])) for key in found[0]}
        rows.append({"cases": n, "catalogue_mb": round(size, 1), **medians})
        print(rows[-1], flush=True)
    return rows


def table(about: dict[str, Any]) -> str:
    """The table of docs/engine.md."""
    lines = [
        f"| {r['cases']:,} | {r['catalogue_mb']:,.0f} MB | {r['open_s']:.2f} s | "
        f"{r['first_s']:.2f} s | {r['second_s']:.3f} s | {r['filter_s']:.2f} s | "
        f"{r['peak_mb']:,.0f} MB |"
        for r in about["rows"]
    ]
    return (
        "| cases | catalogue | open | first answer | second | with a filter | peak memory |\n"
        "|---|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n\n"
        f"Synthetic cases of {SLICES} slices with 1.5 kB of facts; processor time, median of three "
        "new processes. Command: `python benchmarks/opening.py --out docs/numbers`; seed "
        f"{SEED}; {about['machine']['processor']}, Python {about['machine']['python']}."
    )


def filled(page: str, about: dict[str, Any]) -> str:
    """The page with the table that these numbers make."""
    body = f"<!-- opening -->\n{table(about)}\n<!-- /opening -->"
    pattern = r"<!-- opening -->.*?<!-- /opening -->"
    return re.sub(pattern, lambda _: body, page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    parser.add_argument("--cases", type=int, nargs="+", default=CASES)
    given = parser.parse_args()
    write_results(given.out, "opening", measure(tuple(given.cases)), {"seed": SEED})
    page = ROOT / "docs" / "engine.md"
    page.write_text(filled(page.read_text(), read_results(given.out, "opening")))


if __name__ == "__main__":
    main()
