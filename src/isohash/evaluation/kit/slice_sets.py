"""Slices of many patients as one training set, and autoencoders trained on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.evaluation.kit.results import write_results
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import ImageKind, case_slices, encoder_input
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.sources.reading import find
from isohash.whole_files import digest, private_folder

if TYPE_CHECKING:
    from isohash.features.encoders.networks import Variant
    from isohash.features.training.settings import Training


@dataclass(frozen=True, eq=False)
class SliceSet:
    """Slices with dose of many patients: uint8 images standing for 0..1, and each one's patient."""

    images: dict[str, NDArray[np.uint8]]
    patient: NDArray[np.str_]


@dataclass(frozen=True)
class TrainingPlan:
    """Which autoencoder, and for how long at most."""

    variant: Variant = "shallow"
    latent: int = 128
    epochs: int = 8
    seed: int = 0


def read_slices(source: str | Path, progress: Progress | None = None) -> SliceSet:
    """All slices with CT and dose below a path, in the default slice settings."""
    found = find(source).found
    images: dict[str, list[NDArray[np.uint8]]] = {"ct": [], "dose": []}
    patient: list[str] = []
    for done, one in enumerate(found):
        tell(progress, done, len(found), f"reading {one.key}")
        case = one.read()
        if not isinstance(case, Case) or case.ct is None or case.dose is None:
            continue
        slices = case_slices(case, SliceSettings())
        for view, parts in images.items():
            values = encoder_input(slices, cast(ImageKind, view))[slices.has_dose]
            parts.append(np.rint(255 * values).astype(np.uint8))
        patient += [case.patient] * int(slices.has_dose.sum())
    if not patient:
        raise InputError(f"{source}: no case there has both CT and dose")
    joined = {view: np.concatenate(parts) for view, parts in images.items()}
    return SliceSet(joined, np.array(patient))


def as_float(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images as an encoder takes them, in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def train_one(
    view: str, train: SliceSet, plan: TrainingPlan, out: Path, progress: Progress | None
) -> Training:
    """Train one view's autoencoder on all slices of the set; its file is kept in `out`."""
    from isohash.features.encoders.networks import AutoencoderSettings
    from isohash.features.training.settings import TrainingSettings
    from isohash.features.training.training import train_autoencoder

    private_folder(out)
    training = train_autoencoder(
        train.images[view],
        train.patient,
        AutoencoderSettings(variant=plan.variant, latent=plan.latent),
        TrainingSettings(random_state=plan.seed, max_epochs=plan.epochs),
        name=f"{plan.variant}-{view}",
        checkpoint=out / f"{view}.checkpoint",
        progress=progress,
    )
    training.encoder.save(out / f"{view}.safetensors")
    return training


def train_both(
    source: str | Path,
    out: str | Path,
    variant: str = "shallow",
    latent: int = 128,
    epochs: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train a CT and a dose autoencoder; writes them and training.csv/.json to `out`."""
    plan = TrainingPlan(cast("Variant", variant), latent, epochs, seed)
    train = read_slices(source, progress)
    rows = []
    for view in train.images:
        training = train_one(view, train, plan, Path(out), progress)
        best = training.history[training.best_epoch]
        rows.append(
            {
                "view": view,
                "variant": variant,
                "slices": len(train.patient),
                "epochs": len(training.history),
                "validation_mse": round(best.validation_loss, 6),
                "seconds_per_epoch": round(best.seconds, 1),
                "digest": training.encoder.digest,
            }
        )
    about = {"plan": asdict(plan), "data_digest": digest(*train.images.values())}
    write_results(out, "training", rows, about)
    return rows
