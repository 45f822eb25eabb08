"""What an encoder remembers: inputs beside outputs, and the error in HU or Gy.

Arrays only; `evaluation` draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import ImageKind

Images = NDArray[np.float32]
Rows = NDArray[np.int64]
SOME = 8  # images by which `typical_error` judges
CHUNK = 256  # images at a time: 17 MB each way at 128 x 128


@runtime_checkable
class Reconstructing(Protocol):
    """An encoder that can also go back."""

    def reconstruct(self, images: ArrayLike) -> NDArray[np.float32]:
        """Images (n, size, size) as their embeddings remember them."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Images and what came back, float32 (n, size, size) in [0, 1], with the error per image.

    `mse` (n,) is in squared pixel units; `body_error` (n,) is the mean absolute error over the
    non-empty pixels in the unit of the kind (HU or Gy), 0 where an image is empty.
    """

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    mse: NDArray[np.float64]
    body_error: NDArray[np.float64]


def reconstruct(
    encoder: Reconstructing,
    images: NDArray[np.float32],
    kind: ImageKind,
    settings: SliceSettings,
) -> Reconstruction:
    """Send images (n, size, size) through the encoder and back; outputs are cut to [0, 1]."""
    outputs = np.clip(encoder.reconstruct(images), 0.0, 1.0)
    mse, body_error = _errors(images, outputs, unit_of(kind, settings))
    return Reconstruction(images, outputs, mse, body_error)


def reconstruction_errors(
    encoder: Reconstructing,
    images: NDArray[np.float32],
    kind: ImageKind,
    settings: SliceSettings,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`mse` and `body_error` (n,) of many images without keeping what came back."""
    mse, body_error = np.zeros(len(images)), np.zeros(len(images))
    for start in range(0, len(images), CHUNK):
        rows = slice(start, start + CHUNK)
        part = reconstruct(encoder, images[rows], kind, settings)
        mse[rows], body_error[rows] = part.mse, part.body_error
    return mse, body_error


def typical_error(encoder: object, images: Callable[[Rows], Images], rows: Rows) -> float:
    """The mean absolute error of some of the images, where they are not empty; in their own unit.

    `images` gives those of chosen `rows`. NaN where the encoder cannot go back, or there are none.
    """
    if not isinstance(encoder, Reconstructing) or not len(rows):
        return float("nan")
    if getattr(encoder, "decoder", b"") is None:  # a network of one's own
        return float("nan")
    inputs = images(rows[np.linspace(0, len(rows) - 1, SOME + 2).astype(np.int64)[1:-1]])
    outputs = np.clip(encoder.reconstruct(inputs), 0.0, 1.0)
    return float(_errors(inputs, outputs, 1.0)[1].mean())


def unit_of(kind: ImageKind, settings: SliceSettings) -> float:
    """What a difference of 1 in encoder input means: HU for CT, Gy for dose."""
    low, high = settings.hu_window
    return high - low if kind == "ct" else settings.dose_scale_gy


def _errors(
    images: NDArray[np.float32], outputs: NDArray[np.float32], unit: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    difference = outputs.astype(np.float64) - images
    inside = images > 0
    n_inside = np.maximum(1, inside.sum(axis=(1, 2)))
    body_error = unit * (np.abs(difference) * inside).sum(axis=(1, 2)) / n_inside
    return (difference**2).mean(axis=(1, 2)), body_error
