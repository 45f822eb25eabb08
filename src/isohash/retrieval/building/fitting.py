"""Fitting the models of one view: encoder, hash and calibration, from a sample of its images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.alphabets import bits_per_symbol
from isohash.archive.recipe import IndexSettings
from isohash.features.encoders.encoders import Encoder
from isohash.hashing.bandwidth import neighbour_distance
from isohash.hashing.calibration import Calibration
from isohash.hashing.drawn import DrawnHash
from isohash.hashing.fitted.points import PointHash
from isohash.hashing.pairs import FEWEST_ROWS
from isohash.progress import Progress
from isohash.retrieval.models import HashModel
from isohash.whole_files import private_folder

# Share of a row's length by which rows are made to differ where a source has none that do.
SPREAD = 0.05

# Held-out rows from which on measured intervals are better than those in closed form.
ENOUGH_ROWS = 1000


def told_apart(rows: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float32], bool]:
    """Rows (n, d) that a hash can be tuned to, and whether they had to be made up.

    Slices of a uniform phantom, the first thing that many a physicist tries, are all alike: there
    is no distance to tune to. Rows that differ by `SPREAD` stand for the patients to come.
    """
    if len(rows) > 1 and (rows != rows[0]).any():
        return rows, False
    rng = np.random.default_rng(seed)
    made = rng.standard_normal((max(len(rows), 2 * FEWEST_ROWS), rows.shape[1]))
    length = float(np.linalg.norm(rows[0])) or 1.0
    return (rows[:1] + SPREAD * length / np.sqrt(rows.shape[1]) * made).astype(np.float32), True


def fit_model(
    embeddings: NDArray[np.float32],
    held_out: NDArray[np.float32],
    settings: IndexSettings,
    groups: NDArray[Any] | None = None,
) -> HashModel:
    """Fit a hash to embeddings (n, d) and calibrate it on others (m, d) that it has not seen.

    `groups` (m,) are the patients of the others.
    """
    drawn = fit_hash(embeddings, settings)
    rng = np.random.default_rng(settings.seed)
    near = neighbour_distance(embeddings, rng)
    others = held_out
    if len(held_out) < FEWEST_ROWS:
        others, groups = np.concatenate([embeddings, held_out]), None
    if isinstance(drawn, PointHash) or len(others) >= ENOUGH_ROWS:
        return HashModel(drawn, Calibration.fit(drawn, others, rng, groups=groups), near)
    return HashModel(drawn, Calibration.of(drawn), near)


def hash_for(settings: IndexSettings, n_rows: int) -> IndexSettings:
    """The settings with the hash that `n_rows` of the scarcest view suffice for, and its q."""
    if settings.hash == "adaptive" and n_rows >= FEWEST_ROWS:
        return settings
    return replace(settings, hash="kernel", q=settings.q or 2)


def fit_encoder(
    view: str,
    images: NDArray[np.float32],
    patient: NDArray[Any],
    settings: IndexSettings,
    folder: Path,
    progress: Progress | None,
) -> Encoder:
    """Principal components or an autoencoder fitted to the images, as `settings.encoder` says."""
    if settings.encoder == "autoencoder":
        from isohash.features.encoders.networks import AutoencoderSettings
        from isohash.features.training.settings import TrainingSettings
        from isohash.features.training.training import train_autoencoder

        private_folder(folder)
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
    from isohash.features.encoders.pca import fit_pca

    dim = min(settings.dim, len(images) // 2) or 1
    return fit_pca(images, dim=dim, random_state=settings.seed, name=f"pca-{view}")


def fit_hash(embeddings: NDArray[np.float32], settings: IndexSettings) -> DrawnHash:
    """The hash that the settings name, fitted to embeddings (n, d)."""
    bits, seed, q = settings.bits, settings.seed, settings.q
    if settings.hash == "adaptive":
        from isohash.hashing.adaptive_hasher import make_hasher

        return make_hasher(bits, random_state=seed).fit(embeddings).hash_
    if q is None or q == 2:
        from isohash.hashing.kernel_hasher import KernelHasher

        # t = 0 tells distances apart with 1.8 times fewer bits than a random threshold
        return KernelHasher(n_bits=bits, dither=False, random_state=seed).fit(embeddings).hash_
    from isohash.hashing.lee_hasher import LeeHasher

    n_symbols = max(1, bits // bits_per_symbol(q))
    return LeeHasher(n_symbols=n_symbols, q=q, random_state=seed).fit(embeddings).hash_
