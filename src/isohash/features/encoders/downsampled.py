"""The plainest encoder: an image on a coarse grid. A baseline that learned encoders must beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.features.encoders.blocks import checked_images, in_blocks
from isohash.features.encoders.encoder_file import EncoderHeader, KeptEncoder, Tensors


@dataclass(frozen=True, eq=False)
class DownsampledEncoder(KeptEncoder):
    """Images (n, size, size) to the means of `side` x `side` squares, row by row."""

    KIND: ClassVar = "downsampled"

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

    @classmethod
    def of(cls, header: EncoderHeader, tensors: Tensors) -> Self:
        """The encoder with this header and these tensors."""
        settings = dict(header.settings)
        return cls(header.name, header.size, settings.pop("side"), settings)

    @property
    def _header(self) -> EncoderHeader:
        settings = {**self.settings, "side": self.side}
        return EncoderHeader(self.KIND, self.name, self.dim, self.size, settings)

    @property
    def _tensors(self) -> Tensors:
        return {}
