"""One training loop for every autoencoder: resumable, deterministic by seed, stopped early.

The loop minimises the mean squared error of the reconstruction with Adam under a cosine schedule
with warm-up. Patients, not slices, are held out for validation. After every epoch the whole state
goes to one checkpoint (safetensors with a JSON header); training that is interrupted and started
again with the same arguments ends with the same bytes as if it had not been.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import ImageKind, case_slices, encoder_input
from isohash.features.encoders.networks import AutoencoderSettings
from isohash.features.training.objectives import Objective
from isohash.features.training.settings import Training, TrainingSettings
from isohash.progress import Progress
from isohash.records import Case


def train_autoencoder(
    images: NDArray[Any],
    groups: Sequence[str] | NDArray[Any],
    network: AutoencoderSettings | None = None,
    settings: TrainingSettings | None = None,
    *,
    name: str = "autoencoder",
    about: Mapping[str, Any] | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
    objective: Objective | None = None,
    second: NDArray[Any] | None = None,
    labels: NDArray[np.int64] | None = None,
) -> Training:
    """Train on images (n, size, size): float in [0, 1], or uint8 standing for 0..1.

    Volumes are (n, inputs, size, size, size), with a `network` of three dims. The objective is
    the reconstruction, or another of `objectives`; `second` (a second view of every item, of the
    same shape) and `labels` (its kind) are for the Siamese one.

    `groups` (n,) names each image's patient. With `checkpoint`, an interrupted training goes on
    where its last epoch ended; a checkpoint of other images or settings is refused. `about` is
    kept in the encoder's file. Raises MissingExtra without torch.
    """
    from isohash.features.training.devices import device_of
    from isohash.features.training.images import TrainingImages
    from isohash.features.training.trainer import Trainer

    images = np.asarray(images)
    network = network or AutoencoderSettings(size=images.shape[-1])
    shape = images.shape if network.dims == 3 else (images.shape[0], 1, *images.shape[1:])
    if shape[1:] != network.image_shape or len(images) != len(groups):
        raise InputError(
            f"training takes images (n, size, size) and n groups, or volumes (n, inputs, size, "
            f"size, size), got {images.shape} and {len(groups)} groups for {network.image_shape}"
        )
    settings = settings or TrainingSettings()
    device = device_of(settings.device)
    shown = TrainingImages(images, groups, second, labels, network, settings, device)
    trainer = Trainer(shown, network, settings, progress, objective)
    state = trainer.run(None if checkpoint is None else Path(checkpoint))
    return trainer.result(state, name, about or {})


def training_images(
    cases: Iterable[Case], kind: ImageKind, settings: SliceSettings
) -> tuple[NDArray[np.uint8], list[str]]:
    """What an encoder of `kind` learns from: images (n, size, size) and their patients.

    The dosed slices of every case, or all its slices with a body where the case has no dose;
    cases without `kind` are passed over. One byte a pixel: 4 HU or 0.3 Gy by default.
    """
    images: list[NDArray[np.uint8]] = []
    patients: list[str] = []
    for case in cases:
        if (case.ct if kind == "ct" else case.dose) is None:
            continue
        view = case_slices(case, settings)
        rows = view.has_dose if case.dose is not None else np.ones(len(view), dtype=bool)
        images.append(np.rint(255.0 * encoder_input(view, kind)[rows]).astype(np.uint8))
        patients += [case.patient] * int(rows.sum())
    if not patients:
        raise InputError(f"no case has slices of {kind} to train on")
    return np.concatenate(images), patients


def train_encoder(
    cases: Iterable[Case],
    kind: ImageKind,
    network: AutoencoderSettings | None = None,
    training: TrainingSettings | None = None,
    slices: SliceSettings | None = None,
    *,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train an autoencoder on the slices of cases: `training_images`, then `train_autoencoder`.

    The encoder is named after kind and variant ("ct-shallow") and keeps the slice settings.
    """
    network = network or AutoencoderSettings()
    slices = slices or SliceSettings(size=network.size)
    images, patients = training_images(cases, kind, slices)
    return train_autoencoder(
        images,
        patients,
        network,
        training,
        name=f"{kind}-{network.variant}",
        about={"kind": kind, "slices": slices.to_json()},
        checkpoint=checkpoint,
        progress=progress,
    )
