"""How well codes keep the neighbours of embeddings: Dice and Jaccard against Euclidean top-k.

The literature's experiment: a database of slices of some patients, queries from other patients,
and for each query the overlap of the k nearest by code with the k nearest by Euclidean distance.
The rule for ties: the mean over all orders of tied items (`expected_overlap`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isohash.distances import nearest
from isohash.errors import InputError
from isohash.evaluation.kit.metrics import expected_overlap
from isohash.evaluation.kit.parts import work_folder
from isohash.evaluation.kit.plotting import check_drawing
from isohash.evaluation.kit.results import bootstrap_interval, write_results
from isohash.evaluation.kit.slice_sets import (
    SliceSet,
    TrainingPlan,
    as_float,
    read_slices,
    train_one,
)
from isohash.evaluation.kit.views import Embedded, files_digest, load_views, save_views
from isohash.features.encoders.encoders import Encoder, load_encoder
from isohash.features.encoders.shipped import shipped_encoder
from isohash.index.flat import distances
from isohash.progress import Progress, tell
from isohash.whole_files import digest

if TYPE_CHECKING:
    from isohash.hashing.estimator import HasherEstimator

METRIC = (
    "Dice = |A and B| / k of the k nearest by code (A) and by Euclidean distance of embeddings "
    "(B), averaged over all orders of tied code distances; Jaccard = Dice / (2 - Dice) per query"
)


@dataclass(frozen=True)
class DiceSettings:
    """The experiment.

    `encoder` is autoencoder (trained here), deep (the shipped ones), pca, or a folder with
    ct.safetensors and dose.safetensors.
    """

    encoder: str = "autoencoder"
    bits: tuple[int, ...] = (128, 512, 1024, 4096)
    n_database: int = 7000
    n_queries: int = 400
    k: int = 50
    seed: int = 0
    dim: int = 128
    max_epochs: int = 4


EMBEDDING_SETTINGS = ("encoder", "n_database", "n_queries", "seed", "dim", "max_epochs")


def run_dice(
    database: str | Path,
    queries: str | Path,
    out: str | Path,
    settings: DiceSettings | None = None,
    progress: Progress | None = None,
    work: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Run the experiment on two sources and write dice.csv, dice.json and dice.png to `out`.

    A trained encoder is kept in `work` (see `work_folder`).
    """
    check_drawing()
    settings = settings or DiceSettings()
    views, data = embed_views(database, queries, work_folder(out, work), settings, progress)
    rows: list[dict[str, Any]] = []
    for view in views:
        rows += score_codes(view, settings, progress)
    about = {"metric": METRIC, "settings": asdict(settings), **data}
    write_results(out, "dice", rows, about)
    _plot(rows, Path(out) / "dice.png", settings)
    return rows


def embed_views(
    database: str | Path,
    queries: str | Path,
    work: str | Path,
    settings: DiceSettings,
    progress: Progress | None = None,
) -> tuple[list[Embedded], dict[str, Any]]:
    """Embeddings of CT and of dose, and how many slices of what digest they were made from.

    A trained encoder is kept in the folder `work`.
    """
    rng = np.random.default_rng(settings.seed)
    train = read_slices(database, progress)
    asked = drawn(read_slices(queries, progress), settings.n_queries, rng)
    if set(train.patient) & set(asked.patient):
        raise InputError("a patient is in the database and among the queries: the scores would lie")
    stored = drawn(train, settings.n_database, rng)
    views = []
    for name in train.images:
        encoder = _encoder(name, train, settings, work, progress)
        base, query = (encoder.encode(as_float(part.images[name])) for part in (stored, asked))
        views.append(Embedded(name, base, query, asked.patient))
    parts = {"database": stored, "queries": asked}
    about = {
        name: {
            "n": len(part.patient),
            "patients": len(np.unique(part.patient)),
            "digest": digest(*part.images.values()),
        }
        for name, part in parts.items()
    }
    return views, about


def kept_views(
    database: str | Path,
    queries: str | Path,
    work: Path,
    settings: DiceSettings,
    progress: Progress | None = None,
) -> tuple[list[Embedded], dict[str, Any]]:
    """As `embed_views`; made once for the same files and settings, and kept in `work`."""
    files = [files_digest(source) for source in (database, queries)]
    made_from = {name: getattr(settings, name) for name in EMBEDDING_SETTINGS}
    key = digest(settings={"settings": made_from, "files": files})
    kept = load_views(work / "slices.npz", key)
    if kept is None:
        kept = embed_views(database, queries, work, settings, progress)
        save_views(work / "slices.npz", key, *kept)
    return kept


def drawn(slices: SliceSet, n: int, rng: np.random.Generator) -> SliceSet:
    """A random subset of n slices, in the order of the source."""
    if n > len(slices.patient):
        raise InputError(f"{n} slices are wanted, the source has {len(slices.patient)}")
    rows = np.sort(rng.permutation(len(slices.patient))[:n])
    return SliceSet({v: a[rows] for v, a in slices.images.items()}, slices.patient[rows])


def score_codes(
    view: Embedded, settings: DiceSettings, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Dice and Jaccard of every family and code length, with intervals by patient."""
    truth = nearest(view.base, view.query, settings.k)
    rng = np.random.default_rng(settings.seed)
    rows: list[dict[str, Any]] = []
    for bits in settings.bits:
        for family, hasher in _hashers(bits, settings.seed).items():
            total = len(STYLES) * len(settings.bits)
            tell(progress, len(rows), total, f"hashing {view.name} to {bits} bits")
            hasher.fit(view.base)
            counts = distances(hasher.transform(view.query), hasher.transform(view.base))
            scores = expected_overlap(counts, truth, settings.k)
            low, high = bootstrap_interval(scores, view.groups, rng)
            rows.append(
                {
                    "view": view.name,
                    "encoder": settings.encoder,
                    "family": family,
                    "bits": bits,
                    "dice": round(float(scores.mean()), 4),
                    "low": round(low, 4),
                    "high": round(high, 4),
                    "jaccard": round(float((scores / (2 - scores)).mean()), 4),
                }
            )
    return rows


# The line of each family in the figure, best first.
STYLES = {"default": ":", "threshold 0": "-", "random threshold": "--"}


def _hashers(bits: int, seed: int) -> dict[str, HasherEstimator]:
    """The families compared, by their names in the table."""
    from isohash.hashing.adaptive_hasher import make_hasher
    from isohash.hashing.kernel_hasher import KernelHasher

    return {
        "random threshold": KernelHasher(bits, random_state=seed),
        "threshold 0": KernelHasher(bits, dither=False, random_state=seed),
        "default": make_hasher(bits, seed),
    }


def _encoder(
    view: str, train: SliceSet, settings: DiceSettings, work: str | Path, progress: Progress | None
) -> Encoder:
    if settings.encoder == "deep":
        return shipped_encoder(f"{view}-deep")
    if settings.encoder == "pca":
        from isohash.features.encoders.pca import fit_pca

        sample = np.linspace(0, len(train.patient) - 1, 2048).round().astype(int)
        return fit_pca(as_float(train.images[view][sample]), settings.dim, settings.seed)
    if settings.encoder != "autoencoder":
        return load_encoder(Path(settings.encoder) / f"{view}.safetensors")
    plan = TrainingPlan(latent=settings.dim, epochs=settings.max_epochs, seed=settings.seed)
    return train_one(view, train, plan, Path(work), progress).encoder


def _plot(rows: Sequence[dict[str, Any]], path: Path, settings: DiceSettings) -> None:
    from isohash.evaluation.kit.plotting import figure

    with figure(path, 6.4, 4.0) as (_, axes):
        for view, marker in (("ct", "o"), ("dose", "s")):
            for family, style in STYLES.items():
                line = [r for r in rows if r["view"] == view and r["family"] == family]
                bits, dice = [r["bits"] for r in line], [r["dice"] for r in line]
                error = [
                    [r["dice"] - r["low"] for r in line],
                    [r["high"] - r["dice"] for r in line],
                ]
                label = f"{view}, {family}"
                axes.errorbar(bits, dice, error, marker=marker, linestyle=style, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(settings.bits), [str(b) for b in settings.bits])
        axes.set(
            xlabel="stored bits per slice", ylabel=f"Dice of the top {settings.k}", ylim=(0, 1)
        )
        axes.legend()
        axes.grid(alpha=0.3)
