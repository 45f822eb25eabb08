"""The plainest encoder: an image on a coarse grid. A baseline that learned encoders must beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.features.encoders.blocks import checked_images, in_blocks
from isohash.features.encoders.encoder_file import EncoderHeader, encoder_digest, write_encoder


@dataclass(frozen=True, eq=False)
class DownsampledEncoder:
    """Images (n, size, size) to the means of `side` x `side` squares, row by row."""

    name: str = "downsampled"
    size: int = 128
    side: int = 16
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.side < 1 or self.size % self.side:
            raise InputError(f"side must divide the image size {self.size}, got {self.side}")

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.side**2

    @cached_property
    def digest(self) -> str:
        """SHA-256 that names this encoder."""
        return encoder_digest(self._header, {})

    def encode(self, images: ArrayLike) -> NDArray[np.float32]:
        """Float32 (n, dim); the same bytes for any batch size."""
        step = self.size // self.side

        def means(block: NDArray[np.float32]) -> NDArray[np.float32]:
            squares = block.reshape(len(block), self.side, step, self.side, step)
            return squares.mean(axis=(2, 4), dtype=np.float32).reshape(len(block), -1)

        return in_blocks(checked_images(images, self.size), means, (self.dim,))

    def reconstruct(self, images: ArrayLike) -> NDArray[np.float32]:
        """The images as the coarse grid remembers them: float32 (n, size, size)."""
        step = self.size // self.side
        coarse = self.encode(images).reshape(-1, self.side, self.side)
        return coarse.repeat(step, axis=1).repeat(step, axis=2)

    def save(self, path: str | Path) -> None:
        """Write the encoder to one safetensors file."""
        write_encoder(path, self._header, {})

    @classmethod
    def from_file(
        cls, header: EncoderHeader, tensors: Mapping[str, NDArray[Any]]
    ) -> DownsampledEncoder:
        """The encoder of a file that `save` wrote."""
        settings = dict(header.settings)
        return cls(header.name, header.size, settings.pop("side"), settings)

    @property
    def _header(self) -> EncoderHeader:
        settings = {**self.settings, "side": self.side}
        return EncoderHeader("downsampled", self.name, self.dim, self.size, settings)
