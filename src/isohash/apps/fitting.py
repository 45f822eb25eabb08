"""Fitting the models of one view: encoder, hash and calibration, from a sample of its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.apps.pipeline import HashModel
from isohash.apps.retrieval import View
from isohash.apps.settings import IndexSettings, Progress
from isohash.features.encoders import Encoder
from isohash.hashing.bandwidth import neighbour_distance
from isohash.hashing.calibration import Calibration
from isohash.hashing.drawn import DrawnHash
from isohash.records import bits_per_symbol


def fit_model(embeddings: NDArray[np.float32], bits: int, q: int, seed: int) -> HashModel:
    """Draw and calibrate a hash of `bits` stored bits for embeddings (n, d)."""
    drawn = fit_hash(embeddings, bits, q, seed)
    near = neighbour_distance(embeddings, np.random.default_rng(seed))
    return HashModel(drawn, Calibration.of(drawn), near)


def fit_encoder(
    view: View,
    images: NDArray[np.float32],
    patient: NDArray[Any],
    settings: IndexSettings,
    folder: Path,
    progress: Progress | None,
) -> Encoder:
    """Principal components or an autoencoder fitted to the images, as `settings.encoder` says."""
    if settings.encoder == "autoencoder":
        from isohash.features.networks import AutoencoderSettings
        from isohash.features.training import TrainingSettings, train_autoencoder

        folder.mkdir(parents=True, exist_ok=True)
        training = train_autoencoder(
            images,
            patient,
            AutoencoderSettings(size=images.shape[-1], latent=settings.dim),
            TrainingSettings(random_state=settings.seed),
            name=f"autoencoder-{view}",
            checkpoint=folder / f"{view}.safetensors",
            progress=progress,
        )
        return training.encoder
    from isohash.features.pca import fit_pca

    dim = min(settings.dim, len(images) // 2) or 1
    return fit_pca(images, dim=dim, random_state=settings.seed, name=f"pca-{view}")


def fit_hash(embeddings: NDArray[np.float32], bits: int, q: int, seed: int) -> DrawnHash:
    """Draw a hash of `bits` stored bits: the sign-cosine code for q = 2, the Lee code otherwise."""
    if q == 2:
        from isohash.hashing.kernel_hasher import KernelHasher

        # t = 0 tells distances apart with 1.8 times fewer bits than a random threshold
        return KernelHasher(n_bits=bits, dither=False, random_state=seed).fit(embeddings).hash_
    from isohash.hashing.lee_hasher import LeeHasher

    n_symbols = max(1, bits // bits_per_symbol(q))
    return LeeHasher(n_symbols=n_symbols, q=q, random_state=seed).fit(embeddings).hash_
