"""The border between images and embeddings: what an encoder is, and how to load one.

Loading and encoding need neither torch nor scikit-learn; an autoencoder's file carries its
network as ONNX.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.features.encoders.appearance import AppearanceEncoder
from isohash.features.encoders.downsampled import DownsampledEncoder
from isohash.features.encoders.encoder_file import content_of, parse_encoder
from isohash.features.encoders.onnx_encoder import OnnxEncoder
from isohash.features.encoders.pca import PcaEncoder


class Encoder(Protocol):
    """Turns images of one size into vectors whose Euclidean distance is meaningful."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def dim(self) -> int:
        """Length of an embedding."""

    @property
    def size(self) -> int:
        """Height and width of the images it takes."""

    @property
    def digest(self) -> str:
        """SHA-256 of its weights and settings: equal digests give equal embeddings."""

    def encode(self, images: ArrayLike) -> NDArray[np.float32]:
        """Images (n, size, size) in [0, 1] to float32 (n, dim).

        An image's embedding does not depend on the other images in the call.
        """

    def to_bytes(self) -> bytes:
        """The content of its file."""

    def save(self, path: str | Path) -> None:
        """Write the encoder to one file that `load_encoder` reads."""


class Readable(Protocol):
    """An encoder of one kind, made from the bytes of its file."""

    @classmethod
    def from_bytes(cls, data: bytes, source: str = ...) -> Self:
        """The encoder; InputError names the `source` of bytes that hold none."""


OfImages = PcaEncoder | OnnxEncoder | DownsampledEncoder | AppearanceEncoder
OF_IMAGES: dict[str, type[OfImages]] = {
    one.KIND: one for one in (PcaEncoder, OnnxEncoder, DownsampledEncoder, AppearanceEncoder)
}
Kind = TypeVar("Kind", bound=Readable)


@overload
def load_encoder(path: str | Path) -> Encoder: ...


@overload
def load_encoder(path: str | Path, kind: type[Kind]) -> Kind: ...


def load_encoder(path: str | Path, kind: type[Readable] | None = None) -> Encoder | Readable:
    """The encoder in a file that any encoder's `save` wrote.

    Encoders of images need no `kind`; those of whole cases do: `CaseEncoder`, `PlanEncoder`,
    `DoseModel`, `VolumeEncoder`. Raises InputError for a missing, damaged or newer file, or
    another kind.

    Example:
        >>> import isohash, numpy as np, tempfile
        >>> from isohash.features.encoders.downsampled import DownsampledEncoder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     DownsampledEncoder(size=64).save(f"{folder}/encoder")
        ...     encoder = isohash.load_encoder(f"{folder}/encoder")
        >>> encoder.encode(np.zeros((1, 64, 64))).shape == (1, encoder.dim)
        True
    """
    data = content_of(path)
    return encoder_from_bytes(data, str(path)) if kind is None else kind.from_bytes(data, str(path))


def encoder_from_bytes(data: bytes, source: str = "this file") -> Encoder:
    """The encoder of images in the bytes of its file."""
    header, tensors = parse_encoder(data, source)
    if header.kind in OF_IMAGES:
        return OF_IMAGES[header.kind].of(header, tensors)
    if name := _of_cases().get(header.kind):
        raise InputError(
            f"{source} holds an encoder of whole cases: use load_encoder(path, {name})"
        )
    raise InputError(f"{source} holds an unknown kind of encoder, {header.kind!r}: update isohash")


def _of_cases() -> dict[str, str]:
    """Classes of encoders of whole cases by kind; imported for a message only."""
    from isohash.features.encoders.case_encoders import CaseEncoder
    from isohash.features.encoders.dose_model import DoseModel
    from isohash.features.encoders.plan import PlanEncoder

    return {one.KIND: one.__name__ for one in (CaseEncoder, PlanEncoder, DoseModel)}
