"""How often 95 % intervals hold among the nearest by code, by rank: a table of docs/hashing.md.

    python benchmarks/coverage.py DATA --out docs/numbers

DATA is the folder that holds `openkbp` and `mnist`. Half of a database fits the hash, the other
half calibrates it, as `isohash index` does; 400 rows of other patients (or of the test set) are
asked, and their true distances are compared with the intervals told with the nearest by code.

    python benchmarks/coverage.py DATA --plans ARCHIVE --out docs/numbers

asks instead how often those of distances by plan hold (a table of docs/planning.md): intervals are
learned from half of the plans of an archive, told of the predicted doses of the others.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hash_families import N_DATABASE, N_QUERIES, digest, load_grouped
from numpy.typing import NDArray

from isohash import Calibration, make_hasher
from isohash.archive.store import CaseStore
from isohash.dosimetry.plan_distance import differences, plan_distances, with_unknown
from isohash.evaluation.kit.results import read_results, write_results
from isohash.features.encoders.plan import expected_curves
from isohash.index.flat import distances
from isohash.retrieval.building.dose_keeping import all_misses

LENGTHS = (128, 256, 512, 1024)
RANKS = (1, 10, 50)  # coverage among so many of the nearest
PLAN_RANKS = (1, 5, 10)
ROOT = Path(__file__).resolve().parents[1]
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


def plans(archive: Path, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each half of an archive's plans: the share of the intervals that holds, by rank."""
    with CaseStore.open(archive) as store:
        misses = all_misses(store)
    predicted, planned = (
        np.array([getattr(one, name) for one in misses]) for name in ("predicted", "planned")
    )
    order = np.random.default_rng(seed).permutation(len(misses))
    for name, past, new in (
        ("first", order[::2], order[1::2]),
        ("second", order[1::2], order[::2]),
    ):
        at, low, _, high = expected_curves(predicted[past], planned[past])
        told = np.array(
            [with_unknown(*differences(one, planned[past])).mean(axis=0) for one in predicted[new]]
        )
        true = plan_distances(planned[new], planned[past])
        told[np.isnan(told) | np.isnan(true)] = np.inf
        near = np.argsort(told, axis=1, kind="stable")[:, : max(PLAN_RANKS)]
        told, true = (np.take_along_axis(one, near, axis=1) for one in (told, true))
        low, high = np.minimum(np.interp(told, at, low), told), np.interp(told, at, high)
        holds = (low <= true) & (true <= np.maximum(high, told))
        shares = {f"{k} nearest": round(float(holds[:, :k].mean()), 4) for k in PLAN_RANKS}
        yield {"learned from": f"{name} half", "plans": len(new), **shares}


def table(rows: list[dict[str, Any]], labels: int) -> str:
    """Rows as a table; all but the first `labels` columns are shares, told in percent."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in rows:
        shares = (f"{100 * float(row[name]):.3g}" for name in names[labels:])
        lines.append("| " + " | ".join([*(str(row[n]) for n in names[:labels]), *shares]) + " |")
    return "\n".join(lines)


def tell(page: str, mark: str, text: str) -> None:
    """Replace what stands between two marks of a page."""
    path, body = ROOT / "docs" / page, f"<!-- {mark} -->\n{text}\n<!-- /{mark} -->"
    pattern = rf"<!-- {mark} -->.*?<!-- /{mark} -->"
    path.write_text(re.sub(pattern, lambda _: body, path.read_text(), flags=re.DOTALL))


def tell_again(out: Path) -> None:
    """Both tables, of what was measured last."""
    for name, page, labels in (("coverage", "hashing.md", 2), ("plan_coverage", "planning.md", 2)):
        if (out / f"{name}.csv").exists():
            about = read_results(out, name)
            made = f"{about['machine']['processor']}, seed {about['seed']}."
            tell(page, name, f"{table(about['rows'], labels)}\n\n{made}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder that holds openkbp and mnist")
    parser.add_argument("--of", nargs="*", help="data sets, by the beginning of their names [all]")
    parser.add_argument("--plans", type=Path, help="an archive of plans, to ask it instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    options = parser.parse_args()
    if options.plans is not None:
        found = list(plans(options.plans, options.seed))
        write_results(options.out, "plan_coverage", found, {"seed": options.seed})
        tell_again(options.out)
        return
    rows = []
    for name, load in sets(options.data, options.seed).items():
        if options.of and not name.startswith(tuple(options.of)):
            continue
        for row in coverage(name, load(), options.seed):
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    about = {"seed": options.seed, "data": digest(options.data), "queries": N_QUERIES}
    write_results(options.out, "coverage", rows, {**about, "database": N_DATABASE})
    tell_again(options.out)


if __name__ == "__main__":
    main()
