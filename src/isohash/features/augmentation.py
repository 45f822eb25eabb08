"""Disturbances of training images that leave the geometry alone.

Flips and rotations would make left and right parotid, or chin and neck, the same to the encoder;
scanners differ in gain, offset and noise instead. The autoencoder sees the disturbed image and
must give back the clean one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """Sizes of the disturbances; pixels are in [0, 1].

    Every image is multiplied by 1 + U(-gain, gain), shifted by U(-offset, offset), and every
    pixel gets normal noise of standard deviation `noise`. Empty pixels (0: air, no dose) stay 0.
    """

    gain: float = 0.05
    offset: float = 0.02
    noise: float = 0.02

    def __post_init__(self) -> None:
        if min(self.gain, self.offset, self.noise) < 0:
            raise InputError("gain, offset and noise must not be negative")

    def __call__(
        self, images: NDArray[np.float32], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Disturbed copies of images (n, ..., y, x)."""
        per_image = (len(images), *[1] * (images.ndim - 1))
        gain = rng.uniform(1.0 - self.gain, 1.0 + self.gain, per_image)
        offset = rng.uniform(-self.offset, self.offset, per_image)
        noise = self.noise * rng.standard_normal(images.shape, dtype=np.float32)
        disturbed = np.clip(images * gain + offset + noise, 0.0, 1.0)
        return np.where(images > 0, disturbed, 0.0).astype(np.float32)
