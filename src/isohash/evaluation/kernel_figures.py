"""Figures of the kernel-learning experiment: Dice, the learner's trace, codes against distances."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist

from isohash.evaluation.metrics import precision_recall
from isohash.evaluation.plotting import figure
from isohash.kernels.learner import KernelLearner
from isohash.kernels.radial import RadialKernel

if TYPE_CHECKING:
    from isohash.evaluation.kernel_learning import KernelSettings, Vectors

Row = dict[str, Any]
SHOWN = ("gamma = 1", "median", "best of the grid", "rule", "alignment", "isometry")
# Points of a scatter plot: more would only blacken it.
N_POINTS = 4000


def draw_dice(table: list[Row], path: Path) -> None:
    """Dice against code length, one panel per data set."""
    names = list(dict.fromkeys(row["dataset"] for row in table))
    with figure(path, 4.2 * len(names), 3.6, ncols=len(names), squeeze=False) as (_, axes):
        for axis, name in zip(axes[0], names, strict=True):
            for method in SHOWN:
                mine = [r for r in table if (r["dataset"], r["method"]) == (name, method)]
                axis.errorbar(
                    [r["bits"] for r in mine],
                    [r["dice"] for r in mine],
                    [r["half_width"] for r in mine],
                    label=method, marker=".", linestyle="--" if "grid" in method else "-",
                )  # fmt: skip
            axis.set_xscale("log", base=2)
            axis.set_title(name, fontsize=9)
            axis.set_xlabel("bits")
        axes[0, 0].set_ylabel("Dice of the nearest")
        axes[0, 0].legend(fontsize=8)


def draw_codes(vectors: Vectors, settings: KernelSettings, out: Path) -> None:
    """Traces of both objectives, scatter plots and precision-recall curves of one draw."""
    base = vectors.base.astype(np.float64)
    shared: dict[str, Any] = {"n_particles": settings.n_particles, "n_steps": settings.n_steps}
    aligned = KernelLearner("alignment", **shared).fit(base)
    isometric = KernelLearner("isometry", n_neighbours=settings.k, **shared).fit(base)
    _draw_traces({"alignment": aligned, "isometry": isometric}, out / "kernel-objective.png")
    chosen = {
        "gamma = 1": RadialKernel([1.0]), "rule": None,
        "alignment": aligned.kernel, "isometry": isometric.kernel,
    }  # fmt: skip
    _draw_scatter(vectors, chosen, settings, out / "kernel-scatter.png")
    _draw_precision_recall(vectors, chosen, settings, out / "kernel-precision-recall.png")


def _draw_traces(learners: dict[str, KernelLearner], path: Path) -> None:
    with figure(path, 4.2 * len(learners), 3.4, ncols=len(learners)) as (_, axes):
        for axis, (name, learner) in zip(axes, learners.items(), strict=True):
            axis.plot(learner.history.steps, learner.history.objective)
            axis.set_title(f"{name}: objective, to be minimised", fontsize=9)
            axis.set_xlabel("step")


def _draw_scatter(
    vectors: Vectors,
    chosen: dict[str, RadialKernel | None],
    settings: KernelSettings,
    path: Path,
) -> None:
    from isohash.evaluation.kernel_learning import code_distances

    rng = np.random.default_rng(0)
    exact = cdist(vectors.queries, vectors.base).ravel()
    points = rng.choice(len(exact), min(N_POINTS, len(exact)), replace=False)
    shape = {"nrows": len(settings.bits), "ncols": len(chosen)}
    with figure(
        path, 2.6 * len(chosen), 2.2 * len(settings.bits), **shape, squeeze=False, sharex=True,
        sharey=True,
    ) as (_, axes):  # fmt: skip
        for line, bits in zip(axes, settings.bits, strict=True):
            for axis, (name, kernel) in zip(line, chosen.items(), strict=True):
                found = code_distances(vectors, kernel, bits, 0).ravel()[points] / bits
                axis.plot(exact[points], found, ",", color="C0")
                axis.set_title(f"{name}, {bits} bits", fontsize=8)
            line[0].set_ylabel("code distance / bits")
        for axis in axes[-1]:
            axis.set_xlabel("Euclidean distance")


def _draw_precision_recall(
    vectors: Vectors,
    chosen: dict[str, RadialKernel | None],
    settings: KernelSettings,
    path: Path,
) -> None:
    from isohash.evaluation.kernel_learning import code_distances

    exact = cdist(vectors.queries, vectors.base)
    relevant = exact <= np.partition(exact, settings.k - 1, axis=1)[:, settings.k - 1 : settings.k]
    with figure(path, 3.6 * len(settings.bits), 3.2, ncols=len(settings.bits), sharey=True) as (
        _,
        axes,
    ):
        for axis, bits in zip(axes, settings.bits, strict=True):
            for name, kernel in chosen.items():
                curve = precision_recall(code_distances(vectors, kernel, bits, 0), relevant)
                axis.plot(curve.recall, curve.precision, label=name)
            axis.set_title(f"{bits} bits", fontsize=9)
            axis.set_xlabel("recall")
        axes[0].set_ylabel("precision")
        axes[0].legend(fontsize=8)
