"""The classification experiment: test error and time against the number of random features.

The compared methods are those of `svm_methods`, the data sets those of `classification_data`; the
synthetic example of importance sampling's authors is drawn beside them (`importance_example`).
Finished (data set, seed) pairs are kept in `svm-parts`, so that an interrupted experiment goes on.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from isohash.evaluation.kit.parts import Parts, Row, work_folder
from isohash.evaluation.kit.plotting import check_drawing
from isohash.evaluation.kit.results import write_csv, write_results
from isohash.evaluation.svm.classification_data import Table, read_table, split_table
from isohash.evaluation.svm.figure import draw
from isohash.evaluation.svm.importance_example import example_rows, example_summary
from isohash.evaluation.svm.methods import CONTEXT, CURVES, MethodSettings, measure, timed
from isohash.progress import Progress, tell

EXAMPLE = "importance-example"  # stands beside the data sets among the tasks


@dataclass(frozen=True)
class SvmSettings:
    """The experiment: data sets, sizes, draws and the settings of the methods."""

    datasets: tuple[str, ...] = ("adult", "news", "buzz", "seizure", "seizure5", "kather")
    n_features: tuple[int, ...] = (20, 50, 100, 200, 500, 1000)
    n_seeds: int = 10
    n_train: int = 1500
    n_test: int = 2000
    n_examples: int = 10
    example_candidates: int = 20_000
    methods: MethodSettings = field(default_factory=MethodSettings)


QUICK = SvmSettings(
    ("buzz", "seizure"), (20, 100), n_seeds=2, n_train=300, n_test=500, n_examples=2,
    example_candidates=2000,
    methods=MethodSettings(learner_steps=300, sgd_steps=300, n_candidates=1000),
)  # fmt: skip


def run(
    out_dir: str | Path,
    data_dir: str | Path,
    quick: bool = False,
    progress: Progress | None = None,
    settings: SvmSettings | None = None,
    workers: int = 2,
    work: str | Path | None = None,
) -> list[Row]:
    """Run or resume the experiment and return what was measured, row by row.

    Writes svm.csv, svm.json and svm.png (means over the seeds), svm-runs.csv (every row) and
    importance-example.csv and .json. `workers` processes share the (data set, seed) pairs; the
    errors do not depend on it. Finished parts are kept in `work` (see `work_folder`).
    """
    check_drawing()
    settings = settings or (QUICK if quick else SvmSettings())
    out = Path(out_dir)
    digests = {name: _table(name, data_dir).digest for name in settings.datasets}
    tasks = [(name, seed) for seed in range(settings.n_seeds) for name in settings.datasets]
    tasks += [(EXAMPLE, seed) for seed in range(settings.n_examples)]
    folder = work_folder(out, work) / "svm-parts"
    measure = partial(_part, settings=settings, data_dir=data_dir, folder=folder)
    found: dict[str, list[Row]] = {name: [] for name in (*settings.datasets, EXAMPLE)}
    seconds = 0.0
    for done, ((name, seed), (*rows, last)) in enumerate(
        zip(tasks, _each(measure, tasks, workers), strict=True)
    ):
        found[name] += rows
        seconds += last["seconds"]
        tell(progress, done + 1, len(tasks), f"{name}, seed {seed}")
    example = found.pop(EXAMPLE)
    rows = [row for name in settings.datasets for row in found[name]]
    about = {"settings": asdict(settings), "seconds": round(seconds, 1)}
    _write(out, rows, about | {"data_digests": digests, "curves": CURVES | CONTEXT})
    if len(example) > 1:
        write_results(out, EXAMPLE, example_summary(example), about)
        write_csv(out / f"{EXAMPLE}-draws.csv", example)
    return rows


def _write(out: Path, rows: list[Row], about: Row) -> None:
    table = summary(rows)
    write_results(out, "svm", table, about)
    write_csv(out / "svm-runs.csv", rows)
    draw(table, out / "svm.png")


def _each(
    work: Callable[[tuple[str, int]], list[Row]], tasks: list[tuple[str, int]], workers: int
) -> Iterator[list[Row]]:
    """The results of the tasks in their order."""
    if workers == 1:
        yield from map(work, tasks)
        return
    # A fresh interpreter each: forking a process that has threads can hang.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, tasks)


def _part(
    task: tuple[str, int], settings: SvmSettings, data_dir: str | Path, folder: Path
) -> list[Row]:
    """One data set and seed, read from its finished part or measured; the last row is the time."""
    name, seed = task
    with threadpool_limits(1):  # linear algebra threads of several workers would only compete
        if name == EXAMPLE:
            candidates = settings.example_candidates
            work = partial(example_rows, seed, candidates)
            parts = Parts(folder, {"candidates": candidates})
            return parts.get(f"{name}-{seed}", partial(_clocked, work))
        table = _table(name, data_dir)
        measured = replace(settings, datasets=(), n_seeds=0, n_examples=0, example_candidates=0)
        work = partial(_measured, name, seed, table, settings)
        parts = Parts(folder, asdict(measured) | {"data": table.digest})
        return parts.get(f"{name}-{seed}", partial(_clocked, work))


def _clocked(work: Callable[[], list[Row]]) -> list[Row]:
    """The rows of `work`, and one row more: the processor seconds that it took."""
    rows, seconds = timed(work)
    return [*rows, {"seconds": round(seconds, 2)}]


@cache
def _table(name: str, data_dir: str | Path) -> Table:
    return read_table(name, data_dir)


def _measured(name: str, seed: int, table: Table, settings: SvmSettings) -> list[Row]:
    """All methods on one random split."""
    rng = np.random.default_rng([seed, len(table.classes)])
    split = split_table(table, settings.n_train, settings.n_test, rng)
    rows = measure(split, seed, settings.n_features, settings.methods)
    return [{"dataset": name, "seed": seed, **row} for row in rows]


def summary(rows: list[Row]) -> list[Row]:
    """Mean and half width of the 95 % normal interval over seeds, per data set, method and D.

    `over_importance` and `over_particle_sgd` are the mean difference of the test error to that
    method's at the same D and seed, with its half width: negative is better.
    """
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["method"], row["n_features"]), []).append(row)
    table = []
    for (dataset, method, n), members in groups.items():
        entry: Row = {"dataset": dataset, "method": method, "n_features": n}
        entry["n_used"] = round(float(np.mean([m["n_used"] for m in members])), 1)
        for column in ("train_error", "test_error", "learning_seconds", "total_seconds"):
            _add(entry, column, np.array([m[column] for m in members]))
        entry["median_learning_seconds"] = float(
            np.median([m["learning_seconds"] for m in members])
        )
        for rival in ("importance", "particle-sgd"):
            theirs = {m["seed"]: m["test_error"] for m in groups.get((dataset, rival, n), [])}
            if theirs and method != rival:
                gaps = np.array([m["test_error"] - theirs[m["seed"]] for m in members])
                _add(entry, f"over_{rival.replace('-', '_')}", gaps)
        table.append(entry)
    return table


def _add(entry: Row, name: str, values: np.ndarray) -> None:
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    entry[name] = round(float(values.mean()), 5)
    entry[f"{name}_half_width"] = round(float(1.96 * spread), 5)


def error_table(table: list[Row]) -> list[Row]:
    """Test errors of a summary in per cent with their half widths: a row a method, a column a D.

    Methods without features have their one error in the first column.
    """
    sizes = sorted({row["n_features"] for row in table if row["n_features"]})
    lines: dict[tuple[str, str], Row] = {}
    for row in table:
        key = (row["dataset"], row["method"])
        line = lines.setdefault(key, {"dataset": key[0], "method": key[1]})
        error, half = 100 * row["test_error"], 100 * row["test_error_half_width"]
        line[str(row["n_features"] or sizes[0])] = f"{error:.1f} ± {half:.1f}"
    return list(lines.values())
