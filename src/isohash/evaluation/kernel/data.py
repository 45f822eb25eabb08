"""The kernel-learning experiment's settings, and the vectors that it measures on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.evaluation.kernel.mean_field import MeanFieldSettings
from isohash.evaluation.kit.slice_sets import as_float, read_slices
from isohash.features.encoders.pca import fit_pca
from isohash.whole_files import digest


@dataclass(frozen=True)
class MixtureSettings:
    """When a mixture helps: ranges of distance to read, and data whose clusters have two widths.

    `ranges` are ends of r; the two widths are `factors` apart. `read_at` distances of each range
    are read off codes of `read_bits`, `read_pairs` pairs each in `read_repeats` draws of the hash.
    """

    ranges: tuple[tuple[float, float], ...] = ((3.0, 20.0), (0.5, 20.0), (0.05, 20.0))
    error: float = 0.1
    n_particles: int = 200
    n_steps: int = 2000
    read_at: int = 7
    read_bits: int = 16_384
    read_pairs: int = 60
    read_repeats: int = 5
    factors: tuple[float, ...] = (1.0, 10.0, 30.0, 100.0, 300.0)
    n_points: int = 3000
    bits: tuple[int, ...] = (512, 4096)


@dataclass(frozen=True)
class KernelSettings:
    """The experiment. Data sets: mnist (50 principal components) and ct (128 of OpenKBP slices)."""

    datasets: tuple[str, ...] = ("mnist", "ct")
    bits: tuple[int, ...] = (128, 512, 4096)
    n_seeds: int = 10
    n_database: int = 7000
    n_queries: int = 200
    k: int = 50
    n_particles: int = 500
    n_steps: int = 2000
    cost_particles: tuple[int, ...] = (100, 300, 1000)
    cost_pairs: tuple[int, ...] = (10_000, 100_000)
    mixture: MixtureSettings = field(default_factory=MixtureSettings)
    mean_field: MeanFieldSettings = field(default_factory=MeanFieldSettings)


QUICK = KernelSettings(
    ("mnist",), (128, 512), n_seeds=2, n_database=1000, n_queries=50, n_particles=50, n_steps=200,
    cost_particles=(50,), cost_pairs=(1000,),
    mixture=MixtureSettings(
        ranges=((0.5, 20.0),), n_particles=40, n_steps=200, read_at=3, read_bits=2048,
        read_pairs=30, read_repeats=2, factors=(1.0, 100.0), n_points=1000, bits=(512,),
    ),
    mean_field=MeanFieldSettings(
        n_pairs=20, times=(0.0, 5.0), compared_at=5.0, n_particles=(50, 200), n_repeats=3,
        n_shown=500,
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class EmbeddedSet:
    """Embeddings to search (n, d) and embeddings to ask with, from other patients or images."""

    base: NDArray[np.float32]
    queries: NDArray[np.float32]

    @property
    def digest(self) -> str:
        """SHA-256 of both."""
        return digest(self.base, self.queries)

    def drawn(self, n_database: int, n_queries: int, seed: int) -> EmbeddedSet:
        """A random part of both."""
        rng = np.random.default_rng(seed)
        return EmbeddedSet(
            self.base[rng.permutation(len(self.base))[:n_database]],
            self.queries[rng.permutation(len(self.queries))[:n_queries]],
        )


@cache
def read_vectors(name: str, data_dir: str | Path) -> EmbeddedSet:
    """The embeddings of a data set below `data_dir`."""
    folder = Path(data_dir)
    if name == "mnist":
        return _mnist(folder / "mnist" / "mnist.npz")
    if name == "ct":
        return _ct(folder / "openkbp")
    raise InputError(f"data set must be mnist or ct, got {name!r}")


def _mnist(path: Path) -> EmbeddedSet:
    try:
        with np.load(path, allow_pickle=False) as file:
            images = [file[part].reshape(-1, 784) for part in ("x_train", "x_test")]
    except OSError as error:
        raise InputError(f"MNIST cannot be read: {error}") from error
    train, test = (image.astype(np.float32) / np.float32(255) for image in images)
    mean = train.mean(axis=0)
    centred = train[:5000].astype(np.float64) - mean
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-51:-1].astype(np.float32)
    return EmbeddedSet((train - mean) @ axes, (test - mean) @ axes)


def _ct(folder: Path) -> EmbeddedSet:
    """Queries are slices of other patients than the database."""
    base, queries = (
        as_float(read_slices(folder / part).images["ct"]) for part in ("train", "validation")
    )
    encoder = fit_pca(base[:: max(1, len(base) // 2048)], 128)
    return EmbeddedSet(encoder.encode(base), encoder.encode(queries))


def two_scales(factor: float, n_points: int, n_queries: int, seed: int) -> EmbeddedSet:
    """Two wide clusters and two `factor` times narrower ones, in 16 dimensions."""
    rng = np.random.default_rng(seed)
    centres = 12.0 * rng.standard_normal((4, 16))
    width = np.where(np.arange(4) < 2, 1.0, 1.0 / factor)
    member = rng.integers(0, 4, n_points + n_queries)
    rows = centres[member] + width[member, None] * rng.standard_normal((len(member), 16))
    points = rows.astype(np.float32)
    return EmbeddedSet(points[:n_points], points[n_points:])
