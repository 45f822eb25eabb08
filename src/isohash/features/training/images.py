"""The images of a training, and the batches that are made of them step by step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.groups import held_out_groups
from isohash.features.encoders.networks import AutoencoderSettings
from isohash.features.training.autoencoder import torch
from isohash.features.training.losses import Batch
from isohash.features.training.settings import TrainingSettings

Images = NDArray[np.float32]  # (n, inputs, y, x) or (n, inputs, z, y, x)


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """Images (n, ...) of `groups` (n,), with a `second` view and `labels` of each if known."""

    images: NDArray[Any]
    groups: Sequence[str] | NDArray[Any]
    second: NDArray[Any] | None
    labels: NDArray[np.int64] | None
    network: AutoencoderSettings
    settings: TrainingSettings
    device: torch.device

    @cached_property
    def _held_out(self) -> NDArray[np.bool_]:
        share, seed = self.settings.validation_share, self.settings.random_state
        return held_out_groups(self.groups, share, seed)

    @cached_property
    def training(self) -> NDArray[np.int64]:
        """Numbers of the images that are trained on."""
        return np.flatnonzero(~self._held_out)

    @cached_property
    def validation(self) -> NDArray[np.int64]:
        """Numbers of the images of held-out groups."""
        return np.flatnonzero(self._held_out)

    @property
    def layout(self) -> Any:
        """How torch lays out a batch."""
        return torch.channels_last if self.network.dims == 2 else torch.channels_last_3d

    @cached_property
    def digest(self) -> str:
        """SHA-256 of images, groups, second views and labels."""
        digest = hashlib.sha256(f"{self.images.dtype.str} {self.images.shape}\n".encode())
        digest.update("\n".join(str(group) for group in self.groups).encode())
        others = (array for array in (self.second, self.labels) if array is not None)
        for array in (self.images, *others):
            for start in range(0, len(array), 256):  # in blocks: no copy of all the images
                digest.update(np.ascontiguousarray(array[start : start + 256]).tobytes())
        return digest.hexdigest()

    def order(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """An epoch's batches of image numbers, by seed and epoch alone."""
        rng = np.random.default_rng([self.settings.random_state, 2, epoch])
        order, size = rng.permutation(self.training), self.settings.batch_size
        for start in range(0, len(order), size):
            yield np.sort(order[start : start + size])

    def clean(self, rows: NDArray[np.int64]) -> Images:
        """Images as a network takes them, in [0, 1]."""
        return self._scaled(self.images[rows])

    def batch(self, rows: NDArray[np.int64], step: int | None) -> Batch:
        """What is shown and wanted in a step; all that is random depends on seed and step alone.

        Without a step, in validation, nothing is random.
        """
        shown = wanted = self.clean(rows)
        rng = None
        if step is not None:
            rng = np.random.default_rng([self.settings.random_state, 3, step])
            if self.settings.augmentation is not None:
                shown, wanted = self.settings.augmentation(shown, rng)
        return Batch(
            self._tensor(shown),
            self._tensor(wanted),
            None if self.second is None else self._tensor(self._scaled(self.second[rows])),
            None if self.labels is None else self.labels[rows],
            rng,
        )

    def _scaled(self, images: NDArray[Any]) -> Images:
        batch = images.reshape(len(images), *self.network.image_shape)
        scale = 1.0 / 255.0 if batch.dtype == np.uint8 else 1.0
        return batch.astype(np.float32) * np.float32(scale)

    def _tensor(self, images: Images) -> torch.Tensor:
        return torch.from_numpy(images).to(self.device, memory_format=self.layout)
