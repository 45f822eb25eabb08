"""The literature's experiments on CT and dose slices: violins, scores against k, scatter plots.

Dice and Jaccard of the k nearest by code with the k nearest by Euclidean distance, over 400 query
slices and a database of 7 000 slices of other patients, for 1 to 10 000 bits; and both scores
against the number retrieved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.evaluation import curves
from isohash.evaluation.benchmark import METRIC, DiceSettings, embed_views
from isohash.evaluation.metrics import expected_overlap
from isohash.evaluation.plotting import figure
from isohash.evaluation.results import write_results
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.index.flat import distances
from isohash.kernels.radial import RadialKernel

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class SliceFigures:
    """What is drawn; the data and the encoder are those of the Dice experiment."""

    dice: DiceSettings
    violin_bits: tuple[int, ...] = (1, 10, 100, 1000, 10_000)
    scatter_bits: tuple[int, ...] = (128, 512, 4096)
    k_bits: int = 1024
    ks: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 200, 350, 500)
    n_pairs: int = 3000


@dataclass(frozen=True, eq=False)
class View:
    """Embeddings of the database and of the queries for CT or for dose."""

    name: str
    base: NDArray[np.float32]
    query: NDArray[np.float32]


def run_slices(
    database: str | Path,
    queries: str | Path,
    out: str | Path,
    settings: SliceFigures,
    progress: Progress | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Draw all figures of two sources and write their PNG, CSV and JSON to `out`."""
    embedded, data = embed_views(database, queries, out, settings.dice, progress)
    views = [View(name, *parts) for name, parts in embedded.items()]
    folder = Path(out)
    about = {"metric": METRIC, "settings": asdict(settings), **data.to_json()}
    steps = {
        "slices-violin": violin_figure,
        "slices-by-k": k_figure,
        "slices-scatter": scatter_figure,
    }
    results = {}
    for done, (name, step) in enumerate(steps.items()):
        if progress is not None:
            progress(done, len(steps), f"drawing {name}")
        results[name] = step(views, settings, folder / f"{name}.png")
        write_results(folder, name, results[name], about)
    return results


def violin_figure(views: list[View], settings: SliceFigures, path: Path) -> list[dict[str, Any]]:
    """Distribution over queries of Dice and Jaccard, for each code length."""
    rows = []
    k, seed = settings.dice.k, settings.dice.seed
    with figure(path, 9.6, 3.2 * len(views), squeeze=False, nrows=len(views), ncols=2) as (_, grid):
        for at, view in enumerate(views):
            truth = _truth(view, k)
            scores = [_overlap(view, bits, truth, seed) for bits in settings.violin_bits]
            for axes, name, values in (
                (grid[at, 0], "Dice", scores),
                (grid[at, 1], "Jaccard", [score / (2 - score) for score in scores]),
            ):
                axes.violinplot(values, showmedians=True)
                labels = [f"{bits:,}" for bits in settings.violin_bits]
                axes.set_xticks(range(1, len(labels) + 1), labels)
                axes.set(xlabel="bits", ylabel=f"{name} of the top {k}", ylim=(0, 1))
                axes.set_title(view.name, fontsize=9)
                rows += [
                    {"view": view.name, "score": name, "bits": bits, **_quartiles(value)}
                    for bits, value in zip(settings.violin_bits, values, strict=True)
                ]
    return rows


def k_figure(views: list[View], settings: SliceFigures, path: Path) -> list[dict[str, Any]]:
    """Mean Dice and Jaccard against the number of retrieved slices, with the level of chance."""
    rows = []
    with figure(path, 6.4, 4.0) as (_, axes):
        for view in views:
            most = min(max(settings.ks), len(view.base))
            ranked, counts = _truth(view, most), _counts(view, settings.k_bits, settings.dice.seed)
            ks = [k for k in settings.ks if k <= most]
            overlap = [expected_overlap(counts, ranked[:, :k], k) for k in ks]
            means = {
                "Dice": [float(score.mean()) for score in overlap],
                "Jaccard": [float((score / (2 - score)).mean()) for score in overlap],
            }
            for name, style in (("Dice", "-"), ("Jaccard", "--")):
                axes.plot(ks, means[name], style, marker="o", label=f"{view.name}, {name}")
                rows += [
                    {"view": view.name, "score": name, "k": k, "mean": round(mean, 4),
                     "chance": round(k / len(view.base), 5)}
                    for k, mean in zip(ks, means[name], strict=True)
                ]  # fmt: skip
        axes.set(xscale="log", xlabel="slices retrieved", ylim=(0, 1))
        axes.set_ylabel(f"mean score at {settings.k_bits} bits")
        axes.legend()
        axes.grid(alpha=0.3)
    return rows


def scatter_figure(views: list[View], settings: SliceFigures, path: Path) -> list[dict[str, Any]]:
    """Normalised Hamming against Euclidean distance: gamma = 1 above, tuned below."""
    rows = []
    n, lengths = len(views), settings.scatter_bits
    shape = {"nrows": 2 * n, "ncols": len(lengths), "squeeze": False}
    with figure(path, 3.2 * len(lengths), 4.6 * n, **shape) as (_, grid):
        for at, view in enumerate(views):
            rng = np.random.default_rng(settings.dice.seed)
            pairs = curves.sample_pairs(view.base, settings.n_pairs, rng)
            for tuned in (False, True):
                for column, bits in enumerate(lengths):
                    kernel = None if tuned else RadialKernel([1.0])
                    hasher = KernelHasher(bits, kernel=kernel, random_state=settings.dice.seed)
                    row = curves.draw_scatter(
                        grid[2 * at + tuned, column],
                        f"{view.name}, {'tuned' if tuned else 'gamma = 1'}, {bits} bits",
                        view.base,
                        hasher.fit(view.base).hash_,
                        pairs,
                    )
                    rows.append({"view": view.name, "tuned": tuned, "bits": bits, **row})
    return rows


def _truth(view: View, k: int) -> NDArray[np.int64]:
    return np.argsort(curves.euclidean(view.query, view.base), axis=1, kind="stable")[:, :k]


def _counts(view: View, bits: int, seed: int) -> NDArray[np.int32]:
    hasher = KernelHasher(bits, dither=False, random_state=seed).fit(view.base)
    return distances(hasher.transform(view.query), hasher.transform(view.base))


def _overlap(view: View, bits: int, truth: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    return expected_overlap(_counts(view, bits, seed), truth, truth.shape[1])


def _quartiles(values: NDArray[np.float64]) -> dict[str, float]:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    found = {"mean": values.mean(), "q25": low, "median": median, "q75": high}
    return {name: round(float(value), 4) for name, value in found.items()}
