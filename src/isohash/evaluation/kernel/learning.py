"""The kernel-learning experiment: what a learned kernel is worth for retrieval, and what it costs.

Its parts: Dice of learned, untrained and tuned kernels (kernel_retrieval.py); when a mixture of
bandwidths helps (kernel_mixture.py); the particles and their limit equation (mean_field.py); what
training costs (kernel_costs.py); pictures of one draw (kernel_figures.py). Every finished part is
kept, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isohash.evaluation.kernel import costs as kernel_costs
from isohash.evaluation.kernel import figures as kernel_figures
from isohash.evaluation.kernel import mean_field
from isohash.evaluation.kernel import mixture as kernel_mixture
from isohash.evaluation.kernel.data import QUICK, EmbeddedSet, KernelSettings, read_vectors
from isohash.evaluation.kernel.retrieval import retrieval, summary
from isohash.evaluation.kernel.views import views
from isohash.evaluation.kit.parts import Parts, work_folder
from isohash.evaluation.kit.plotting import check_drawing
from isohash.evaluation.kit.results import write_csv, write_curves, write_results
from isohash.kernels.learning.learner import KernelLearner
from isohash.progress import Progress

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Study:
    """Where finished parts and results go, and what is said of every result."""

    settings: KernelSettings
    parts: Parts
    out: Path
    about: Row


def run(
    out_dir: str | Path,
    data_dir: str | Path,
    quick: bool = False,
    progress: Progress | None = None,
    settings: KernelSettings | None = None,
    work: str | Path | None = None,
) -> list[Row]:
    """Run or resume the experiment; writes kernel*.csv, .json and .png to `out_dir`.

    Finished parts are kept in `work` (see `work_folder`).
    """
    check_drawing()
    settings = settings or (QUICK if quick else KernelSettings())
    out, total = Path(out_dir), len(settings.datasets) * settings.n_seeds + 4
    kept = work_folder(out, work)
    told = progress or (lambda done, total, message: None)
    data = {name: read_vectors(name, data_dir) for name in settings.datasets}
    digests = {name: vectors.digest for name, vectors in data.items()}
    about: Row = {"settings": asdict(settings), "data_digests": digests}
    rows: list[Row] = []
    for name, vectors in data.items():
        parts = _retrieval_parts(kept, vectors, settings)
        for seed in range(settings.n_seeds):
            told(_seeds_done(rows), total, f"retrieval, {name}, seed {seed}")
            drawn = vectors.drawn(settings.n_database, settings.n_queries, seed)
            rows += parts.get(f"{name}-{seed}", partial(retrieval, name, drawn, seed, settings))
    table = summary(rows)
    write_results(out, "kernel", rows, about)
    write_csv(out / "kernel-summary.csv", table)
    kernel_figures.draw_dice(table, out / "kernel-dice.png")
    drawn_once = {
        name: vectors.drawn(settings.n_database, settings.n_queries, 0)
        for name, vectors in data.items()
    }
    parts = Parts(kept / "kernel-parts", about | {"learner": KernelLearner().get_params()})
    study = _Study(settings, parts, out, about)
    first = next(iter(drawn_once.values()))
    told(total - 4, total, "one draw looked at closely")
    _views(drawn_once, table, study)
    told(total - 3, total, "when a mixture helps")
    _mixture(study)
    told(total - 2, total, "the mean-field limit")
    _mean_field(first, study)
    told(total - 1, total, "what learning costs")
    _costs(first, study)
    told(total, total, "done")
    return rows


def _seeds_done(rows: list[Row]) -> int:
    return len({(row["dataset"], row["seed"]) for row in rows})


def _retrieval_parts(kept: Path, vectors: EmbeddedSet, settings: KernelSettings) -> Parts:
    fields = ("bits", "n_database", "n_queries", "k", "n_particles", "n_steps")
    asked = {name: getattr(settings, name) for name in fields}
    learner = KernelLearner().get_params()
    return Parts(kept / "kernel-parts", asked | {"data": vectors.digest, "learner": learner})


def _views(drawn: dict[str, EmbeddedSet], table: list[Row], study: _Study) -> None:
    panels = [
        panel
        for name, vectors in drawn.items()
        for panel in study.parts.get(
            f"panels-{name}", partial(views, name, vectors, study.settings, table)
        )
    ]
    scatters = [panel for panel in panels if "euclidean" in panel]
    curves = [panel for panel in panels if "recall" in panel]
    for panel in scatters:
        name = f"kernel-scatter-{panel['dataset']}"
        write_curves(study.out, name, [panel], ["dataset"], study.about)
        kernel_figures.draw_scatter(panel, study.settings.bits, study.out / f"{name}.png")
    by = ("dataset", "method", "bits")
    write_curves(study.out, "kernel-precision-recall", curves, by, study.about)
    path = study.out / "kernel-precision-recall.png"
    kernel_figures.draw_precision_recall(curves, study.settings.bits, path)


def _mixture(study: _Study) -> None:
    mixture = study.settings.mixture
    needed = study.parts.get("bits-needed", partial(kernel_mixture.bits_needed, mixture))
    read = study.parts.get("readings", partial(kernel_mixture.readings, mixture))
    widths: list[Row] = []
    for seed in range(study.settings.n_seeds):
        measure = partial(
            kernel_mixture.two_widths, seed, mixture, study.settings.n_queries, study.settings.k
        )
        widths += study.parts.get(f"widths-{seed}", measure)
    by = ("near", "far", "dither", "kernel")
    write_curves(study.out, "kernel-ranges", needed, by, study.about)
    write_csv(study.out / "kernel-readings.csv", read)
    table = kernel_mixture.widths_table(widths)
    write_results(study.out, "kernel-widths", widths, study.about)
    write_csv(study.out / "kernel-widths-summary.csv", table)
    kernel_figures.draw_ranges(needed, read, mixture.error, study.out / "kernel-ranges.png")
    kernel_figures.draw_widths(widths, study.out / "kernel-widths.png")


def _mean_field(vectors: EmbeddedSet, study: _Study) -> None:
    pairs = kernel_costs.Problem(vectors).pairs.draw(
        study.settings.mean_field.n_pairs, np.random.default_rng(0)
    )
    found = mean_field.compare(pairs, study.settings.mean_field, seed=0)
    mean_field.draw_evolution(found, study.settings.mean_field, study.out / "kernel-evolution.png")
    mean_field.draw_convergence(found, study.out / "kernel-mean-field.png")
    measured = {
        "slope": found.slope, "slope_half_width": found.slope_half_width,
        "gibbs_distance_of_density": found.gibbs_distance,
        "gibbs_distance_of_particles": found.gibbs_distance_of_particles,
        "largest_mass_error": float(np.abs(found.solution.mass - 1.0).max()),
    }  # fmt: skip
    write_results(study.out, "kernel-mean-field", found.rows, study.about | measured)


def _costs(vectors: EmbeddedSet, study: _Study) -> None:
    rows = study.parts.get("costs", partial(kernel_costs.costs, vectors, study.settings))
    write_results(study.out, "kernel-cost", rows, study.about)
    traces = study.parts.get("traces", partial(kernel_costs.traces, vectors, study.settings))
    write_results(study.out, "kernel-objective", traces, study.about)
    kernel_figures.draw_traces(traces, study.out / "kernel-objective.png")
