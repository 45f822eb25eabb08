"""The classification experiment: test error and time against the number of random features.

Curves: an untrained Gaussian (gamma = 1), the median heuristic, a cross-validated bandwidth,
importance sampling, particle SGD and the learned particles, all with the same linear SVM; for
context the exact RBF SVM, Nystroem features and a linear SVM on the data themselves. Finished
(data set, seed) pairs are kept in `svm-parts`, so that an interrupted experiment goes on.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.kernel_approximation import Nystroem
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits

from isohash.evaluation.classification_data import Split, Table, read_table, split_table
from isohash.evaluation.parts import Parts
from isohash.evaluation.plotting import figure
from isohash.evaluation.results import write_results
from isohash.kernels.importance import ImportanceSampledSVM
from isohash.kernels.learner import KernelLearner
from isohash.kernels.particle_sgd import ParticleSGDSVM
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import FeatureClassifier, median_kernel
from isohash.kernels.svm import RandomFeatureSVM

Progress = Callable[[int, int, str], None]
Row = dict[str, Any]

# Bandwidths that cross-validation tries, as multiples of the median heuristic's.
GRID = (0.1, 0.3, 1.0, 3.0, 10.0)
CURVES = {
    "gaussian": "untrained Gaussian (gamma = 1)",
    "median": "median heuristic",
    "cross-validated": "cross-validated bandwidth",
    "importance": "importance sampling",
    "particle-sgd": "particle SGD",
    "learned": "learned particles",
}
CONTEXT = {"svc": "exact RBF SVM", "nystroem": "Nystroem", "linear": "linear SVM"}


@dataclass(frozen=True)
class SvmSettings:
    """The experiment: data sets, sizes and the settings of the methods."""

    datasets: tuple[str, ...] = ("adult", "news", "buzz", "seizure", "seizure5", "kather")
    n_features: tuple[int, ...] = (20, 50, 100, 200, 500, 1000)
    n_seeds: int = 10
    n_train: int = 1500
    n_test: int = 2000
    C: float = 1.0
    cross_validation_features: int = 200
    n_particles: int = 100
    learner_steps: int = 1000
    sgd_steps: int = 5000
    n_candidates: int = 10_000


QUICK = SvmSettings(
    ("buzz", "seizure"), (20, 100), n_seeds=2, n_train=300, n_test=500, learner_steps=300,
    sgd_steps=300, n_candidates=1000,
)  # fmt: skip


def run(
    out_dir: str | Path,
    data_dir: str | Path,
    quick: bool = False,
    progress: Progress | None = None,
    settings: SvmSettings | None = None,
    workers: int = 2,
) -> list[Row]:
    """Run or resume the experiment; writes svm.csv, svm.json and svm.png to `out_dir`.

    `workers` processes share the (data set, seed) pairs; the errors do not depend on it.
    """
    settings = settings or (QUICK if quick else SvmSettings())
    out = Path(out_dir)
    tasks = [(name, seed) for name in settings.datasets for seed in range(settings.n_seeds)]
    digests = {name: _table(name, data_dir).digest for name in settings.datasets}
    work = partial(_part, settings=settings, data_dir=data_dir, folder=out / "svm-parts")
    rows: list[Row] = []
    for done, ((name, seed), found) in enumerate(
        zip(tasks, _each(work, tasks, workers), strict=True)
    ):
        rows += found
        if progress is not None:
            progress(done + 1, len(tasks), f"{name}, seed {seed}")
    about = {"settings": asdict(settings), "data_digests": digests, "curves": CURVES | CONTEXT,
             "summary": summary(rows)}  # fmt: skip
    write_results(out, "svm", rows, about)
    draw(rows, out / "svm.png")
    return rows


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
    """One data set and seed: read from its finished part, or measured."""
    name, seed = task
    table = _table(name, data_dir)
    shared = asdict(replace(settings, datasets=(), n_seeds=0)) | {"data": table.digest}
    measure = partial(_measured, name, seed, table, settings)
    with threadpool_limits(1):  # linear algebra threads of several workers would only compete
        return Parts(folder, shared).get(f"{name}-{seed}", measure)


@cache
def _table(name: str, data_dir: str | Path) -> Table:
    return read_table(name, data_dir)


def summary(rows: list[Row]) -> list[Row]:
    """Mean and half width of the 95 % normal interval over seeds, per data set, method and D."""
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["method"], row["n_features"]), []).append(row)
    table = []
    for (dataset, method, n_features), members in groups.items():
        entry: Row = {"dataset": dataset, "method": method, "n_features": n_features}
        for column in ("train_error", "test_error", "learning_seconds", "total_seconds"):
            values = np.array([m[column] for m in members])
            spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
            entry[column] = round(float(values.mean()), 5)
            entry[f"{column}_half_width"] = round(float(1.96 * spread), 5)
        table.append(entry)
    return table


def _measured(name: str, seed: int, table: Table, settings: SvmSettings) -> list[Row]:
    """All methods on one random split."""
    rng = np.random.default_rng([seed, len(table.classes)])
    split = split_table(table, settings.n_train, settings.n_test, rng)
    return list(_methods(name, seed, split, settings))


def _methods(name: str, seed: int, split: Split, settings: SvmSettings) -> Iterator[Row]:
    """Every method at every number of features on one split."""
    kernels = _kernels(split, seed, settings)
    for n in settings.n_features:
        models: dict[str, tuple[FeatureClassifier, float]] = {
            curve: (RandomFeatureSVM(kernel, n, settings.C, seed), seconds)
            for curve, (kernel, seconds) in kernels.items()
        }
        models["importance"] = (
            ImportanceSampledSVM(n, settings.C, seed, n_candidates=settings.n_candidates), 0.0
        )  # fmt: skip
        models["particle-sgd"] = (
            ParticleSGDSVM(n, settings.C, seed, n_steps=settings.sgd_steps), 0.0
        )  # fmt: skip
        for curve, (model, before) in models.items():
            yield {"dataset": name, "method": curve, "seed": seed, **_timed(model, before, split)}
    for curve, model in _context(split, seed, settings).items():
        start = time.perf_counter()
        model.fit(split.X_train, split.y_train)
        seconds = time.perf_counter() - start
        yield {
            "dataset": name, "method": curve, "seed": seed, "n_features": 0,
            **_errors(model, split), "learning_seconds": 0.0, "total_seconds": round(seconds, 4),
        }  # fmt: skip


def _timed(model: FeatureClassifier, before: float, split: Split) -> Row:
    """Errors and seconds; `before` was spent on the kernel, whatever the number of features."""
    start = time.perf_counter()
    model.learn_features(split.X_train, split.y_train)
    learned = time.perf_counter()
    model.fit_svm(split.X_train, split.y_train)
    done = time.perf_counter()
    return {
        "n_features": model.n_features,
        **_errors(model, split),
        "learning_seconds": round(before + learned - start, 4),
        "total_seconds": round(before + done - start, 4),
    }


def _errors(model: Any, split: Split) -> Row:
    return {
        "train_error": round(1.0 - model.score(split.X_train, split.y_train), 6),
        "test_error": round(1.0 - model.score(split.X_test, split.y_test), 6),
    }


def _kernels(
    split: Split, seed: int, settings: SvmSettings
) -> dict[str, tuple[RadialKernel, float]]:
    """The radial kernels and the seconds that each took; they serve every number of features."""
    X, y, rng = split.X_train, split.y_train, np.random.default_rng(seed)
    made: dict[str, tuple[RadialKernel, float]] = {"gaussian": (RadialKernel([1.0]), 0.0)}
    makers: dict[str, Callable[[], RadialKernel]] = {
        "median": lambda: median_kernel(X, rng),
        "cross-validated": lambda: _cross_validated(X, y, seed, settings),
        "learned": lambda: KernelLearner(
            n_particles=settings.n_particles, n_steps=settings.learner_steps, random_state=seed
        ).fit(X, y).kernel,
    }  # fmt: skip
    for curve, make in makers.items():
        start = time.perf_counter()
        kernel = make()
        made[curve] = kernel, time.perf_counter() - start
    return made


def _cross_validated(
    X: NDArray[np.float64], y: NDArray[np.int64], seed: int, settings: SvmSettings
) -> RadialKernel:
    model = RandomFeatureSVM(
        n_features=settings.cross_validation_features, C=settings.C, random_state=seed
    )
    search = GridSearchCV(model, {"kernel": _bandwidths(X, seed)}, cv=_folds(seed), refit=False)
    return search.fit(X, y).best_params_["kernel"]


def _bandwidths(X: NDArray[np.float64], seed: int) -> list[RadialKernel]:
    typical = float(median_kernel(X, np.random.default_rng(seed)).particles[0])
    return [RadialKernel([factor * typical]) for factor in GRID]


def _folds(seed: int) -> StratifiedKFold:
    return StratifiedKFold(3, shuffle=True, random_state=seed)


def _context(split: Split, seed: int, settings: SvmSettings) -> dict[str, Any]:
    gammas = [float(k.particles[0]) for k in _bandwidths(split.X_train, seed)]
    n_components = min(max(settings.n_features), len(split.X_train))
    typical = gammas[GRID.index(1.0)]
    return {
        "svc": GridSearchCV(SVC(C=settings.C), {"gamma": gammas}, cv=_folds(seed)),
        "nystroem": make_pipeline(
            Nystroem(gamma=typical, n_components=n_components, random_state=seed),
            LinearSVC(C=settings.C, dual=False),
        ),
        "linear": LinearSVC(C=settings.C, dual=False, max_iter=5000),
    }


def draw(rows: list[Row], path: Path) -> None:
    """Two rows of panels, one column per data set: test error and seconds of learning over D."""
    table = summary(rows)
    names = list(dict.fromkeys(row["dataset"] for row in rows))
    with figure(
        path, 2.8 * len(names) + 2.2, 5.6, nrows=2, ncols=len(names), squeeze=False, sharex=True
    ) as (drawing, axes):
        for column, name in enumerate(names):
            mine = [row for row in table if row["dataset"] == name]
            _draw_errors(axes[0, column], name, mine)
            _draw_seconds(axes[1, column], mine)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside right upper", fontsize=8)
        axes[0, 0].set_ylabel("test error")
        axes[1, 0].set_ylabel("seconds to learn the kernel")


def _draw_errors(axis: Any, name: str, rows: list[Row]) -> None:
    for number, (method, label) in enumerate(CURVES.items()):
        mine = [row for row in rows if row["method"] == method]
        axis.errorbar(
            [r["n_features"] for r in mine],
            [r["test_error"] for r in mine],
            [r["test_error_half_width"] for r in mine],
            label=label, color=f"C{number}", marker=".", linewidth=1,
        )  # fmt: skip
    for style, (method, label) in zip((":", "--", "-."), CONTEXT.items(), strict=True):
        for r in rows:
            if r["method"] == method:
                axis.axhline(
                    r["test_error"], label=label, color="grey", linestyle=style, linewidth=1
                )
    axis.set_title(name, fontsize=9)
    axis.set_xscale("log")
    axis.xaxis.set_minor_formatter("")
    axis.set_ylim(bottom=0)


def _draw_seconds(axis: Any, rows: list[Row]) -> None:
    for number, method in enumerate(CURVES):
        mine = [row for row in rows if row["method"] == method]
        if method not in ("gaussian", "median"):  # nothing is learned there
            axis.plot(
                [r["n_features"] for r in mine],
                [r["learning_seconds"] for r in mine],
                color=f"C{number}", marker=".", linewidth=1,
            )  # fmt: skip
    axis.set_yscale("log")
    axis.set_xlabel("random features D")
