"""Principal components of images: the encoder that needs nothing but NumPy.

The images are averaged over `pool` x `pool` pixels first: the leading components are smooth, so
little is lost, and the model is `pool`^2 times smaller and faster. The fit uses the randomised
SVD of Halko, Martinsson and Tropp (SIAM Review 53, 2011, algorithm 4.4) with power iterations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.features.encoders.blocks import checked_images, in_blocks
from isohash.features.encoders.encoder_file import EncoderHeader, KeptEncoder, Tensors

OVERSAMPLING = 32  # extra random directions; more sharpen the last components
POWER_ITERATIONS = 4


@dataclass(frozen=True, eq=False)
class PcaEncoder(KeptEncoder):
    """Images (n, size, size) to their `dim` leading principal components.

    `mean` (p,) and `components` (dim, p), orthonormal rows, live on the pooled grid;
    `explained` (dim,) is the share of the fitted images' variance on each component.
    """

    KIND: ClassVar = "pca"

    name: str
    size: int
    pool: int
    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    explained: NDArray[np.float32]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return len(self.components)

    def encode(self, images: ArrayLike) -> NDArray[np.float32]:
        """Float32 (n, dim); the same bytes for any batch size."""
        # Sums in float64: what the order of summation changes is lost in rounding to float32.
        basis = self.components.astype(np.float64).T  # (p, dim)

        def project(block: NDArray[np.float32]) -> NDArray[np.float32]:
            centred = _pooled(block, self.pool).astype(np.float64) - self.mean
            return (centred @ basis).astype(np.float32)

        return in_blocks(checked_images(images, self.size), project, (self.dim,))

    def reconstruct(self, images: ArrayLike) -> NDArray[np.float32]:
        """The images as the embedding remembers them: float32 (n, size, size)."""

        def project(block: NDArray[np.float32]) -> NDArray[np.float32]:
            flat = self.encode(block) @ self.components + self.mean
            side = self.size // self.pool
            small = flat.reshape(-1, side, side)
            return small.repeat(self.pool, axis=1).repeat(self.pool, axis=2)

        return in_blocks(checked_images(images, self.size), project, (self.size, self.size))

    @classmethod
    def of(cls, header: EncoderHeader, tensors: Tensors) -> Self:
        """The encoder with this header and these tensors."""
        settings = dict(header.settings)
        pool = settings.pop("pool")
        return cls(header.name, header.size, pool, **tensors, settings=settings)

    @property
    def _header(self) -> EncoderHeader:
        settings = {**self.settings, "pool": self.pool}
        return EncoderHeader(self.KIND, self.name, self.dim, self.size, settings)

    @property
    def _tensors(self) -> dict[str, NDArray[Any]]:
        return {
            "mean": self.mean,
            "components": self.components,
            "explained": self.explained,
        }


def fit_pca(
    images: ArrayLike | Iterable[NDArray[Any]],
    dim: int = 128,
    random_state: int = 0,
    *,
    pool: int = 2,
    name: str = "pca",
    settings: Mapping[str, Any] | None = None,
) -> PcaEncoder:
    """Fit a PcaEncoder on images (n, size, size), or on an iterable of such blocks.

    Given blocks, no more than one of them and the pooled images are in memory at once (64 MB for
    4 000 images of 128 x 128). Components are ordered by variance; the entry of largest magnitude
    is positive. The same images and `random_state` give the same encoder.
    """
    blocks = [images] if isinstance(images, np.ndarray) else images
    size = 0
    parts: list[NDArray[np.float32]] = []
    for block in blocks:  # type: ignore[union-attr]
        array = np.asarray(block)
        size = size or array.shape[-1]
        parts.append(_pooled(checked_images(array, size), pool))
    flat = np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)
    del parts
    if not 1 <= dim <= min(flat.shape):
        raise InputError(
            f"dim must lie between 1 and {min(flat.shape)} for {len(flat)} images of "
            f"{flat.shape[1]} pooled pixels, got {dim}: pass more images or a smaller dim"
        )
    mean = flat.mean(axis=0, dtype=np.float64).astype(np.float32)
    flat -= mean
    total = float(np.einsum("ij,ij->", flat, flat, dtype=np.float64))
    singular, components = _leading_components(flat, dim, np.random.default_rng(random_state))
    explained = singular**2 / total if total > 0 else np.zeros(dim)
    fitted = {"random_state": random_state, "n_images": len(flat), **(settings or {})}
    return PcaEncoder(
        name, size, pool, mean, components, explained.astype(np.float32), settings=fitted
    )


def _pooled(images: NDArray[Any], pool: int) -> NDArray[np.float32]:
    """Means over pool x pixel squares, flattened: (n, (size / pool)^2)."""
    n, size = images.shape[:2]
    if size % pool:
        raise InputError(f"pool must divide the image size {size}, got {pool}")
    side = size // pool
    squares = images.reshape(n, side, pool, side, pool)
    out = np.zeros((n, side, side), dtype=np.float32)
    for i in range(pool):
        for j in range(pool):
            out += squares[:, :, i, :, j]
    out *= np.float32(1.0 / pool**2)
    return out.reshape(n, side * side)


def _leading_components(
    centred: NDArray[np.float32], dim: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The `dim` largest singular values and right singular vectors (dim, p) of (n, p)."""
    width = min(dim + OVERSAMPLING, *centred.shape)
    directions = rng.standard_normal((centred.shape[1], width)).astype(np.float32)
    span, _ = np.linalg.qr(centred @ directions)  # (n, width)
    for _ in range(POWER_ITERATIONS):
        span, _ = np.linalg.qr(centred.T @ span)
        span, _ = np.linalg.qr(centred @ span)
    small = (span.T @ centred).astype(np.float64)  # (width, p)
    _, singular, vectors = np.linalg.svd(small, full_matrices=False)
    vectors = vectors[:dim]
    peak = vectors[np.arange(dim), np.abs(vectors).argmax(axis=1)]
    signs = np.where(peak < 0, -1.0, 1.0)
    return singular[:dim], (vectors * signs[:, None]).astype(np.float32)
