"""Disturbances of training images that leave the geometry alone.

Flips and rotations would make left and right parotid, or chin and neck, the same to the encoder.
Scanners differ in gain, offset and noise instead, and patients in where exactly they lie. The
autoencoder sees the moved and disturbed image and must give back the moved, clean one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """Sizes of the disturbances; pixels are in [0, 1].

    Every image is moved by up to `shift` whole pixels along each axis (what leaves on one side is
    lost, the other side is filled with 0), multiplied by 1 + U(-gain, gain), raised by
    U(-offset, offset), and every pixel gets normal noise of standard deviation `noise`. Empty
    pixels (0: air, no dose) stay 0.
    """

    shift: int = 2
    gain: float = 0.05
    offset: float = 0.02
    noise: float = 0.02

    def __post_init__(self) -> None:
        if min(self.shift, self.gain, self.offset, self.noise) < 0:
            raise InputError("shift, gain, offset and noise must not be negative")

    def __call__(
        self, images: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the network sees and what it must give, both as images (n, ..., y, x)."""
        wanted = self._moved(images, rng)
        per_image = (len(images), *[1] * (images.ndim - 1))
        gain = rng.uniform(1.0 - self.gain, 1.0 + self.gain, per_image)
        offset = rng.uniform(-self.offset, self.offset, per_image)
        noise = self.noise * rng.standard_normal(images.shape, dtype=np.float32)
        disturbed = np.clip(wanted * gain + offset + noise, 0.0, 1.0)
        return np.where(wanted > 0, disturbed, 0.0).astype(np.float32), wanted

    def _moved(self, images: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        moves = rng.integers(-self.shift, self.shift + 1, size=(len(images), 2))
        moved = np.zeros_like(images)
        height, width = images.shape[-2:]
        for out, image, (down, right) in zip(moved, images, moves, strict=True):
            out[..., max(0, down) : height + down, max(0, right) : width + right] = image[
                ..., max(0, -down) : height - down, max(0, -right) : width - right
            ]
        return moved
