"""How often 95 % intervals hold among the nearest by code, by rank: a table of docs/hashing.md.

    python benchmarks/coverage.py DATA --out docs/numbers

DATA is the folder that holds `openkbp` and `mnist`. Half of a database fits the hash, the other
half calibrates it, as `isohash index` does; 400 rows of other patients (or of the test set) are
asked, and their true distances are compared with the intervals told with the nearest by code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hash_families import N_DATABASE, N_QUERIES, digest, load_grouped
from numpy.typing import NDArray

from isohash import Calibration, make_hasher
from isohash.evaluation.kit.results import write_results
from isohash.index.flat import distances

LENGTHS = (128, 256, 512, 1024)
RANKS = (1, 10, 50)  # coverage among so many of the nearest
DIM = 48  # of the drawn data
Rows = NDArray[np.float32]
Data = tuple[Rows, Rows, NDArray[np.int64] | None]  # database, queries, patients of the database


def digits(data: Path, rng: np.random.Generator) -> Data:
    """Pixels of MNIST in 0..1."""
    with np.load(data / "mnist" / "mnist.npz") as file:
        found = []
        for name, n in (("x_train", N_DATABASE), ("x_test", N_QUERIES)):
            chosen = rng.choice(len(file[name]), n, replace=False)
            found.append((file[name][chosen].reshape(n, -1) / 255).astype(np.float32))
    return found[0], found[1], None


def drawn(draw: Callable[[np.random.Generator, int], Any], rng: np.random.Generator) -> Data:
    """Rows of a distribution."""
    rows = np.asarray(draw(rng, N_DATABASE + N_QUERIES), dtype=np.float32)
    return rows[:N_DATABASE], rows[N_DATABASE:], None


def sets(data: Path, seed: int) -> dict[str, Callable[[], Data]]:
    """What is measured, by name."""

    def rng() -> np.random.Generator:
        return np.random.default_rng(seed)

    return {
        "CT": lambda: load_grouped(data, "ct", seed),
        "dose": lambda: load_grouped(data, "dose", seed),
        "MNIST": lambda: digits(data, rng()),
        "lattice (0 and 1)": lambda: drawn(lambda r, n: r.random((n, DIM)) < 0.1, rng()),
        "heavy tails (t, 2)": lambda: drawn(lambda r, n: r.standard_t(2, (n, DIM)), rng()),
    }


def coverage(name: str, rows: Data, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each length of code: the share that holds, by rank, and the half width."""
    database, queries, groups = rows
    order = np.random.default_rng(seed).permutation(len(database))
    if groups is not None:  # whole patients on either side
        order = order[np.argsort(groups[order] % 2, kind="stable")]
    fitted, held = np.array_split(order, 2)
    squared = (queries**2).sum(1)[:, None] + (database**2).sum(1) - 2 * queries @ database.T
    true = np.sqrt(np.maximum(squared, 0))
    for bits in LENGTHS:
        hash_ = make_hasher(bits, random_state=seed).fit(database[fitted]).hash_
        own = None if groups is None else groups[held]
        rng = np.random.default_rng(seed)
        calibration = Calibration.fit(hash_, database[held], rng, groups=own)
        counts = np.asarray(distances(hash_.encode(queries), hash_.encode(database)))
        near = np.argsort(counts, axis=1, kind="stable")[:, : max(RANKS)]
        told = calibration.estimate(np.take_along_axis(counts, near, axis=1))
        exact = np.take_along_axis(true, near, axis=1)
        holds = (told.low <= exact) & (exact <= told.high)
        every = calibration.estimate(counts)
        half = (told.high - told.low) / 2 / np.maximum(told.estimate, 1e-12)
        found = {f"top {k}": round(float(holds[:, :k].mean()), 4) for k in RANKS}
        found["all"] = round(float(((every.low <= true) & (true <= every.high)).mean()), 4)
        yield {"data": name, "bits": bits, **found, "half width": round(float(np.median(half)), 5)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder that holds openkbp and mnist")
    parser.add_argument("--of", nargs="*", help="data sets, by the beginning of their names [all]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    options = parser.parse_args()
    rows = []
    for name, load in sets(options.data, options.seed).items():
        if options.of and not name.startswith(tuple(options.of)):
            continue
        for row in coverage(name, load(), options.seed):
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    about = {"seed": options.seed, "data": digest(options.data), "queries": N_QUERIES}
    write_results(options.out, "coverage", rows, {**about, "database": N_DATABASE})


if __name__ == "__main__":
    main()
