"""Search speed against the peers that are installed, as ratios measured side by side.

All methods of a cell run in turn, round after round, in one process with the same number of
threads; a ratio is the median over rounds, so what disturbs the machine disturbs all alike. Before
a cell is timed its distances are compared with those of the peers.
"""

from __future__ import annotations

import io
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.evaluation.kit.results import write_results
from isohash.evaluation.speed.search_peers import Cell, K, Search, load_faiss, methods_of, problem
from isohash.index.dispatch import engine_info
from isohash.index.flat import FlatIndex
from isohash.machine import processor_name
from isohash.progress import Progress, tell
from isohash.whole_files import private_folder, write_whole

SEED = 20260101

# A timed slice repeats its search until it lasts this long, to be well above the clock's step.
SLICE_SECONDS = 0.03

# Rounds of a cell: fewer, down to the least, where they would take longer than this.
ROUNDS, LEAST_ROUNDS, CELL_SECONDS = 15, 5, 12.0


@dataclass(frozen=True)
class Measurement:
    """Queries per second of one method in one cell, and its ratio to the first peer."""

    kind: str
    length: int
    q: int
    n: int
    batch: int
    threads: int
    method: str
    queries_per_second: float
    gigabytes_per_second: float
    ratio: float
    recall: float | None

    @property
    def cell(self) -> Cell:
        """What was measured."""
        return Cell(self.kind, self.length, self.n, self.batch, self.threads, self.q)


def cells(quick: bool, cores: int) -> list[Cell]:
    """The cells to measure; `quick` leaves out what takes long or much memory."""
    sizes = [(512, 7_000), (1024, 7_000), (4096, 7_000), (512, 100_000), (1024, 100_000)]
    sizes += [(4096, 20_000)] if quick else [(4096, 100_000), (512, 1_000_000), (4096, 1_000_000)]
    chosen = [
        Cell("flat", bits, n, batch, 1) for bits, n in sizes for batch in (1, 100 if quick else 400)
    ]
    two = min(2, cores)
    chosen += [Cell("flat", bits, n, batch, two) for bits, n in sizes[-2:] for batch in (1, 400)]
    medium = 5_000 if quick else 100_000
    chosen += [Cell("lee", 1024, medium, batch, 1, q) for q in (10, 16) for batch in (1, 100)]
    chosen += [Cell("wide", 128, medium, batch, 1) for batch in (1, 100)]
    largest = [20_000, 200_000] if quick else [10_000, 100_000, 1_000_000, 8_000_000]
    chosen += [Cell("tables", 64, n, 1, 1) for n in largest]
    return [*chosen, Cell("graphs", 512, medium, 100, 1)]


def run_search_bench(
    out_dir: str | Path, quick: bool = False, progress: Progress | None = None
) -> list[Measurement]:
    """Measure every cell and write search-LEVEL.csv, .json and, with matplotlib, .png.

    LEVEL is the level of the kernels, which ISOHASH_ISA lowers; `quick` adds its name. A run that
    is stopped leaves the table of what it measured; started again, it goes on where it was.
    """
    out = Path(out_dir)
    private_folder(out)
    faiss = load_faiss()
    setup = _setup(faiss, out_dir, quick)
    name = f"search-{setup['level']}{'-quick' if quick else ''}"
    journal = Journal(out / f"{name}.partial.jsonl", setup)
    chosen = cells(quick, os.cpu_count() or 1)
    rounds = LEAST_ROUNDS if quick else ROUNDS
    rows: list[Measurement] = []
    try:
        for measured in _measured(chosen, journal, faiss, rounds, progress):
            rows += measured
    finally:
        if rows:
            told = {"cells": len({row.cell for row in rows}), "of_cells": len(chosen)}
            write(out, name, rows, setup | conditions() | told)
    journal.path.unlink()
    return rows


def _measured(
    chosen: Sequence[Cell],
    journal: Journal,
    faiss: Any,
    rounds: int,
    progress: Progress | None,
) -> Iterator[list[Measurement]]:
    """The measurements of each cell, taken now or read from an earlier run."""
    for done, cell in enumerate(chosen):
        tell(
            progress, done, len(chosen), f"{cell.kind} {cell.length} x {cell.n}, batch {cell.batch}"
        )
        rows = journal.rows_of(cell)
        if rows is None:
            rows = measure(cell, faiss, rounds)
            journal.add(cell, rows)
        yield rows
    tell(progress, len(chosen), len(chosen), "writing")


class Journal:
    """The cells measured so far, a line each; those of another setup are dropped."""

    def __init__(self, path: Path, setup: dict[str, Any]) -> None:
        self.path = path
        self._rows: dict[Cell, list[Measurement]] = {}
        first, *lines = path.read_text().splitlines() if path.exists() else [""]
        if first == json.dumps(setup):
            self._rows = dict(_read_lines(lines))
        else:
            write_whole(path, f"{json.dumps(setup)}\n".encode(), kept_up=True)

    def rows_of(self, cell: Cell) -> list[Measurement] | None:
        """What was measured of a cell, or None."""
        return self._rows.get(cell)

    def add(self, cell: Cell, rows: Sequence[Measurement]) -> None:
        """Keep a cell's measurements."""
        line = json.dumps({"cell": asdict(cell), "rows": [asdict(row) for row in rows]})
        with self.path.open("a") as file:
            file.write(line + "\n")


def _read_lines(lines: Sequence[str]) -> Iterator[tuple[Cell, list[Measurement]]]:
    for line in lines:
        try:
            kept = json.loads(line)
        except json.JSONDecodeError:  # the line at which the run was killed
            return
        yield Cell(**kept["cell"]), [Measurement(**row) for row in kept["rows"]]


def measure(cell: Cell, faiss: Any, rounds: int) -> list[Measurement]:
    """All methods of one cell, interleaved. The first is the peer that ratios refer to."""
    faiss.omp_set_num_threads(cell.threads)
    rng = np.random.default_rng([SEED, cell.length, cell.n, cell.batch])
    database, queries = problem(cell, rng)
    searches = methods_of(cell, database, queries, faiss)
    truth = FlatIndex.of(database, cell.threads).search(queries, K).distances
    times = interleaved(list(searches.values()), rounds)
    first = times[0]
    scanned = cell.batch * cell.n * database.packed.shape[1]
    return [
        Measurement(
            cell.kind,
            cell.length,
            cell.q,
            cell.n,
            cell.batch,
            cell.threads,
            name,
            queries_per_second=round(cell.batch / float(np.median(taken)), 2),
            gigabytes_per_second=round(scanned / float(np.median(taken)) / 1e9, 2),
            ratio=round(float(np.median(first / taken)), 3),
            recall=_recall(cell, name, search(), truth),
        )
        for (name, search), taken in zip(searches.items(), times, strict=True)
    ]


def _recall(cell: Cell, name: str, found: NDArray[Any], truth: NDArray[np.int32]) -> float | None:
    if cell.kind == "wide" and name.startswith("faiss"):  # it computes another distance
        return None
    return round(recall_by_distance(found, truth), 4)


def interleaved(searches: Sequence[Search], rounds: int) -> list[NDArray[np.float64]]:
    """Seconds per search of each, shape (rounds,); all are timed in every round."""
    repeats, round_seconds = [], 0.0
    for search in searches:
        search()  # the first touches memory for the first time
        start = time.perf_counter()
        search()
        seconds = time.perf_counter() - start
        repeats.append(max(1, int(SLICE_SECONDS / seconds)))
        round_seconds += repeats[-1] * seconds
    rounds = min(rounds, max(LEAST_ROUNDS, int(CELL_SECONDS / round_seconds)))
    taken = np.empty((len(searches), rounds))
    for r in range(rounds):
        for i, search in enumerate(searches):
            start = time.perf_counter()
            for _ in range(repeats[i]):
                search()
            taken[i, r] = (time.perf_counter() - start) / repeats[i]
    return list(taken)


def recall_by_distance(found: NDArray[Any], truth: NDArray[np.int32]) -> float:
    """Share of the K answers that are as near as the true ones: ties are no misses."""
    return float((np.asarray(found, dtype=np.int64) <= truth[:, -1:]).mean())


def memory_bandwidth(n_bytes: int = 1 << 28, rounds: int = 5) -> float:
    """GB/s at which one thread reads memory: the limit of a single query on large databases."""
    numbers = np.ones(n_bytes // 8, dtype=np.int64)
    seconds = min(interleaved([numbers.sum], rounds)[0])
    return round(n_bytes / float(seconds) / 1e9, 1)


def conditions() -> dict[str, Any]:
    """What the machine was like at the end of the run."""
    return {
        "memory_gigabytes_per_second": memory_bandwidth(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }


def _setup(faiss: Any, out_dir: str | Path, quick: bool) -> dict[str, Any]:
    forced = os.environ.get("ISOHASH_ISA", "")
    command = f"isohash bench search{' --quick' if quick else ''} --out {out_dir}"
    packages = ("isohash", "numpy", "faiss-cpu", "usearch", "matplotlib")
    chooses = hasattr(faiss, "SIMDConfig")
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "level": engine_info().level,
        "faiss_level": faiss.SIMDConfig.get_level_name() if chooses else None,
        "faiss_options": faiss.get_compile_options().split(),
        "versions": {name: _version(name) for name in packages},
        "seed": SEED,
        "k": K,
        "command": f"ISOHASH_ISA={forced} {command}" if forced else command,
    }


def write(out: Path, name: str, rows: Sequence[Measurement], facts: dict[str, Any]) -> None:
    """The table as CSV, its conditions as JSON; with matplotlib, the ratios as a figure."""
    write_results(out, name, [asdict(row) for row in rows], {"conditions": facts})
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(8, 0.3 * len(rows) / 2 + 2), layout="constrained")
    _draw(figure.subplots(), [row for row in rows if row.method.startswith("isohash")])
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    write_whole(out / f"{name}.png", picture.getvalue())


def _draw(axes: Any, rows: Sequence[Measurement]) -> None:
    names = [
        f"{row.kind} {row.length} x {row.n:,}, batch {row.batch}, {row.threads} thr. "
        f"({row.method.removeprefix('isohash ')})"
        for row in rows
    ]
    axes.barh(names, [row.ratio for row in rows])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("queries per second, as a multiple of FAISS IndexBinaryFlat")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
