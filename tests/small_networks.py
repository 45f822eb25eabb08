"""Tiny autoencoders, brief trainings and images for them."""

import numpy as np

from isohash.features.encoders.networks import AutoencoderSettings
from isohash.features.training.settings import TrainingSettings

TINY = AutoencoderSettings("shallow", size=16, latent=6, channels=(4, 8))
TINY_DEEP = AutoencoderSettings("deep", size=16, latent=6, channels=(4, 8))
BRIEF = TrainingSettings(
    max_epochs=3, batch_size=16, learning_rate=5e-3, threads=1, precision="float32"
)


def blobs(rng: np.random.Generator, n: int = 96, size: int = 16) -> tuple[np.ndarray, list[str]]:
    """Bright ellipses of random place and shape on black, of 12 patients; in [0, 1]."""
    y, x = np.mgrid[:size, :size]
    centre = rng.uniform(5, 11, size=(n, 2, 1, 1))
    radius = rng.uniform(2, 5, size=(n, 2, 1, 1))
    inside = ((y - centre[:, 0]) / radius[:, 0]) ** 2 + ((x - centre[:, 1]) / radius[:, 1]) ** 2
    images = np.clip(1.5 - inside, 0.0, 1.0).astype(np.float32)
    return images, [f"patient {i % 12}" for i in range(n)]


class Interrupted(Exception):
    pass


def interrupt_at(step: int):
    def progress(done: int, total: int, message: str) -> None:
        if done == step:
            raise Interrupted

    return progress
