"""The kernel-learning experiment: what a learned kernel is worth for retrieval, and what it costs.

Its parts: Dice of learned, untrained and tuned kernels (kernel_retrieval.py); when a mixture of
bandwidths helps (kernel_mixture.py); the particles and their limit equation (mean_field.py); what
training costs (kernel_costs.py); pictures of one draw (kernel_figures.py). Every finished part is
kept, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isohash.evaluation import kernel_costs, kernel_figures, kernel_mixture, mean_field
from isohash.evaluation.kernel_data import QUICK, KernelSettings, Vectors, read_vectors
from isohash.evaluation.kernel_retrieval import retrieval, summary
from isohash.evaluation.kernel_views import views
from isohash.evaluation.parts import Parts
from isohash.evaluation.results import write_results
from isohash.kernels.learner import KernelLearner

Progress = Callable[[int, int, str], None]
Row = dict[str, Any]


def run(
    out_dir: str | Path,
    data_dir: str | Path,
    quick: bool = False,
    progress: Progress | None = None,
    settings: KernelSettings | None = None,
) -> list[Row]:
    """Run or resume the experiment; writes kernel*.csv, .json and .png to `out_dir`."""
    settings = settings or (QUICK if quick else KernelSettings())
    out, total = Path(out_dir), len(settings.datasets) * settings.n_seeds + 4
    told = progress or (lambda done, total, message: None)
    data = {name: read_vectors(name, data_dir) for name in settings.datasets}
    digests = {name: vectors.digest for name, vectors in data.items()}
    about: Row = {"settings": asdict(settings), "data_digests": digests}
    rows: list[Row] = []
    for name, vectors in data.items():
        parts = _retrieval_parts(out, vectors, settings)
        for seed in range(settings.n_seeds):
            told(_seeds_done(rows), total, f"retrieval, {name}, seed {seed}")
            drawn = vectors.drawn(settings.n_database, settings.n_queries, seed)
            rows += parts.get(f"{name}-{seed}", partial(retrieval, name, drawn, seed, settings))
    table = summary(rows)
    write_results(out, "kernel", rows, about | {"summary": table})
    kernel_figures.draw_dice(table, out / "kernel-dice.png")
    drawn_once = {
        name: vectors.drawn(settings.n_database, settings.n_queries, 0)
        for name, vectors in data.items()
    }
    parts = Parts(out / "kernel-parts", about | {"learner": KernelLearner().get_params()})
    first = next(iter(drawn_once.values()))
    told(total - 4, total, "one draw looked at closely")
    _views(drawn_once, settings, table, parts, out, about)
    told(total - 3, total, "when a mixture helps")
    _mixture(settings, parts, out, about)
    told(total - 2, total, "the mean-field limit")
    _mean_field(first, settings, out, about)
    told(total - 1, total, "what learning costs")
    _costs(first, settings, parts, out, about)
    told(total, total, "done")
    return rows


def _seeds_done(rows: list[Row]) -> int:
    return len({(row["dataset"], row["seed"]) for row in rows})


def _retrieval_parts(out: Path, vectors: Vectors, settings: KernelSettings) -> Parts:
    fields = ("bits", "n_database", "n_queries", "k", "n_particles", "n_steps")
    asked = {name: getattr(settings, name) for name in fields}
    learner = KernelLearner().get_params()
    return Parts(out / "kernel-parts", asked | {"data": vectors.digest, "learner": learner})


def _views(
    drawn: dict[str, Vectors],
    settings: KernelSettings,
    table: list[Row],
    parts: Parts,
    out: Path,
    about: Row,
) -> None:
    found = [
        parts.get(f"views-{name}", partial(_view, name, vectors, settings, table))[0]
        for name, vectors in drawn.items()
    ]
    for kind in ("scatter", "precision-recall"):
        rows = [row for one in found for row in one[kind]]
        write_results(out, f"kernel-{kind}", rows, about)
    for name, one in zip(drawn, found, strict=True):
        path = out / f"kernel-scatter-{name}.png"
        kernel_figures.draw_scatter(one["scatter"], name, settings.bits, path)
    curves = [row for one in found for row in one["precision-recall"]]
    kernel_figures.draw_precision_recall(curves, settings.bits, out / "kernel-precision-recall.png")


def _view(name: str, vectors: Vectors, settings: KernelSettings, table: list[Row]) -> list[Row]:
    return [views(name, vectors, settings, table)]


def _mixture(settings: KernelSettings, parts: Parts, out: Path, about: Row) -> None:
    mixture = settings.mixture
    needed = parts.get("ranges", partial(kernel_mixture.bits_needed, mixture))
    read = parts.get("readings", partial(kernel_mixture.readings, mixture))
    widths: list[Row] = []
    for seed in range(settings.n_seeds):
        measure = partial(kernel_mixture.two_widths, seed, mixture, settings.n_queries, settings.k)
        widths += parts.get(f"widths-{seed}", measure)
    table = kernel_mixture.ranges_table(needed)
    write_results(out, "kernel-ranges", needed, about | {"summary": table, "readings": read})
    write_results(
        out, "kernel-widths", widths, about | {"summary": kernel_mixture.widths_table(widths)}
    )
    kernel_figures.draw_ranges(needed, read, mixture.error, out / "kernel-ranges.png")
    kernel_figures.draw_widths(widths, out / "kernel-widths.png")


def _mean_field(vectors: Vectors, settings: KernelSettings, out: Path, about: Row) -> None:
    pairs = kernel_costs.Problem(vectors).pairs.draw(
        settings.mean_field.n_pairs, np.random.default_rng(0)
    )
    found = mean_field.compare(pairs, settings.mean_field, seed=0)
    mean_field.draw_evolution(found, settings.mean_field, out / "kernel-evolution.png")
    mean_field.draw_convergence(found, out / "kernel-mean-field.png")
    measured = {
        "slope": found.slope, "slope_half_width": found.slope_half_width,
        "gibbs_distance_of_density": found.gibbs_distance,
        "gibbs_distance_of_particles": found.gibbs_distance_of_particles,
        "largest_mass_error": float(np.abs(found.solution.mass - 1.0).max()),
    }  # fmt: skip
    write_results(out, "kernel-mean-field", found.rows, about | measured)


def _costs(vectors: Vectors, settings: KernelSettings, parts: Parts, out: Path, about: Row) -> None:
    rows = parts.get("costs", partial(kernel_costs.costs, vectors, settings))
    write_results(out, "kernel-cost", rows, about)
    traces = parts.get("traces", partial(kernel_costs.traces, vectors, settings))
    write_results(out, "kernel-objective", traces, about)
    kernel_figures.draw_traces(traces, out / "kernel-objective.png")
