"""Encoders of whole volumes: trained by three objectives, compared where they have not trained.

What an embedding is worth is judged on unseen patients: does a near volume have a near plan? The
plan distance is the mean absolute difference of dose-volume histograms over shared structures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from isohash.distances import distance_matrix
from isohash.dosimetry.plan_distance import plan_distances
from isohash.errors import InputError
from isohash.evaluation.kit.metrics import expected_overlap
from isohash.evaluation.kit.results import write_results
from isohash.features.cases.geometry import dvh_features
from isohash.features.encoders.networks import AutoencoderSettings, Variant
from isohash.features.encoders.shipped import OPENKBP_GEOMETRY
from isohash.features.encoders.volumes import VolumeSettings, case_volume, target_kind
from isohash.features.training.augmentation import Augmentation
from isohash.features.training.objectives import OBJECTIVES, Siamese, objective_named
from isohash.features.training.settings import Training, TrainingSettings
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.index.flat import distances
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.sources.reading import find
from isohash.whole_files import digest, private_folder

SHOWN = VolumeSettings()
SECOND = VolumeSettings(channels=("dose", "structures"))  # the Siamese objective's other view
NEAREST = 5
METRIC = (
    "mse: mean squared error of the volume's voxels in 0..1, outputs clipped; spearman: rank "
    "correlation of embedding and plan distance over all pairs of unseen patients; nearest_gy: "
    "mean plan distance to the nearest patient by embedding; dice: overlap of the 5 nearest by "
    "code with the 5 nearest by embedding"
)
# Volumes are few and large: small batches, more epochs, and moves by up to two voxels.
VOLUME_TRAINING = TrainingSettings(
    max_epochs=10,
    batch_size=8,
    learning_rate=1e-3,
    patience=6,
    threads=1,
    precision="float32",
    augmentation=Augmentation(shift=2, gain=0, offset=0, noise=0),
)


@dataclass(frozen=True, eq=False)
class VolumeSet:
    """Volumes of many patients as bytes standing for 0..1, with kinds of targets and DVHs in Gy."""

    shown: NDArray[np.uint8]
    second: NDArray[np.uint8]
    kind: NDArray[np.int64]
    patient: list[str]
    doses: NDArray[np.float64]


def read_volumes(source: str | Path, progress: Progress | None = None) -> VolumeSet:
    """Everything below a path that has CT, dose and structures."""
    found = find(source).found
    shown, second, kinds, patients, doses = [], [], [], [], []
    for done, one in enumerate(found):
        tell(progress, done, len(found), f"reading {one.key}")
        case = one.read()
        if not isinstance(case, Case) or case.ct is None or case.dose is None:
            continue
        shown.append(_bytes(case_volume(case, SHOWN)))
        second.append(_bytes(case_volume(case, SECOND)))
        kinds.append(target_kind(case))
        patients.append(case.patient)
        doses.append(dvh_features(case, OPENKBP_GEOMETRY))
    if not patients:
        raise InputError(f"{source}: no case there has both CT and dose")
    n_structures = len(OPENKBP_GEOMETRY.structures)
    return VolumeSet(
        np.stack(shown),
        np.stack(second),
        np.array(kinds),
        patients,
        np.array(doses).reshape(len(doses), n_structures, -1),
    )


def train_volumes(
    volumes: VolumeSet,
    loss: str,
    out: str | Path,
    network: AutoencoderSettings | None = None,
    plan: TrainingSettings = VOLUME_TRAINING,
    progress: Progress | None = None,
) -> Training:
    """Train `volume-{loss}` into `out`, going on where an earlier run stopped."""
    from isohash.features.training.training import train_autoencoder

    objective, folder = objective_named(loss), Path(out)
    private_folder(folder)
    siamese = isinstance(objective, Siamese)
    network = replace(network or volume_network(), unit=siamese)

    def told(done: int, total: int, message: str) -> None:
        tell(progress, done, total, f"volume-{loss} {message}")

    training = train_autoencoder(
        volumes.shown,
        volumes.patient,
        network,
        plan,
        name=f"volume-{loss}",
        about={"volume": SHOWN.to_json()},
        checkpoint=folder / f"volume-{loss}.checkpoint.safetensors",
        progress=told,
        objective=objective,
        second=volumes.second if siamese else None,
        labels=volumes.kind if siamese else None,
    )
    training.encoder.save(folder / f"volume-{loss}.safetensors")
    return training


def volume_network(variant: Variant = "deep", latent: int = 128) -> AutoencoderSettings:
    """The network of volumes: the layers of the networks of slices, with cubes for kernels."""
    return AutoencoderSettings(
        variant, size=SHOWN.size, latent=latent, dims=3, inputs=len(SHOWN.channels)
    )


def train_from(
    source: str | Path,
    out: str | Path,
    loss: str = "autoencoder",
    network: AutoencoderSettings | None = None,
    plan: TrainingSettings = VOLUME_TRAINING,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train on the cases below a path; writes the encoder and training.csv/.json to `out`."""
    objective_named(loss)  # a wrong name is refused before anything is read
    volumes = read_volumes(source, progress)
    training = train_volumes(volumes, loss, out, network, plan, progress)
    rows = [{"cases": len(volumes.patient), **_summary(training)}]
    about = {"plan": plan.to_json(), "data_digest": digest(volumes.shown, volumes.second)}
    write_results(out, "training", rows, about)
    return rows


def run_volumes(
    training: str | Path,
    validation: str | Path,
    weights: str | Path,
    out: str | Path,
    network: AutoencoderSettings | None = None,
    plan: TrainingSettings = VOLUME_TRAINING,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train what `weights` lacks and judge all on unseen patients; volumes.csv/.json in `out`."""
    train, unseen = read_volumes(training, progress), read_volumes(validation, progress)
    if set(train.patient) & set(unseen.patient) or len(unseen.patient) < 3:
        raise InputError("validation needs at least 3 patients that are not in training")
    images = unseen.shown.astype(np.float32) / np.float32(255)
    coarse = images.reshape(*images.shape[:2], *3 * [8, images.shape[-1] // 8]).mean((3, 5, 7))
    rows = [{"encoder": "downsampled", **_judged(coarse.reshape(len(coarse), -1), train, unseen)}]
    for loss in OBJECTIVES:
        trained = train_volumes(train, loss, weights, network, plan, progress)
        embeddings = trained.encoder.encode(images)
        error = np.clip(trained.encoder.decode(embeddings), 0.0, 1.0) - images
        rows.append(
            {
                "encoder": loss,
                "mse": round(float((error.astype(np.float64) ** 2).mean()), 6),
                **_judged(embeddings, train, unseen),
                **_summary(trained),
            }
        )
    about = {
        "metric": METRIC,
        "volume": SHOWN.to_json(),
        "training": plan.to_json(),
        "losses": {name: asdict(make()) for name, make in OBJECTIVES.items()},
        "train_digest": digest(train.shown, train.second),
        "validation_digest": digest(unseen.shown, unseen.second),
    }
    write_results(out, "volumes", rows, about)
    return rows


def _judged(
    embeddings: NDArray[np.float32], train: VolumeSet, unseen: VolumeSet
) -> Mapping[str, float]:
    """How embeddings (n, d) of the unseen patients agree with their plans, and codes with them."""
    apart = distance_matrix(embeddings, embeddings)
    plan = plan_distances(unseen.doses, unseen.doses)
    pairs = np.triu_indices(len(apart), 1)
    np.fill_diagonal(apart, np.inf)
    k = min(NEAREST, len(apart) - 1)
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :k]
    hasher = KernelHasher(n_bits=1024, dither=False, random_state=0)
    codes = hasher.fit(embeddings).transform(embeddings)
    counts = distances(codes, codes)
    np.fill_diagonal(counts, np.iinfo(counts.dtype).max)  # a patient is not its own neighbour
    return {
        "dim": embeddings.shape[1],
        "spearman": round(float(spearmanr(apart[pairs], plan[pairs]).statistic), 3),
        "nearest_gy": round(float(plan[np.arange(len(plan)), nearest[:, 0]].mean()), 2),
        "dice": round(float(expected_overlap(counts, nearest, k).mean()), 3),
    }


def _summary(training: Training) -> dict[str, Any]:
    best = training.history[training.best_epoch]
    return {
        "epochs": len(training.history),
        "validation_loss": round(best.validation_loss, 6),
        "digest": training.encoder.digest,
    }


def _bytes(volume: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(255 * volume).astype(np.uint8)
