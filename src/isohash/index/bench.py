"""Search speed against the peers that are installed, as ratios measured side by side.

All methods of a cell run in turn, round after round, in one process with the same number of
threads; a ratio is the median over rounds, so what disturbs the machine disturbs all alike. Before
a cell is timed its distances are compared with those of the peers.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import MissingExtra
from isohash.index.engine import engine_info
from isohash.index.flat import FlatIndex
from isohash.index.layout import thermometer
from isohash.index.multi_index import MultiIndex
from isohash.machine import processor_name
from isohash.records import Codes

Progress = Callable[[int, int, str], None]
Search = Callable[[], Any]

SEED = 20260101
K = 10

# A timed slice repeats its search until it lasts this long, to be well above the clock's step.
SLICE_SECONDS = 0.03


@dataclass(frozen=True)
class Cell:
    """One measurement: `n` codes, `batch` queries at a time, `threads` threads.

    `kind` is `flat` (bit codes), `lee` (q-ary codes of `length` symbols), `tables` (multi-index
    hashing) or `graphs` (approximate peers on clustered codes, for context).
    """

    kind: str
    length: int
    n: int
    batch: int
    threads: int
    q: int = 2


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
    recall: float


def cells(quick: bool, cores: int) -> list[Cell]:
    """The cells to measure; `quick` leaves out what takes long or much memory."""
    sizes = [(512, 7_000), (1024, 7_000), (4096, 7_000), (512, 100_000), (1024, 100_000)]
    sizes += [(4096, 20_000)] if quick else [(4096, 100_000), (512, 1_000_000), (4096, 1_000_000)]
    chosen = [
        Cell("flat", bits, n, batch, 1) for bits, n in sizes for batch in (1, 100 if quick else 400)
    ]
    two = min(2, cores)
    chosen += [Cell("flat", bits, n, batch, two) for bits, n in sizes[-2:] for batch in (1, 400)]
    chosen += [Cell("lee", 1024, 5_000 if quick else 100_000, batch, 1, 10) for batch in (1, 100)]
    largest = [20_000, 200_000] if quick else [10_000, 100_000, 1_000_000, 8_000_000]
    chosen += [Cell("tables", 64, n, 1, 1) for n in largest]
    return [*chosen, Cell("graphs", 512, 5_000 if quick else 100_000, 100, 1)]


def run_search_bench(
    out_dir: str | Path, quick: bool = False, progress: Progress | None = None
) -> list[Measurement]:
    """Measure every cell and write search.csv, search.json and, with matplotlib, search.png."""
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    faiss = _faiss()
    chosen = cells(quick, os.cpu_count() or 1)
    rows: list[Measurement] = []
    for done, cell in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen), f"{cell.kind} {cell.length} x {cell.n}, batch {cell.batch}")
        rows += measure(cell, faiss, rounds=5 if quick else 15)
    if progress is not None:
        progress(len(chosen), len(chosen), "writing")
    write(out, rows, conditions(faiss))
    return rows


def measure(cell: Cell, faiss: Any, rounds: int) -> list[Measurement]:
    """All methods of one cell, interleaved. The first is the peer that ratios refer to."""
    faiss.omp_set_num_threads(cell.threads)
    rng = np.random.default_rng([SEED, cell.length, cell.n, cell.batch])
    database, queries = problem(cell, rng)
    methods = {"flat": flat_methods, "tables": table_methods, "graphs": graph_methods}
    searches = methods.get(cell.kind, flat_methods)(cell, database, queries, faiss)
    truth = FlatIndex.of(database, cell.threads).search(queries, K).distances
    recalls = {name: recall_by_distance(search(), truth) for name, search in searches.items()}
    times = interleaved(list(searches.values()), rounds)
    first = times[0]
    row_bytes = database.packed.shape[1]
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
            gigabytes_per_second=round(
                cell.batch * cell.n * row_bytes / float(np.median(taken)) / 1e9, 2
            ),
            ratio=round(float(np.median(first / taken)), 3),
            recall=round(recalls[name], 4),
        )
        for name, taken in zip(searches, times, strict=True)
    ]


def problem(cell: Cell, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """Uniform codes, whose scan costs what any codes cost; clustered ones for the graphs."""
    if cell.kind == "lee":
        draw = [rng.integers(0, cell.q, (n, cell.length)) for n in (cell.n, cell.batch)]
        return Codes.from_symbols(draw[0], cell.q), Codes.from_symbols(draw[1], cell.q)
    n_bytes = cell.length // 8
    if cell.kind != "graphs":
        draw8 = [rng.integers(0, 256, (n, n_bytes), np.uint8) for n in (cell.n, cell.batch)]
        return Codes(draw8[0], cell.length), Codes(draw8[1], cell.length)
    centres = rng.integers(0, 256, (max(1, cell.n // 50), n_bytes), np.uint8)
    members = centres[rng.integers(0, len(centres), cell.n + cell.batch)]
    # And-ing three random bytes flips an eighth of the bits.
    flips = [rng.integers(0, 256, members.shape, np.uint8) for _ in range(3)]
    codes = Codes(members ^ (flips[0] & flips[1] & flips[2]), cell.length)
    return codes[: cell.n], codes[cell.n :]


def flat_methods(cell: Cell, database: Codes, queries: Codes, faiss: Any) -> dict[str, Search]:
    """FAISS's flat scan, ours, and the other exact scans that are installed."""
    rows, wanted = database.packed, queries.packed
    if cell.kind == "lee":  # FAISS knows no Lee distance: it gets the same thermometer bits
        rows, wanted = (_thermometer_rows(codes) for codes in (database, queries))
    peer = faiss.IndexBinaryFlat(8 * rows.shape[1])
    peer.add(rows)
    index = FlatIndex.of(database, cell.threads)
    searches: dict[str, Search] = {
        "faiss IndexBinaryFlat": lambda: peer.search(wanted, K)[0],
        f"isohash {engine_info().level}": lambda: index.search(queries, K).distances,
    }
    if cell.kind == "flat":
        searches |= _usearch(database, queries, cell.threads)
    return searches


def table_methods(cell: Cell, database: Codes, queries: Codes, faiss: Any) -> dict[str, Search]:
    """Multi-index hashing against both flat scans."""
    searches = flat_methods(cell, database, queries, faiss)
    tables = MultiIndex.of(database, cell.threads)
    searches["isohash multi-index"] = lambda: tables.search(queries, K).distances
    return searches


def graph_methods(cell: Cell, database: Codes, queries: Codes, faiss: Any) -> dict[str, Search]:
    """FAISS's approximate indexes, with their recall."""
    searches = flat_methods(cell, database, queries, faiss)
    graph = faiss.IndexBinaryHNSW(cell.length, 16)
    graph.add(database.packed)
    graph.hnsw.efSearch = 64
    searches["faiss HNSW16 ef 64"] = lambda: graph.search(queries.packed, K)[0]
    quantizer = faiss.IndexBinaryFlat(cell.length)
    lists = faiss.IndexBinaryIVF(quantizer, cell.length, int(cell.n**0.5))
    lists.train(database.packed)
    lists.add(database.packed)
    lists.nprobe = 16
    searches["faiss IVF nprobe 16"] = lambda: lists.search(queries.packed, K)[0]
    buckets = faiss.IndexBinaryMultiHash(cell.length, 8, 14)
    buckets.add(database.packed)
    searches["faiss MultiHash 8x14"] = lambda: buckets.search(queries.packed, K)[0]
    return searches


def interleaved(searches: Sequence[Search], rounds: int) -> list[NDArray[np.float64]]:
    """Seconds per search of each, shape (rounds,); all are timed in every round."""
    repeats = []
    for search in searches:
        start = time.perf_counter()
        search()
        repeats.append(max(1, int(SLICE_SECONDS / (time.perf_counter() - start))))
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


def conditions(faiss: Any) -> dict[str, Any]:
    """What the numbers depend on."""
    info = engine_info()
    packages = ("isohash", "numpy", "faiss-cpu", "usearch", "matplotlib")
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "level": info.level,
        "faiss_options": faiss.get_compile_options().split(),
        "versions": {name: _version(name) for name in packages},
        "seed": SEED,
        "k": K,
        "memory_gigabytes_per_second": memory_bandwidth(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }


def write(out: Path, rows: Sequence[Measurement], facts: dict[str, Any]) -> None:
    """The table as CSV, everything as JSON, the ratios as a figure where matplotlib is there."""
    table = [asdict(row) for row in rows]
    with (out / "search.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    text = json.dumps({"conditions": facts, "measurements": table}, indent=1)
    (out / "search.json").write_text(text + "\n")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(8, 0.3 * len(rows) / 2 + 2), layout="constrained")
    _draw(figure.subplots(), [row for row in rows if row.method.startswith("isohash")])
    figure.savefig(out / "search.png", dpi=150)


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


def _faiss() -> Any:
    # Its threads spin by default and would slow down whoever runs in between.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import faiss
    except ImportError:
        raise MissingExtra("bench", "comparing search speed with FAISS") from None
    return faiss


def _usearch(database: Codes, queries: Codes, threads: int) -> dict[str, Search]:
    try:
        from usearch.index import MetricKind, search
    except ImportError:
        return {}

    def exact() -> NDArray[Any]:
        found = search(
            database.packed, queries.packed, K, MetricKind.Hamming, exact=True, threads=threads
        )
        return np.atleast_2d(found.distances)

    return {"usearch exact": exact}


def _thermometer_rows(codes: Codes) -> NDArray[np.uint8]:
    """Thermometer bits, in parts: the unpacked symbols are large."""
    step = 4096
    parts = [
        thermometer(codes[start : start + step].symbols(), codes.q)
        for start in range(0, len(codes), step)
    ]
    return np.concatenate(parts)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
