"""What a query of cases costs as an archive grows: python benchmarks/archive_size.py [--out DIR].

Synthetic archives of 100 to 20,000 cases of 100 slices, CT and dose, with the default codes
(adaptive, 1,024 bits). Slices of a case drift, so that neighbours are alike; cases come in
families. For each size one process opens the archive and asks it for ten cases with a query of 100
slices, jointly, by code. Told are processor seconds of the first question, of another alpha and of
filters, and the private memory that asking took at its peak (the mapped codes are not counted).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.recipe import IndexSettings
from isohash.archive.store import CaseStore
from isohash.evaluation.kit.results import write_results
from isohash.features.cases.kind import VIEWS
from isohash.features.encoders.downsampled import DownsampledEncoder
from isohash.retrieval.building.fitting import fit_model
from isohash.retrieval.engine import Archive
from isohash.retrieval.models import model_files
from isohash.retrieval.pipeline import as_stored

SIZES = (100, 300, 1000, 3000, 10_000, 20_000)
SLICES, DIM, FAMILIES, SAMPLED = 100, 128, 40, 80
SPECTRUM = 1.0 / np.sqrt(1.0 + np.arange(DIM))  # as of real embeddings, variance falls along axes
DRIFT = 0.15
K = 10
WHERE = "prescription_gy >= 66 and technique == 'ARC'"


def main() -> None:
    """Measure each size in a process of its own, and write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=None, help="keep the archives here")
    parser.add_argument("--one", type=Path, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measured(given.one, given.seed)))
        return
    with tempfile.TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        rows = [row_of(work, n, given.seed) for n in given.sizes]
    about = {"slices": SLICES, "bits": IndexSettings().bits, "k": K, "seed": given.seed}
    write_results(given.out, "archive-size", rows, about)
    draw(rows, given.out / "archive-size.png")


def row_of(work: Path, n_cases: int, seed: int) -> dict[str, Any]:
    """One size: an archive, made where it is not there, asked in a new process."""
    archive = work / f"cases-{n_cases}"
    if not archive.exists():
        make(archive, n_cases, seed)
    command = [sys.executable, __file__, "--one", str(archive), "--seed", str(seed)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row = {"cases": n_cases, **json.loads(done.stdout)}
    print(row, file=sys.stderr)
    return row


def make(path: Path, n_cases: int, seed: int) -> None:
    """An archive of drifting slices, hashed as `isohash index` hashes."""
    rng = np.random.default_rng([seed, n_cases])
    centres = rng.standard_normal((FAMILIES, DIM)) * SPECTRUM
    sample = np.concatenate([stack(rng, centres) for _ in range(SAMPLED)])
    settings = IndexSettings(embeddings=False)
    model = fit_model(sample[: len(sample) // 2], sample[len(sample) // 2 :], settings)
    encoder = DownsampledEncoder()
    recipe = {
        "kind": "cases",
        "settings": settings.to_json(),
        "slices": settings.slices.to_json(),
        "near": dict.fromkeys(VIEWS, model.near),
        "encoders": dict.fromkeys(VIEWS, encoder.name),
        "digests": {},
        "versions": {},
    }
    files = {f"encoder-{view}": encoder.to_bytes() for view in VIEWS}
    for view in VIEWS:
        files |= model_files(view, model)
    before = model.hash.encode(stack(rng, centres)).packed
    with CaseStore.create(path, recipe, files) as store:
        for case in range(n_cases):
            codes = model.hash.encode(stack(rng, centres)).packed
            store.put(f"case-{case:05d}", facts(case), arrays(codes, before))
            before = codes
            if case % 1000 == 999:
                store.compact()
        store.compact()


def stack(rng: np.random.Generator, centres: NDArray[np.float64]) -> NDArray[np.float32]:
    """Slices (SLICES, DIM) of a case of some family: a walk about the family's centre."""
    steps = rng.standard_normal((SLICES, DIM)) * SPECTRUM * DRIFT
    own = rng.standard_normal(DIM) * SPECTRUM / 2
    found = centres[rng.integers(FAMILIES)] + own + np.cumsum(steps, axis=0)
    return as_stored(found.astype(np.float32))


def arrays(ct: NDArray[np.uint8], dose: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """What an archive keeps of a case that is asked by its codes."""
    rows = np.arange(SLICES)
    return {
        "slice.index": rows,
        "slice.z_mm": -3.0 * rows,
        "slice.row.ct": rows,
        "slice.row.dose": rows,
        "codes.ct": ct,
        "codes.dose": dose,
    }


def facts(case: int) -> dict[str, Any]:
    """As many as of a real case."""
    return {
        "patient": f"patient-{case:05d}",
        "label": None,
        "prescription_gy": (50.0, 60.0, 66.0, 70.0)[case % 4],
        "n_fractions": (25, 30, 33, 35)[case % 4],
        "technique": "STATIC" if case % 3 else "ARC",
        "warnings": [],
        "structures": ["Brainstem", "Parotid_L", "Parotid_R", "PTV70", "SpinalCord"],
        "n_structures": 5,
        "n_slices": SLICES,
        "n_dose_slices": SLICES,
        "size": 128,
    }


def measured(path: Path, seed: int) -> dict[str, Any]:
    """Seconds and memory of opening and asking one archive, in this process."""
    start = time.process_time()
    with Archive.open(path) as archive:
        query = np.random.default_rng(seed).integers(len(archive))
        before, peak = private_mb(), Peak()
        session = archive.session(f"case-{query:05d}")
        opened = time.process_time()
        first = session.ask(K, by="joint", rerank=0)
        told = {
            "open_s": opened - start,
            "first_s": time.process_time() - opened,
            "alpha_s": spent(lambda: session.ask(K, alpha=0.6, rerank=0)),
            "filter_s": spent(lambda: session.ask(K, by="joint", rerank=0, where=WHERE)),
            "one_filter_more_s": spent(
                lambda: session.ask(K, by="joint", rerank=0, where="prescription_gy < 60")
            ),
            "private_mb": peak.stop() - before,
            "codes_mb": sum(c.packed.nbytes for c in archive.contents.columns.codes.values()) / 1e6,
        }
        assert len(first) == K
    return {name: round(value, 4) for name, value in told.items()}


def spent(ask: Callable[[], object]) -> float:
    """Processor seconds of a call."""
    start = time.process_time()
    ask()
    return time.process_time() - start


def private_mb() -> float:
    """Memory of this process that no file backs (Linux), in MB."""
    status = Path("/proc/self/status").read_text()
    found = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(found.split()[1]) / 1e3


class Peak:
    """Watches `private_mb` from a thread of its own until it is stopped."""

    def __init__(self) -> None:
        self.highest = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self.highest = max(self.highest, private_mb())

    def stop(self) -> float:
        """The highest that was seen, in MB."""
        self._done.set()
        self._thread.join()
        return max(self.highest, private_mb())


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Seconds and memory against the number of cases, both axes logarithmic."""
    from isohash.evaluation.kit.plotting import BLUE, PAGE_WIDTH, figure

    sizes = [row["cases"] for row in rows]
    with figure(path, PAGE_WIDTH, 2.8, ncols=2) as (_, (seconds, memory)):
        for name, label in (("first_s", "first question"), ("alpha_s", "another alpha")):
            seconds.loglog(sizes, [row[name] for row in rows], marker="o", label=label)
        memory.loglog(sizes, [row["private_mb"] for row in rows], marker="o", color=BLUE)
        seconds.set(xlabel="cases of 100 slices", ylabel="processor seconds")
        memory.set(xlabel="cases of 100 slices", ylabel="private memory of asking, MB")
        seconds.legend()


if __name__ == "__main__":
    main()
