"""The literature's experiments on CT and dose slices: violins, scores against k, scatter plots.

Dice and Jaccard of the k nearest by code with the k nearest by Euclidean distance, over 400 query
slices and a database of 7 000 slices of other patients, for 1 to 10 000 bits; and both scores
against the number retrieved. Two hashes: the literature's with the bandwidth chosen from the data,
and `make_hasher` at as many stored bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.distances import nearest
from isohash.evaluation.codes.scatter import shown_name
from isohash.evaluation.codes.study import Row, Study, range_figure, scatter_figures
from isohash.evaluation.kit.benchmark import METRIC, DiceSettings, kept_views
from isohash.evaluation.kit.metrics import expected_overlap
from isohash.evaluation.kit.parts import work_folder
from isohash.evaluation.kit.plotting import (
    BLACK,
    BLUE,
    GREY,
    PAGE_WIDTH,
    VERMILION,
    check_drawing,
    figure,
)
from isohash.evaluation.kit.results import bootstrap_interval, write_results
from isohash.evaluation.kit.views import Embedded
from isohash.hashing.adaptive_hasher import make_hasher
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.index.flat import distances
from isohash.progress import Progress
from isohash.records import Codes

LITERATURE, OURS = "literature's hash (tuned)", "make_hasher"
COLOURS = {LITERATURE: VERMILION, OURS: BLUE}


@dataclass(frozen=True)
class SliceFigures:
    """What is drawn; the data and the encoder are those of the Dice experiment."""

    dice: DiceSettings = field(default_factory=lambda: DiceSettings(encoder="deep"))
    violin_bits: tuple[int, ...] = (1, 10, 100, 1000, 10_000)
    scatter_bits: tuple[int, ...] = (128, 512, 4096)
    k_bits: int = 1024
    ks: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 200, 350, 500)
    n_pairs: int = 600
    range_pairs: int = 100_000
    kernel_particles: int = 500  # of the kernel trained for alignment, and its steps
    kernel_steps: int = 2000

    @property
    def seed(self) -> int:
        """Of the draws; the Dice experiment's."""
        return self.dice.seed


def run_slices(
    database: str | Path,
    queries: str | Path,
    out: str | Path,
    settings: SliceFigures | None = None,
    progress: Progress | None = None,
    work: str | Path | None = None,
) -> dict[str, list[Row]]:
    """Run or resume all experiments on two sources; writes PNG, CSV and JSON to `out`.

    `work` keeps embeddings and finished parts (see `work_folder`).
    """
    check_drawing()
    settings, folder = settings or SliceFigures(), Path(out)
    kept = work_folder(out, work)
    views, data = kept_views(database, queries, kept, settings.dice, progress)
    study = Study("slices", settings, views, data, folder, kept, progress)
    results = _violins(study) | _by_k(study)
    results |= scatter_figures(
        study, settings.scatter_bits, settings.n_pairs, ("scatter_bits", "n_pairs")
    )
    return results | range_figure(
        study,
        settings.k_bits,
        settings.range_pairs,
        settings.dice.k,
        ("k_bits", "range_pairs", "dice"),
    )


def hasher_of(family: str, bits: int, seed: int) -> Any:
    """The unfitted hasher of one of the two families."""
    if family == OURS:
        return make_hasher(bits, seed)
    return KernelHasher(bits, random_state=seed)


def _codes(view: Embedded, family: str, bits: int, seed: int) -> tuple[Codes, Codes]:
    """Codes of the queries and of the database."""
    hasher = hasher_of(family, bits, seed).fit(view.base)
    return hasher.transform(view.query), hasher.transform(view.base)


def _violins(study: Study) -> dict[str, list[Row]]:
    settings, panels = study.settings, []
    parts = study.parts("dice")
    trials = [(v, f, b) for v in study.views for f in COLOURS for b in settings.violin_bits]
    for done, (view, family, bits) in enumerate(trials):
        study.tell(done, len(trials), f"scores of {view.name}: {family}, {bits} bits")
        measure = partial(_overlap_panel, view, family, bits, settings.dice)
        panels += parts.get(f"violin-{view.name}-{family}-{bits}", measure)
    draw_violins(panels, settings.dice.k, study.out / "slices-violin.png")
    rows = [row for panel in panels for row in _quantiles(panel, settings.dice.k)]
    write_results(study.out, "slices-violin", rows, study.about(METRIC))
    return {"slices-violin": rows}


def _overlap_panel(view: Embedded, family: str, bits: int, dice: DiceSettings) -> list[Row]:
    """Dice of every query, for one view, family and code length."""
    asked, stored = _codes(view, family, bits, dice.seed)
    truth = nearest(view.base, view.query, dice.k)
    scores = expected_overlap(distances(asked, stored), truth, dice.k)
    return [{
        "view": view.name, "family": family, "bits": bits,
        "stored_bits": 8 * stored.packed.shape[1], "n_database": len(view.base),
        "dice": [round(float(v), 5) for v in scores],
    }]  # fmt: skip


def _quantiles(panel: Row, k: int) -> list[Row]:
    """Mean and quartiles of both scores over queries."""
    dice = np.array(panel["dice"])
    shared = {name: panel[name] for name in ("view", "family", "bits", "stored_bits")}
    rows = []
    for score, values in (("Dice", dice), ("Jaccard", dice / (2.0 - dice))):
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        found = {"mean": values.mean(), "q25": low, "median": median, "q75": high}
        numbers = {name: round(float(value), 4) for name, value in found.items()}
        chance = round(k / panel["n_database"], 5)
        rows.append({**shared, "score": score, "k": k, **numbers, "chance_of_dice": chance})
    return rows


def draw_violins(panels: list[Row], k: int, path: Path) -> None:
    """A row per view, Dice on the left and Jaccard on the right, both families side by side."""
    views = list(dict.fromkeys(panel["view"] for panel in panels))
    lengths = sorted({panel["bits"] for panel in panels})
    shape: dict[str, Any] = {"nrows": len(views), "ncols": 2, "squeeze": False, "sharey": True}
    with figure(path, PAGE_WIDTH, 2.5 * len(views) + 0.5, **shape) as (drawing, grid):
        for panel in panels:
            dice = np.array(panel["dice"])
            place = lengths.index(panel["bits"]) + (0.2 if panel["family"] == OURS else -0.2)
            both = (dice, dice / (2.0 - dice))
            for axes, values in zip(grid[views.index(panel["view"])], both, strict=True):
                _violin(axes, place, values, COLOURS[panel["family"]])
        for row, view in zip(grid, views, strict=True):
            for axes, score in zip(row, ("Dice", "Jaccard"), strict=True):
                axes.set_xticks(range(len(lengths)), [f"{bits:,}" for bits in lengths])
                axes.set(title=shown_name(view), ylim=(0, 1.03))
                axes.set_ylabel(f"{score} of the nearest {k}")
                axes.tick_params(labelleft=True)
                axes.grid(axis="x", visible=False)
                level = k / panels[0]["n_database"]
                axes.axhline(level, color=GREY, linestyle=":", linewidth=1, label="chance")
        for axes in grid[-1]:
            axes.set_xlabel("stored bits per slice")
        _family_legend(drawing)


def _violin(axes: Any, place: float, values: NDArray[np.float64], colour: str) -> None:
    if np.ptp(values) > 0:
        drawn = axes.violinplot([values], [place], widths=0.36, showextrema=False)
        for body in drawn["bodies"]:
            body.set(facecolor=colour, edgecolor=colour, alpha=0.45)
    median = float(np.median(values))
    axes.plot([place - 0.16, place + 0.16], [median, median], color=colour, linewidth=2)


def _family_legend(drawing: Any) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=c, alpha=0.6, label=f) for f, c in COLOURS.items()]
    handles.append(Line2D([], [], color=BLACK, linewidth=2, label="median"))
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="chance"))
    drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _by_k(study: Study) -> dict[str, list[Row]]:
    settings, panels = study.settings, []
    parts = study.parts("k_bits", "ks")
    trials = [(view, family) for view in study.views for family in COLOURS]
    for done, (view, family) in enumerate(trials):
        study.tell(done, len(trials), f"scores of {view.name} against k: {family}")
        measure = partial(k_panels, view, family, settings)
        panels += parts.get(f"by-k-{view.name}-{family}", measure)
    draw_by_k(panels, settings.k_bits, study.out / "slices-by-k.png")
    by = ("view", "family", "score", "bits")
    study.write("slices-by-k", panels, by, METRIC)
    return {"slices-by-k": panels}


def k_panels(view: Embedded, family: str, settings: SliceFigures) -> list[Row]:
    """Mean Dice and Jaccard with their intervals, against the number of retrieved slices."""
    ks = [k for k in settings.ks if k <= len(view.base)]
    truth = nearest(view.base, view.query, max(ks))
    counts = distances(*_codes(view, family, settings.k_bits, settings.dice.seed))
    dice = [expected_overlap(counts, truth[:, :k], k) for k in ks]
    shared = {"view": view.name, "family": family, "bits": settings.k_bits}
    panels = []
    for score, values in (("Dice", dice), ("Jaccard", [d / (2.0 - d) for d in dice])):
        rng = np.random.default_rng(settings.dice.seed)
        bounds = [bootstrap_interval(v, view.groups, rng) for v in values]
        panels.append({
            **shared, "score": score, "k": ks,
            "mean": [round(float(v.mean()), 4) for v in values],
            "low": [round(low, 4) for low, _ in bounds],
            "high": [round(high, 4) for _, high in bounds],
            "chance_of_dice": [round(k / len(view.base), 5) for k in ks],
        })  # fmt: skip
    return panels


def draw_by_k(panels: list[Row], bits: int, path: Path) -> None:
    """A panel per view: both scores of both families, with 95 % intervals by patient."""
    views = list(dict.fromkeys(panel["view"] for panel in panels))
    shape: dict[str, Any] = {"ncols": len(views), "squeeze": False, "sharey": True}
    with figure(path, PAGE_WIDTH, 3.3, **shape) as (drawing, grid):
        for panel in panels:
            axes = grid[0, views.index(panel["view"])]
            colour = COLOURS[panel["family"]]
            style = "-" if panel["score"] == "Dice" else "--"
            label = f"{panel['score']}, {panel['family']}"
            axes.plot(panel["k"], panel["mean"], style, color=colour, label=label)
            axes.fill_between(panel["k"], panel["low"], panel["high"], color=colour, alpha=0.15)
        for axes, view in zip(grid[0], views, strict=True):
            last = next(panel for panel in panels if panel["view"] == view)
            label = "Dice by chance"
            axes.plot(last["k"], last["chance_of_dice"], ":", color=GREY, label=label)
            axes.set(xscale="log", ylim=(0, 1.02), xlabel="slices retrieved")
            axes.set_title(shown_name(view))
            axes.set_xticks([1, 10, 100, 500], ["1", "10", "100", "500"])
            axes.minorticks_off()
        grid[0, 0].set_ylabel(f"mean score, {bits} stored bits")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=3)
