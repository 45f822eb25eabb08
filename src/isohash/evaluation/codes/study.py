"""What the figures of one experiment share: embeddings, settings, where they go, finished parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from isohash.evaluation.codes import scatter
from isohash.evaluation.kit.parts import Parts
from isohash.evaluation.kit.results import write_curves
from isohash.evaluation.kit.views import Embedded
from isohash.kernels.radial import RadialKernel
from isohash.progress import Progress, tell

Row = dict[str, Any]


KERNEL_SETTINGS = ("kernel_particles", "kernel_steps")


@dataclass(frozen=True, eq=False)
class Study:
    """One run: `settings` have `seed` and KERNEL_SETTINGS at least, `data` splits and digests."""

    name: str
    settings: Any
    views: Sequence[Embedded]
    data: Mapping[str, Any]
    out: Path
    work: Path
    progress: Progress | None = None

    def parts(self, *used: str) -> Parts:
        """Finished parts that depend on the embeddings, the seed and the named settings."""
        settings = asdict(self.settings)
        about: Row = {name: settings[name] for name in used} | {"seed": self.settings.seed}
        about["views"] = [view.digest for view in self.views]
        return Parts(self.work / f"{self.name}-parts", about)

    def kernels(self, view: Embedded) -> scatter.Kernels:
        """The kernels that are compared on a view; the trained one is trained once and kept."""
        size = self.settings.kernel_particles, self.settings.kernel_steps
        measure = partial(scatter.trained_kernel, view.base, self.settings.seed, *size)
        (row,) = self.parts(*KERNEL_SETTINGS).get(f"{self.name}-kernel-{short(view)}", measure)
        return scatter.chosen_kernels(RadialKernel(row["particles"]))

    def about(self, metric: str) -> Row:
        """What a figure's JSON says beside its rows."""
        return {"metric": metric, "settings": asdict(self.settings), **self.data}

    def write(self, name: str, panels: list[Row], by: Sequence[str], metric: str) -> None:
        """The CSV (points) and JSON (panels) of one figure."""
        write_curves(self.out, name, panels, by, self.about(metric))

    def tell(self, done: int, total: int, message: str) -> None:
        """Progress, where somebody looks."""
        tell(self.progress, done, total, message)


def scatter_figures(
    study: Study, bits: Sequence[int], n_pairs: int, used: Sequence[str]
) -> dict[str, list[Row]]:
    """Code against Euclidean distance: one figure per view."""
    parts, found = study.parts(*used, *KERNEL_SETTINGS), {}
    for done, view in enumerate(study.views):
        study.tell(done, len(study.views), f"scatter of {view.name}")
        name = f"{study.name}-scatter-{short(view)}"
        panels = parts.get(name, partial(_scatter, study, view, bits, n_pairs))
        scatter.draw_scatter(panels, study.out / f"{name}.png")
        study.write(name, panels, ("view", "kernel", "bits"), scatter.SCATTER_METRIC)
        found[name] = panels
    return found


def range_figure(
    study: Study, bits: int, n_pairs: int, n_neighbours: int, used: Sequence[str]
) -> dict[str, list[Row]]:
    """Which distances occur, and which of them the codes can see: one figure for all views."""
    parts, name = study.parts(*used, *KERNEL_SETTINGS), f"{study.name}-range"
    panels: list[Row] = []
    for done, view in enumerate(study.views):
        study.tell(done, len(study.views), f"range of view on {view.name}")
        measure = partial(_range, study, view, bits, n_pairs, n_neighbours)
        panels += parts.get(f"{name}-{short(view)}", measure)
    scatter.draw_range(panels, study.out / f"{name}.png")
    study.write(name, panels, ("view", "kernel"), scatter.RANGE_METRIC)
    return {name: panels}


def _scatter(study: Study, view: Embedded, bits: Sequence[int], n_pairs: int) -> list[Row]:
    kernels, seed = study.kernels(view), study.settings.seed
    return scatter.scatter_panels(view, kernels, bits, n_pairs, seed)


def _range(study: Study, view: Embedded, bits: int, n_pairs: int, n_neighbours: int) -> list[Row]:
    kernels, seed = study.kernels(view), study.settings.seed
    return scatter.range_panels(view, kernels, bits, n_pairs, n_neighbours, seed)


def short(view: Embedded) -> str:
    """A view's name in file names: its first word."""
    return view.name.split()[0].lower()
