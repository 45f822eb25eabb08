"""How well codes keep the neighbours of embeddings: Dice and Jaccard against Euclidean top-k.

The literature's experiment: a database of slices of some patients, queries from other patients,
and for each query the overlap of the k nearest by code with the k nearest by Euclidean distance.
The rule for ties: the mean over all orders of tied items (`expected_overlap`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.evaluation.encoders import SliceSet, TrainingPlan, as_float, read_slices, train_one
from isohash.evaluation.metrics import expected_overlap
from isohash.evaluation.results import bootstrap_interval, digest, write_results
from isohash.features.encoders import Encoder, load_encoder
from isohash.index.flat import distances

Progress = Callable[[int, int, str], None]
METRIC = (
    "Dice = |A and B| / k of the k nearest by code (A) and by Euclidean distance of embeddings "
    "(B), averaged over all orders of tied code distances; Jaccard = Dice / (2 - Dice) per query"
)


@dataclass(frozen=True)
class DiceSettings:
    """The experiment. `encoder` is autoencoder, pca, or a folder with ct and dose encoders."""

    encoder: str = "autoencoder"
    bits: tuple[int, ...] = (128, 512, 1024, 4096)
    n_database: int = 7000
    n_queries: int = 400
    k: int = 50
    seed: int = 0
    dim: int = 128
    max_epochs: int = 4


@dataclass(frozen=True, eq=False)
class SliceData:
    """The slices of an experiment."""

    database: SliceSet
    queries: SliceSet

    def to_json(self) -> dict[str, Any]:
        """How many there are, and their digests."""
        parts = {"database": self.database, "queries": self.queries}
        return {
            name: {"n": len(part.patient), "digest": digest(part.images.values())}
            for name, part in parts.items()
        }


def run_dice(
    database: str | Path,
    queries: str | Path,
    out: str | Path,
    settings: DiceSettings | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Run the experiment on two sources and write dice.csv, dice.json and dice.png to `out`."""
    settings = settings or DiceSettings()
    embedded, data = embed_views(database, queries, out, settings, progress)
    rows: list[dict[str, Any]] = []
    for view, (base, query) in embedded.items():
        rows += score_codes(view, base, query, data.queries.patient, settings, progress)
    about = {"metric": METRIC, "settings": asdict(settings), **data.to_json()}
    write_results(out, "dice", rows, about)
    _plot(rows, Path(out) / "dice.png", settings)
    return rows


def embed_views(
    database: str | Path,
    queries: str | Path,
    out: str | Path,
    settings: DiceSettings,
    progress: Progress | None = None,
) -> tuple[dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]], SliceData]:
    """Embeddings (database, queries) per view, and which data they were made from."""
    rng = np.random.default_rng(settings.seed)
    train = read_slices(database, progress)
    asked = drawn(read_slices(queries, progress), settings.n_queries, rng)
    if set(train.patient) & set(asked.patient):
        raise InputError("a patient is in the database and among the queries: the scores would lie")
    stored = drawn(train, settings.n_database, rng)
    embedded = {}
    for view in train.images:
        encoder = _encoder(view, train, settings, out, progress)
        base, query = (encoder.encode(as_float(part.images[view])) for part in (stored, asked))
        embedded[view] = (base, query)
    return embedded, SliceData(stored, asked)


def drawn(slices: SliceSet, n: int, rng: np.random.Generator) -> SliceSet:
    """A random subset of n slices, in the order of the source."""
    if n > len(slices.patient):
        raise InputError(f"{n} slices are wanted, the source has {len(slices.patient)}")
    rows = np.sort(rng.permutation(len(slices.patient))[:n])
    return SliceSet({v: a[rows] for v, a in slices.images.items()}, slices.patient[rows])


def nearest(base: NDArray[np.float32], query: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The k rows of `base` nearest to each query by Euclidean distance, in float64."""
    b, q = base.astype(np.float64), query.astype(np.float64)
    squared = (b * b).sum(axis=1) - 2.0 * q @ b.T  # the query's own norm changes no order
    return np.argsort(squared, axis=1, kind="stable")[:, :k]


def score_codes(
    view: str,
    base: NDArray[np.float32],
    query: NDArray[np.float32],
    patient: NDArray[np.str_],
    settings: DiceSettings,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Dice and Jaccard of every family and code length, with intervals by patient."""
    from isohash.hashing.kernel_hasher import KernelHasher

    truth = nearest(base, query, settings.k)
    rng = np.random.default_rng(settings.seed)
    rows: list[dict[str, Any]] = []
    for bits in settings.bits:
        for family, dither in (("random threshold", True), ("threshold 0", False)):
            if progress is not None:
                progress(len(rows), 2 * len(settings.bits), f"hashing {view} to {bits} bits")
            hasher = KernelHasher(n_bits=bits, dither=dither, random_state=settings.seed).fit(base)
            counts = distances(hasher.transform(query), hasher.transform(base))
            scores = expected_overlap(counts, truth, settings.k)
            low, high = bootstrap_interval(scores, patient, rng)
            rows.append(
                {
                    "view": view,
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


def _encoder(
    view: str, train: SliceSet, settings: DiceSettings, out: str | Path, progress: Progress | None
) -> Encoder:
    if settings.encoder == "pca":
        from isohash.features.pca import fit_pca

        sample = np.linspace(0, len(train.patient) - 1, 2048).round().astype(int)
        return fit_pca(as_float(train.images[view][sample]), settings.dim, settings.seed)
    if settings.encoder != "autoencoder":
        return load_encoder(Path(settings.encoder) / f"{view}.safetensors")
    plan = TrainingPlan(latent=settings.dim, epochs=settings.max_epochs, seed=settings.seed)
    return train_one(view, train, plan, Path(out), progress).encoder


def _plot(rows: Sequence[dict[str, Any]], path: Path, settings: DiceSettings) -> None:
    from isohash.evaluation.plotting import figure

    with figure(path, 6.4, 4.0) as (_, axes):
        for view, marker in (("ct", "o"), ("dose", "s")):
            for family, style in (("threshold 0", "-"), ("random threshold", "--")):
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
