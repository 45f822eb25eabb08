"""The literature's experiments on MNIST: scatter, precision-recall, collages, Lee histograms.

Database: the 60 000 training digits; queries: the 10 000 test digits. By label an item is relevant
if it is the query's digit, by ground truth if it is one of the Euclidean 50 nearest. Every measured
part is kept in the work folder, so that an interrupted run goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from isohash.evaluation.codes.collage import collage_codes, collage_panels, draw_collage
from isohash.evaluation.codes.curves import precision_recall_figure
from isohash.evaluation.codes.digits import Digits, DigitSettings, digit_views
from isohash.evaluation.codes.lee_histograms import draw_histograms, histogram_panels
from isohash.evaluation.codes.study import (
    KERNEL_SETTINGS,
    Row,
    Study,
    range_figure,
    scatter_figures,
)
from isohash.evaluation.kit.parts import work_folder
from isohash.evaluation.kit.plotting import check_drawing
from isohash.evaluation.kit.views import Embedded
from isohash.progress import Progress

COLLAGE_METRIC = (
    "the nearest of the hardest of the first 100 queries, three different digits; ties by "
    "position; right: how many are the query's digit; "
    "shared_with_euclidean: how many exact search has"
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
    curve_queries: int = 1000
    curve_bits: tuple[int, ...] = (64, 256, 1024, 4096)
    curve_q: int = 10
    symbol_bits: int = 4  # stored bits of a symbol of `curve_q`
    curve_features: int = 500  # random features of a kernel under symbols
    histogram_q: tuple[int, ...] = (2, 20, 50)
    histogram_pairs: int = 20_000
    n_neighbours: int = 50
    n_shown: int = 100
    seed: int = 0


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
    check_drawing()
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
    view = components(study)
    results |= precision_recall_figure(study, view, digits)
    return results | collage_figure(study, view, digits) | _histograms(study)


def components(study: Study) -> Embedded:
    """The principal components, of which curves and collages are shown."""
    return next(view for view in study.views if view.name.startswith("PCA"))


def collage_figure(study: Study, view: Embedded, digits: Digits) -> dict[str, list[Row]]:
    """The nearest of three digits by every kind of code, as pictures."""
    study.tell(0, 1, "collages")
    settings = study.settings

    def measure() -> list[Row]:
        codes = collage_codes(study.kernels(view), settings.curve_q, settings.seed)
        return collage_panels(view, digits, codes, settings.n_shown)

    parts = study.parts("curve_q", "n_shown", *KERNEL_SETTINGS)
    panels = parts.get("mnist-collage", measure)
    draw_collage(panels, digits, study.out / "mnist-collage.png")
    study.write("mnist-collage", panels, ("query", "codes"), COLLAGE_METRIC)
    return {"mnist-collage": panels}


def _histograms(study: Study) -> dict[str, list[Row]]:
    study.tell(0, 1, "histograms of Lee distances")
    view, settings = study.views[-1], study.settings
    measure = partial(
        histogram_panels, view, settings.histogram_q, settings.histogram_pairs, settings.seed
    )
    panels = study.parts("histogram_q", "histogram_pairs").get("mnist-lee", measure)
    draw_histograms(panels, study.out / "mnist-lee.png")
    study.write("mnist-lee", panels, ("budget", "q"), LEE_METRIC)
    return {"mnist-lee": panels}
