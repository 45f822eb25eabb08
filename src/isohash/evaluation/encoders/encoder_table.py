"""Encoders against each other: reconstruction on unseen patients, neighbours kept by codes, time.

The autoencoders are trained under one budget (the shipped encoders' settings); principal
components and the downsampled image are the baselines that they must beat.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from isohash.distances import nearest
from isohash.errors import InputError
from isohash.evaluation.kit.benchmark import drawn
from isohash.evaluation.kit.metrics import expected_overlap
from isohash.evaluation.kit.plotting import check_drawing
from isohash.evaluation.kit.results import bootstrap_interval, write_results
from isohash.evaluation.kit.slice_sets import SliceSet, as_float, read_slices
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import ImageKind
from isohash.features.encoders.downsampled import DownsampledEncoder
from isohash.features.encoders.encoders import load_encoder
from isohash.features.encoders.networks import AutoencoderSettings, Variant
from isohash.features.encoders.onnx_encoder import OnnxEncoder
from isohash.features.encoders.pca import PcaEncoder, fit_pca
from isohash.features.encoders.reconstruction import reconstruction_errors, unit_of
from isohash.features.training.settings import Training, TrainingSettings
from isohash.index.flat import distances
from isohash.progress import Progress, tell
from isohash.whole_files import digest, private_folder

Reversible = DownsampledEncoder | PcaEncoder | OnnxEncoder
VARIANTS: tuple[Variant, ...] = ("shallow", "deep")
UNITS = {"ct": "HU", "dose": "Gy"}
TIMED_STEPS, TIMED_IMAGES = 24, 640
METRIC = (
    "mse: mean squared error of pixels in 0..1, outputs clipped to 0..1, with a 95 % interval by "
    "patient; error: mean absolute error inside the body or the dose; dice: overlap of the k "
    "nearest by code with the k nearest by Euclidean distance, mean over seeds and over all orders "
    "of tied distances; seconds_per_epoch: processor time of a training step (median of 24) times "
    "the steps of an epoch"
)


@dataclass(frozen=True)
class TableSettings:
    """What is measured. Every `every`th slice of the unseen patients is reconstructed."""

    bits: tuple[int, ...] = (128, 512, 1024)
    n_database: int = 7000
    n_queries: int = 400
    k: int = 50
    every: int = 2
    hash_seeds: tuple[int, ...] = (0, 1, 2)
    seed: int = 0


def run_table(
    training: str | Path,
    validation: str | Path,
    weights: str | Path,
    out: str | Path,
    settings: TableSettings | None = None,
    plan: TrainingSettings | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train what `weights` lacks, measure all encoders; writes encoders.csv/.json and -losses."""
    check_drawing()
    settings, plan = settings or TableSettings(), plan or shipped_plan()
    train, unseen = read_slices(training, progress), read_slices(validation, progress)
    if set(train.patient) & set(unseen.patient):
        raise InputError("a patient is in training and in validation: the errors would lie")
    rows: list[dict[str, Any]] = []
    losses: list[dict[str, Any]] = []
    for view in train.images:
        trained = {v: trained_encoder(train, view, v, weights, plan, progress) for v in VARIANTS}
        losses += [loss for t in trained.values() for loss in loss_rows(t)]
        encoders: list[Reversible] = [
            DownsampledEncoder(),
            _principal_components(train.images[view]),
            *(t.encoder for t in trained.values()),
        ]
        for encoder in encoders:
            tell(progress, len(rows), 8, f"measuring {encoder.name} on {view}")
            row = {"view": view, "encoder": _plain_name(encoder), "dim": encoder.dim}
            row |= _reconstruction(encoder, view, unseen, settings)
            row |= _neighbours(encoder, view, train, unseen, settings)
            learned = trained.get(cast(Variant, row["encoder"]))
            if learned is not None:
                row |= _budget(learned, train, view, plan)
            rows.append(row)
    about = {
        "metric": METRIC,
        "settings": asdict(settings),
        "training": plan.to_json(),
        "train_digest": digest(*train.images.values()),
        "validation_digest": digest(*unseen.images.values()),
    }
    write_results(out, "encoders", rows, about)
    write_results(out, "encoders-losses", losses, about)
    _plot_losses(losses, Path(out) / "encoders-losses.png")
    return rows


def shipped_plan() -> TrainingSettings:
    """The budget of the shipped encoders."""
    from isohash.features.training.settings import SHIPPED_TRAINING

    return SHIPPED_TRAINING


def trained_encoder(
    train: SliceSet,
    view: str,
    variant: Variant,
    weights: str | Path,
    plan: TrainingSettings,
    progress: Progress | None = None,
) -> Training:
    """Train `{view}-{variant}` into `weights`, or read what an earlier run left there."""
    from isohash.features.training.training import train_autoencoder

    folder, name = Path(weights), f"{view}-{variant}"
    private_folder(folder)

    def told(done: int, total: int, message: str) -> None:
        tell(progress, done, total, f"{name} {message}")

    images = train.images[view]
    training = train_autoencoder(
        images,
        train.patient,
        AutoencoderSettings(variant, size=images.shape[-1]),
        plan,
        name=name,
        about={"kind": view, "slices": SliceSettings(size=images.shape[-1]).to_json()},
        checkpoint=folder / f"{name}.checkpoint.safetensors",
        progress=told,
    )
    training.encoder.save(folder / f"{name}.safetensors")
    return training


def autoencoder_file(weights: str | Path, view: str, variant: Variant) -> OnnxEncoder:
    """A trained autoencoder from the folder where `trained_encoder` left it."""
    path = Path(weights) / f"{view}-{variant}.safetensors"
    if not path.is_file():
        raise InputError(f"no encoder at {path}: train it with isohash evaluate encoders")
    encoder = load_encoder(path)
    if not isinstance(encoder, OnnxEncoder):
        raise InputError(f"{path} is not an autoencoder: train one with isohash evaluate encoders")
    return encoder


def loss_rows(training: Training) -> list[dict[str, Any]]:
    """Losses after each epoch, as a table."""
    return [
        {
            "encoder": training.encoder.name,
            "epoch": number,
            "training_loss": round(epoch.training_loss, 6),
            "validation_loss": round(epoch.validation_loss, 6),
        }
        for number, epoch in enumerate(training.history, start=1)
    ]


def _principal_components(images: NDArray[np.uint8]) -> PcaEncoder:
    """128 components of all the training slices, read in blocks."""

    def blocks() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(images), 1024):
            yield as_float(images[start : start + 1024])

    return fit_pca(blocks(), dim=min(128, len(images) // 2))


def _plain_name(encoder: Reversible) -> str:
    """`ct-deep` is `deep` in a table that has a column for the view."""
    return encoder.name.rpartition("-")[2]


def _reconstruction(
    encoder: Reversible, view: str, unseen: SliceSet, settings: TableSettings
) -> dict[str, Any]:
    images, patient = unseen.images[view][:: settings.every], unseen.patient[:: settings.every]
    slices, kind = SliceSettings(size=images.shape[-1]), cast(ImageKind, view)
    mse, error = reconstruction_errors(encoder, as_float(images), kind, slices)
    low, high = bootstrap_interval(mse, patient, np.random.default_rng(settings.seed))
    digits = 1 if unit_of(kind, slices) > 100 else 2
    return {
        "mse": round(float(mse.mean()), 6),
        "mse_low": round(low, 6),
        "mse_high": round(high, 6),
        "error": round(float(error.mean()), digits),
        "unit": UNITS[view],
    }


def _neighbours(
    encoder: Reversible, view: str, train: SliceSet, unseen: SliceSet, settings: TableSettings
) -> dict[str, Any]:
    """Dice by code length for cosine codes with t = 0, and for adaptive codes at the longest."""
    from isohash.hashing.adaptive_hasher import make_hasher
    from isohash.hashing.kernel_hasher import KernelHasher

    rng = np.random.default_rng(settings.seed)
    asked, stored = (
        drawn(unseen, settings.n_queries, rng),
        drawn(train, settings.n_database, rng),
    )
    query, base = (encoder.encode(as_float(part.images[view])) for part in (asked, stored))
    truth = nearest(base, query, settings.k)

    def dice(hasher: Any) -> NDArray[np.float64]:
        hasher.fit(base)
        counts = distances(hasher.transform(query), hasher.transform(base))
        return expected_overlap(counts, truth, settings.k)

    row: dict[str, Any] = {}
    for bits in settings.bits:
        scores = np.mean(
            [dice(KernelHasher(bits, dither=False, random_state=s)) for s in settings.hash_seeds],
            axis=0,
        )
        row[f"dice_{bits}"] = round(float(scores.mean()), 4)
    low, high = bootstrap_interval(scores, asked.patient, rng)
    row |= {"dice_low": round(low, 4), "dice_high": round(high, 4)}
    adaptive = dice(make_hasher(max(settings.bits), random_state=settings.seed))
    return row | {"dice_adaptive": round(float(adaptive.mean()), 4)}


def _budget(
    learned: Training, train: SliceSet, view: str, plan: TrainingSettings
) -> Mapping[str, Any]:
    epochs = len(learned.history)
    network = AutoencoderSettings.from_json(learned.encoder.settings["autoencoder"])
    seconds = step_seconds(train.images[view], train.patient, network, plan)
    return {
        "epochs": epochs,
        "seconds_per_epoch": round(seconds * learned.n_steps / epochs, 1),
        "digest": learned.encoder.digest,
    }


def step_seconds(
    images: NDArray[np.uint8],
    patient: NDArray[np.str_],
    network: AutoencoderSettings,
    plan: TrainingSettings,
) -> float:
    """Processor time of one training step: the median of `TIMED_STEPS`, of a training thrown away.

    Other work on the machine hardly changes it, which it would the time on the clock.
    """
    from isohash.features.training.training import train_autoencoder

    rows = np.linspace(0, len(images) - 1, min(len(images), TIMED_IMAGES)).astype(int)
    at: list[float] = []
    train_autoencoder(
        images[rows],
        patient[rows],
        network,
        replace(plan, max_epochs=1, max_steps=TIMED_STEPS + 1),
        progress=lambda done, total, message: at.append(time.process_time()),
    )
    return float(np.median(np.diff(at))) if len(at) > 1 else 0.0


def _plot_losses(losses: list[dict[str, Any]], path: Path) -> None:
    """Training and held-out loss by epoch: one panel per view."""
    from isohash.evaluation.kit.plotting import figure

    views = list(dict.fromkeys(row["encoder"].partition("-")[0] for row in losses))
    with figure(path, 7.2, 2.8, ncols=len(views), squeeze=False) as (_, grid):
        for axes, view in zip(grid[0], views, strict=True):
            for at, variant in enumerate(VARIANTS):
                line = [row for row in losses if row["encoder"] == f"{view}-{variant}"]
                for key, style in (("training_loss", "--"), ("validation_loss", "-")):
                    told = f"{variant}, {'held out' if style == '-' else 'training'}"
                    values = [row[key] for row in line]
                    epochs = [row["epoch"] for row in line]
                    axes.plot(epochs, values, style, color=f"C{at}", marker=".", label=told)
            axes.set(title=view, xlabel="epoch", yscale="log")
            axes.xaxis.get_major_locator().set_params(integer=True)
        grid[0, 0].set_ylabel("mean squared error")
        grid[0, 0].legend(fontsize=7)
