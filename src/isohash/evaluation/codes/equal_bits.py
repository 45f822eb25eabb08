"""Which codes keep the nearest neighbours best at equal stored bits: our families and others'.

Views: MNIST digits (the autoencoder's latents), CT and dose slices of OpenKBP (database: training
patients, queries: validation patients). Each family is fitted to the database; Dice compares its
k nearest with the Euclidean k nearest. Every trial is kept in the work folder when it is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.alphabets import bits_per_symbol
from isohash.distances import nearest
from isohash.evaluation.codes.digits import DigitSettings, digit_views
from isohash.evaluation.codes.scatter import UNTRAINED, shown_name
from isohash.evaluation.codes.study import Row
from isohash.evaluation.kit.baselines import Float, Trial, baselines
from isohash.evaluation.kit.benchmark import DiceSettings, kept_views
from isohash.evaluation.kit.metrics import expected_overlap, expected_recall
from isohash.evaluation.kit.parts import Parts, work_folder
from isohash.evaluation.kit.plotting import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PAGE_WIDTH,
    PURPLE,
    SKY,
    VERMILION,
    check_drawing,
    figure,
)
from isohash.evaluation.kit.results import bootstrap_interval, write_results
from isohash.evaluation.kit.views import Embedded
from isohash.hashing.adaptive_hasher import make_hasher
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.hashing.lee_hasher import LeeHasher
from isohash.index.flat import distances
from isohash.kernels.learning.learner import KernelLearner
from isohash.kernels.radial import RadialKernel
from isohash.progress import Progress, tell
from isohash.records import Metric

KS = (10, 50, 100)
LEE_VARIANTS: tuple[tuple[int, Metric], ...] = ((4, "lee"), (16, "lee"))
LEE: tuple[tuple[int, Metric], ...] = (
    (10, "lee"), (4, "squared_lee"), (16, "squared_lee"), *LEE_VARIANTS
)  # fmt: skip
DIGITS = "mnist"  # name of the view of digits
RECALL = (10, 100)  # share of the 10 nearest among the first 100 by code
METRIC = (
    "diceK: |A and B| / K of the K nearest by code (A) and by Euclidean distance (B), mean over "
    "queries and over all orders of tied code distances; recall10@100: share of the Euclidean 10 "
    "nearest among the 100 nearest by code, by the same rule for ties; low and high: 95 % "
    "bootstrap interval, resampling patients (digits: single queries); stored_bits: of an item, "
    "with everything that its distances need"
)


@dataclass(frozen=True)
class CodesSettings:
    """Sizes of the experiment; digits, and variants that differ little, take fewer lengths."""

    bits: tuple[int, ...] = (32, 128, 256, 512, 1024, 4096)
    digit_bits: tuple[int, ...] = (32, 128, 1024, 4096)
    variant_bits: tuple[int, ...] = (128, 1024)
    n_digits: int = 7000
    n_digit_queries: int = 400
    n_features: int = 500
    digits: DigitSettings = field(default_factory=DigitSettings)
    slices: DiceSettings = field(default_factory=lambda: DiceSettings(encoder="deep"))
    seed: int = 0


def run_codes(
    data: str | Path,
    out: str | Path,
    settings: CodesSettings | None = None,
    progress: Progress | None = None,
    work: str | Path | None = None,
) -> list[Row]:
    """Run or resume the comparison on the data sets below `data`; writes codes.csv/.json/.png.

    `data` holds mnist/mnist.npz, openkbp/train and openkbp/validation.
    """
    check_drawing()
    settings, folder = settings or CodesSettings(), Path(out)
    kept = work_folder(out, work)
    views, about = _views(Path(data), kept, settings, progress)
    rows = compare(views, settings, kept / "codes-parts", progress)
    about = {"metric": METRIC, "settings": asdict(settings), "data": about}
    write_results(folder, "codes", rows, about)
    draw_codes(rows, folder / "codes.png")
    return rows


def _views(
    data: Path, work: Path, settings: CodesSettings, progress: Progress | None
) -> tuple[list[Embedded], dict[str, Any]]:
    digits = data / "mnist" / "mnist.npz"
    latent = digit_views(digits, work, settings.digits, progress)[0][-1]
    latent = Embedded(DIGITS, latent.base, latent.query, latent.groups)
    latent = latent.first(settings.n_digits, settings.n_digit_queries)
    parts = (data / "openkbp" / "train", data / "openkbp" / "validation")
    slices, told = kept_views(*parts, work, settings.slices, progress)
    views = [*slices, latent]
    sizes = {
        v.name: {"n": len(v.base), "dim": v.base.shape[1], "embeddings": v.digest} for v in views
    }
    return views, {"views": sizes, "slices": told}


def compare(
    views: Sequence[Embedded],
    settings: CodesSettings,
    work: Path,
    progress: Progress | None = None,
) -> list[Row]:
    """One row per view, length and family."""
    trials = [(view, trial) for view in views for trial in _trials(view, settings)]
    rows: list[Row] = []
    for done, (view, trial) in enumerate(trials):
        tell(
            progress, done, len(trials), f"codes of {view.name}: {trial.family}, {trial.bits} bits"
        )
        about = {"view": view.digest, "seed": settings.seed, "ks": KS, "recall": RECALL}
        about |= {"n_features": settings.n_features}
        kind = "query" if trial.asymmetric else "code"
        name = f"{view.name}-{trial.family}-{kind}-{trial.bits}".replace(" ", "_")
        rows += Parts(work, about).get(name, partial(_scores, view, trial, settings.seed))
    return rows


def _trials(view: Embedded, settings: CodesSettings) -> Iterator[Trial]:
    learned = cache(partial(_learned_kernel, view.base, settings.seed))
    for bits in settings.digit_bits if view.name == DIGITS else settings.bits:
        yield from ours(bits, settings, learned)
        yield from baselines(bits, view.base.shape[1])


def _learned_kernel(base: Float, seed: int) -> RadialKernel:
    return KernelLearner("alignment", random_state=seed).fit(base).kernel


def _scores(view: Embedded, trial: Trial, seed: int) -> list[Row]:
    """Dice and recall of one trial, with their intervals."""
    found = trial.measure(view.base, view.query, seed)
    truth = nearest(view.base, view.query, max(KS))
    scores = {f"dice{k}": expected_overlap(found, truth[:, :k], k) for k in KS}
    wanted, shown = RECALL
    scores[f"recall{wanted}@{shown}"] = expected_recall(found, truth[:, :wanted], shown)
    row: Row = {"view": view.name, "family": trial.family, "bits": trial.bits}
    row |= {"stored_bits": trial.stored_bits, "query": "real" if trial.asymmetric else "code"}
    for name, values in scores.items():
        low, high = bootstrap_interval(values, view.groups, np.random.default_rng(seed))
        numbers = (float(values.mean()), low, high)
        for suffix, value in zip(("", "_low", "_high"), numbers, strict=True):
            row[f"{name}{suffix}"] = round(value, 4)
    return [row]


def ours(
    bits: int, settings: CodesSettings, learned: Callable[[], RadialKernel]
) -> Iterator[Trial]:
    """Our families at this many bits, the literature's hash first."""
    seed = settings.seed
    hashers: dict[str, Any] = {
        "random t, gamma = 1": KernelHasher(bits, UNTRAINED, random_state=seed),
        "random t, tuned": KernelHasher(bits, random_state=seed),
        "t = 0": KernelHasher(bits, dither=False, random_state=seed),
    }
    if bits in settings.variant_bits:
        hashers |= {
            "random t, independent": KernelHasher(bits, orthogonal=False, random_state=seed),
            "random t, stratified": KernelHasher(bits, dither="stratified", random_state=seed),
        }
    for q, metric in LEE:
        if (q, metric) in LEE_VARIANTS and bits not in settings.variant_bits:
            continue
        name = f"{'squared ' if metric == 'squared_lee' else ''}Lee, q = {q}"
        length = bits // bits_per_symbol(q)
        hashers[name] = LeeHasher(length, q, random_state=seed, metric=metric)
    hashers[f"Lee, q = 10, {settings.n_features} features"] = LeeHasher(
        bits // bits_per_symbol(10), 10, n_features=settings.n_features, random_state=seed
    )
    for name, hasher in hashers.items():
        yield Trial(name, bits, bits, False, partial(_by_codes, hasher))
    yield Trial("random t, trained", bits, bits, False, partial(_trained, learned, bits))
    yield Trial("make_hasher", bits, bits, False, partial(_by_codes, make_hasher(bits, seed)))
    yield Trial("make_hasher", bits, bits, True, partial(_asymmetric, bits))


def _by_codes(hasher: Any, base: Float, query: Float, seed: int) -> NDArray[Any]:
    hasher.fit(base)
    return distances(hasher.transform(query), hasher.transform(base))


def _trained(
    learned: Callable[[], RadialKernel], bits: int, base: Float, query: Float, seed: int
) -> NDArray[Any]:
    return _by_codes(KernelHasher(bits, learned(), random_state=seed), base, query, seed)


def _asymmetric(bits: int, base: Float, query: Float, seed: int) -> NDArray[Any]:
    hasher = make_hasher(bits, seed, "vectors").fit(base)
    return hasher.asymmetric(query, hasher.transform(base))


# Family, whether the query is real-valued, colour, line, marker.
DRAWN = (
    ("make_hasher", "code", BLUE, "-", "o"),
    ("squared Lee, q = 16", "code", SKY, "-", "s"),
    ("t = 0", "code", GREEN, "-", "^"),
    ("random t, tuned", "code", PURPLE, "-", "v"),
    ("random t, gamma = 1", "code", GREY, "--", "v"),
    ("FAISS LSH", "code", ORANGE, "--", "P"),
    ("FAISS OPQ", "code", VERMILION, "--", "D"),
    ("FAISS RQ", "code", BLACK, "--", "d"),
    ("spectral hashing", "code", BLACK, ":", "X"),
    ("make_hasher", "real", BLUE, "-", "o"),
    ("FAISS OPQ", "real", VERMILION, "--", "D"),
    ("FAISS RQ", "real", BLACK, "--", "d"),
    ("FAISS PQ", "real", ORANGE, "--", "P"),
    ("FAISS RaBitQ", "real", BLACK, ":", "X"),
)


def draw_codes(rows: list[Row], path: Path) -> None:
    """Dice@50 against stored bits: codes against codes above, real-valued queries below."""
    views = list(dict.fromkeys(row["view"] for row in rows))
    shape: dict[str, Any] = {"nrows": 2, "ncols": len(views), "squeeze": False}
    with figure(path, PAGE_WIDTH, 5.6, sharex=True, sharey=True, **shape) as (_, grid):
        for line, query in zip(grid, ("code", "real"), strict=True):
            for axes, view in zip(line, views, strict=True):
                mine = [r for r in rows if (r["view"], r["query"]) == (view, query)]
                _draw_lines(axes, mine, query)
                axes.set_title(shown_name(view))
            handles, labels = line[0].get_legend_handles_labels()
            line[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1.0, 0.5))
        grid[0, 0].set_ylabel("Dice@50, code against code")
        grid[1, 0].set_ylabel("Dice@50, real query against code")
        for axes in grid[1]:
            axes.set_xlabel("stored bits")


def _draw_lines(axes: Any, rows: list[Row], query: str) -> None:
    for family, kind, colour, style, marker in DRAWN:
        mine = [row for row in rows if row["family"] == family]
        if kind != query or not mine:
            continue
        bits, dice = [r["stored_bits"] for r in mine], [r["dice50"] for r in mine]
        error = [
            [r["dice50"] - r["dice50_low"] for r in mine],
            [r["dice50_high"] - r["dice50"] for r in mine],
        ]
        look = {"color": colour, "linestyle": style, "marker": marker, "label": family}
        axes.errorbar(bits, dice, error, markersize=3.5, elinewidth=0.7, capsize=1.5, **look)
    axes.set(xscale="log", ylim=(0, 1.02))
    axes.set_xticks([32, 128, 512, 2048], ["32", "128", "512", "2048"])
    axes.minorticks_off()
