"""The literature's experiments on MNIST: scatter, precision-recall, collages, Lee histograms.

Database: the 60 000 training digits; queries: the 10 000 test digits. By label an item is relevant
if it is the query's digit, by ground truth if it is one of the Euclidean 50 nearest. Every measured
part is kept in the work folder, so that an interrupted run goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.distances import nearest
from isohash.evaluation.codes import scatter
from isohash.evaluation.codes.collage import collage_panels, draw_collage
from isohash.evaluation.codes.digits import Digits, DigitSettings, digit_views
from isohash.evaluation.codes.lee_histograms import draw_histograms, histogram_panels
from isohash.evaluation.codes.study import Row, Study, range_figure, scatter_figures
from isohash.evaluation.kit.curves import EUCLIDEAN_LEVELS as LEVELS
from isohash.evaluation.kit.curves import (
    code_blocks,
    code_levels,
    euclidean_blocks,
    label_curve,
    thinned,
    truth_curve,
)
from isohash.evaluation.kit.parts import work_folder
from isohash.evaluation.kit.plotting import BLACK, BLUE, GREY, PAGE_WIDTH, VERMILION, figure
from isohash.evaluation.kit.views import Embedded
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.hashing.lee_hasher import LeeHasher
from isohash.progress import Progress

CURVE_METRIC = (
    "means over queries of precision and recall of everything within each code distance, so that "
    "tied items enter together; a query that retrieves nothing does not enter the precision; "
    "average_precision: sum of precision times the gain in recall"
)
COLLAGE_METRIC = (
    "the nearest of the hardest of the first 100 queries, three different digits; ties by "
    "position; right: how many are the query's digit"
)
LEE_METRIC = (
    "Lee distances of random pairs times one factor (least squares), against their Euclidean "
    "distances; relative_rms: root mean squared difference over the mean Euclidean distance; "
    "spearman: rank correlation, ties share ranks"
)


@dataclass(frozen=True)
class MnistSettings:
    """Sizes of the experiments."""

    digits: DigitSettings = field(default_factory=DigitSettings)
    n_pairs: int = 600
    range_pairs: int = 100_000
    kernel_particles: int = 500  # of the kernel trained for alignment, and its steps
    kernel_steps: int = 2000
    range_bits: int = 1024
    scatter_bits: tuple[int, ...] = (128, 512, 4096)
    curve_queries: int = 2000
    curve_bits: tuple[int, ...] = (64, 256, 1024, 4096)
    curve_q: int = 10
    symbol_bits: int = 4  # stored bits of a symbol of `curve_q`
    histogram_q: tuple[int, ...] = (2, 20, 50)
    histogram_pairs: int = 20_000
    n_neighbours: int = 50
    n_shown: int = 100
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _ByLabel:
    """A view whose database is sorted by label, as `label_curve` wants it."""

    view: Embedded
    digits: Digits
    n_queries: int
    n_neighbours: int

    @cached_property
    def query(self) -> NDArray[np.float32]:
        """The first so many queries, and below their labels."""
        return self.view.query[: self.n_queries]

    @cached_property
    def query_labels(self) -> NDArray[np.int64]:
        """Their digits."""
        return self.digits.query_labels[: self.n_queries]

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Rows of the database, by label."""
        return np.argsort(self.digits.base_labels, kind="stable")

    @cached_property
    def base(self) -> NDArray[np.float32]:
        """The database in that order."""
        return self.view.base[self.order]

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """The Euclidean nearest of each query, as rows of `base`."""
        return nearest(self.base, self.query, self.n_neighbours)


def run_mnist(
    data: str | Path,
    out: str | Path,
    settings: MnistSettings | None = None,
    progress: Progress | None = None,
    work: str | Path | None = None,
) -> dict[str, list[Row]]:
    """Run or resume all experiments on mnist.npz; writes PNG, CSV and JSON to `out`.

    `work` keeps embeddings and finished parts (see `work_folder`).
    """
    settings, folder = settings or MnistSettings(), Path(out)
    kept = work_folder(out, work)
    views, digits = digit_views(data, kept, settings.digits, progress)
    about = {"split": "database: training digits, queries: test digits", **digits.to_json()}
    study = Study("mnist", settings, views, about, folder, kept, progress)
    results = scatter_figures(
        study, settings.scatter_bits, settings.n_pairs, ("scatter_bits", "n_pairs")
    )
    results |= range_figure(
        study,
        settings.range_bits,
        settings.range_pairs,
        settings.n_neighbours,
        ("range_bits", "range_pairs", "n_neighbours"),
    )
    for figure_of in (_precision_recall, _collage, _histograms):
        results |= figure_of(study, digits)
    return results


def _precision_recall(study: Study, digits: Digits) -> dict[str, list[Row]]:
    parts = study.parts("curve_queries", "curve_q", "symbol_bits", "n_neighbours")
    settings = study.settings
    names = curve_names(settings)
    total, panels = len(study.views) * len(names), []
    for at, view in enumerate(study.views):
        data = _ByLabel(view, digits, settings.curve_queries, settings.n_neighbours)
        for done, (codes, bits) in enumerate(names, at * len(names)):
            study.tell(done, total, f"curves of {view.name}: {codes}, {bits} bits")
            measure = partial(_curves, data, settings, codes, bits)
            panels += parts.get(f"curves-{at}-{codes}-{bits}", measure)
    draw_curves(panels, settings, study.out / "mnist-precision-recall.png")
    by = ("view", "codes", "bits", "relevant")
    study.write("mnist-precision-recall", panels, by, CURVE_METRIC)
    return {"mnist-precision-recall": panels}


def curve_names(settings: MnistSettings) -> list[tuple[str, int]]:
    """Kinds of codes and their stored bits; 0 bits stands for the embeddings themselves."""
    tuned = [(kind, bits) for kind in ("binary", "q-ary") for bits in settings.curve_bits]
    return [("Euclidean", 0), ("untrained", max(settings.curve_bits)), *tuned]


def _curves(data: _ByLabel, settings: MnistSettings, codes: str, bits: int) -> list[Row]:
    """Both curves of one kind of codes; the embeddings themselves have but the one by label."""
    asked, labels = data.query, data.query_labels
    blocks, n_levels = partial(euclidean_blocks, data.base, asked), LEVELS
    if codes != "Euclidean":
        hasher = _hasher(codes, bits, settings).fit(data.base)
        stored = hasher.transform(data.base)
        blocks, n_levels = (
            partial(code_blocks, stored, hasher.transform(asked)),
            code_levels(stored),
        )
    sorted_labels = data.digits.base_labels[data.order]
    curves = {"label": label_curve(blocks(), n_levels, sorted_labels, labels)}
    if codes != "Euclidean":
        curves["Euclidean"] = truth_curve(blocks(), n_levels, data.truth)
    return [
        {"view": data.view.name, "codes": codes, "bits": bits, "relevant": rule,
         "average_precision": round(curve.average_precision, 4), **thinned(curve)}
        for rule, curve in curves.items()
    ]  # fmt: skip


def _hasher(codes: str, bits: int, settings: MnistSettings) -> Any:
    if codes == "q-ary":
        symbols = max(1, bits // settings.symbol_bits)
        return LeeHasher(symbols, settings.curve_q, random_state=settings.seed)
    kernel = scatter.UNTRAINED if codes == "untrained" else None
    return KernelHasher(bits, kernel, random_state=settings.seed)


def draw_curves(panels: list[Row], settings: MnistSettings, path: Path) -> None:
    """A row per embedding; relevant by label on the left, by Euclidean distance on the right."""
    views = list(dict.fromkeys(panel["view"] for panel in panels))
    shape: dict[str, Any] = {
        "nrows": len(views),
        "ncols": 2,
        "squeeze": False,
        "sharex": True,
        "sharey": True,
    }
    with figure(path, PAGE_WIDTH, 2.3 * len(views) + 0.7, **shape) as (drawing, grid):
        for panel in panels:
            axes = grid[views.index(panel["view"]), int(panel["relevant"] == "Euclidean")]
            axes.plot(panel["recall"], panel["precision"], **_line(panel, settings))
        for name, (left, right) in zip(views, grid, strict=True):
            left.set(title=f"{name}: the query's digit", ylabel="precision")
            right.set(title=f"{name}: the Euclidean {settings.n_neighbours} nearest")
        for axes in grid[-1]:
            axes.set(xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
        handles, labels = grid[0, 0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=3)


def _line(panel: Row, settings: MnistSettings) -> dict[str, Any]:
    """Colour by kind, darker and wider with more bits."""
    codes, bits = panel["codes"], panel["bits"]
    if codes == "Euclidean":
        return {"color": BLACK, "linestyle": ":", "label": "embeddings themselves"}
    if codes == "untrained":
        return {"color": GREY, "linestyle": "--", "label": f"{bits} bits, $\\gamma$ = 1"}
    step = sorted(settings.curve_bits).index(bits) + 1
    strength = step / len(settings.curve_bits)
    look = {"alpha": 0.25 + 0.75 * strength, "linewidth": 0.8 + strength}
    if codes == "binary":
        return {"color": BLUE, "label": f"{bits} bits, tuned", **look}
    symbols = max(1, bits // settings.symbol_bits)
    label = f"{symbols} symbols, q = {settings.curve_q} ({bits} stored bits)"
    return {"color": VERMILION, "label": label, **look}


def _collage(study: Study, digits: Digits) -> dict[str, list[Row]]:
    study.tell(0, 1, "collages")
    view, settings = study.views[-1], study.settings
    measure = partial(
        collage_panels, view, digits, settings.curve_q, settings.n_shown, settings.seed
    )
    panels = study.parts("curve_q", "n_shown").get("mnist-collage", measure)
    draw_collage(panels, digits, study.out / "mnist-collage.png")
    study.write("mnist-collage", panels, ("query", "codes"), COLLAGE_METRIC)
    return {"mnist-collage": panels}


def _histograms(study: Study, digits: Digits) -> dict[str, list[Row]]:
    study.tell(0, 1, "histograms of Lee distances")
    view, settings = study.views[-1], study.settings
    measure = partial(
        histogram_panels, view, settings.histogram_q, settings.histogram_pairs, settings.seed
    )
    panels = study.parts("histogram_q", "histogram_pairs").get("mnist-lee", measure)
    draw_histograms(panels, study.out / "mnist-lee.png")
    study.write("mnist-lee", panels, ("budget", "q"), LEE_METRIC)
    return {"mnist-lee": panels}
