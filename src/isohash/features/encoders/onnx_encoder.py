"""An encoder that is an ONNX network, run by onnxruntime: a trained autoencoder, or one's own.

The network's first input is float32 (batch, 1, size, size), its first output float32
(batch, dim); the batch axis is free or fixed to BLOCK. An autoencoder also brings its decoder,
(batch, dim) -> (batch, 1, size, size), for reconstructions. Networks of volumes take and give
(batch, inputs, size, size, size).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.features.encoders.blocks import BLOCK, checked_images, in_blocks
from isohash.features.encoders.encoder_file import EncoderHeader, KeptEncoder, Tensors
from isohash.features.encoders.onnx_session import Network, open_network


@dataclass(frozen=True, eq=False)
class OnnxEncoder(KeptEncoder):
    """Images (n, size, size) through `network` (ONNX bytes) to (n, dim)."""

    KIND: ClassVar = "onnx"

    name: str
    dim: int
    size: int
    network: bytes = field(repr=False)
    decoder: bytes | None = field(default=None, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def encode(self, images: ArrayLike) -> NDArray[np.float32]:
        """Float32 (n, dim); the same bytes for any batch size."""
        checked = checked_images(images, self.size, *self._volume)
        return in_blocks(checked, self._embed, (self.dim,), self._block)

    def reconstruct(self, images: ArrayLike) -> NDArray[np.float32]:
        """The images as the embedding remembers them: float32 (n, size, size)."""
        return self.decode(self.encode(images))

    def decode(self, embeddings: ArrayLike) -> NDArray[np.float32]:
        """Embeddings (n, dim) to images (n, size, size)."""
        if self.decoder is None:
            raise InputError(f"encoder {self.name} has no decoder: it cannot reconstruct images")

        def run(block: NDArray[np.float32]) -> NDArray[np.float32]:
            out = self._decoder_session.run(block)
            return out if self._volume else out[:, 0]

        shape = self._volume or (self.size, self.size)
        return in_blocks(np.asarray(embeddings), run, shape, self._block)

    @classmethod
    def of(cls, header: EncoderHeader, tensors: Tensors) -> Self:
        """The encoder with this header and these tensors."""
        decoder = tensors["decoder"].tobytes() if "decoder" in tensors else None
        network = tensors["network"].tobytes()
        return cls(header.name, header.dim, header.size, network, decoder, header.settings)

    def _embed(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        out = self._session.run(block if self._volume else block[:, None])
        if out.shape != (len(block), self.dim):
            wanted = (len(block), self.dim)
            raise InputError(f"encoder {self.name} must give {wanted} embeddings, got {out.shape}")
        return out

    @property
    def _volume(self) -> tuple[int, ...]:
        """Shape (inputs, z, y, x) of one volume; empty for an encoder of images."""
        network = self.settings.get("autoencoder", {})
        if network.get("dims", 2) == 2:
            return ()
        return (network["inputs"], *3 * [self.size])

    @property
    def _block(self) -> int:
        """Volumes go one by one: one fills the cache, and mostly there is only one."""
        return 1 if self._volume else BLOCK

    @cached_property
    def _session(self) -> Network:
        return open_network(self.network, self.name)

    @cached_property
    def _decoder_session(self) -> Network:
        assert self.decoder is not None  # decode has refused its absence
        return open_network(self.decoder, self.name)

    @property
    def _header(self) -> EncoderHeader:
        return EncoderHeader(self.KIND, self.name, self.dim, self.size, self.settings)

    @property
    def _tensors(self) -> dict[str, NDArray[Any]]:
        tensors = {"network": np.frombuffer(self.network, dtype=np.uint8)}
        if self.decoder is not None:
            tensors["decoder"] = np.frombuffer(self.decoder, dtype=np.uint8)
        return tensors


def onnx_encoder(
    path: str | Path, *, sha256: str | None = None, name: str | None = None
) -> OnnxEncoder:
    """An encoder of one's own from an ONNX file, pinned by the file's SHA-256.

    Size and dimension are read off the network (by a trial run where it leaves them open). The
    bytes travel with the archive, so the file itself is not needed again. Raises InputError if
    the file is missing, its digest is not `sha256`, or it does not map images to vectors.
    """
    try:
        network = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the ONNX encoder {path}: {error.strerror}") from error
    found = hashlib.sha256(network).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise InputError(f"{path} has SHA-256 {found}, not the pinned {sha256}")
    name = name or Path(path).stem
    session = open_network(network, name)
    shape = session.shape
    if len(shape) != 4 or shape[1] != 1 or shape[2] != shape[3] or not isinstance(shape[2], int):
        raise InputError(f"{path} must take images (batch, 1, size, size), it takes {shape}")
    trial = session.run(np.zeros((BLOCK, 1, *shape[2:]), dtype=np.float32))
    if trial.ndim != 2:
        raise InputError(f"{path} must give vectors (batch, dim), it gives {trial.shape}")
    return OnnxEncoder(name, trial.shape[1], shape[2], network, settings={"sha256": found})
