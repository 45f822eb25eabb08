"""The border between images and embeddings: what an encoder is, and how to load one.

Loading and encoding need neither torch nor scikit-learn; an autoencoder's file carries its
network as ONNX.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.features.encoders.case_encoders import CaseEncoder
from isohash.features.encoders.downsampled import DownsampledEncoder
from isohash.features.encoders.encoder_file import read_encoder
from isohash.features.encoders.onnx_encoder import OnnxEncoder
from isohash.features.encoders.pca import PcaEncoder
from isohash.features.encoders.plan import PlanEncoder


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

    def save(self, path: str | Path) -> None:
        """Write the encoder to one file that `load_encoder` reads."""


def load_encoder(path: str | Path) -> Encoder:
    """The encoder in a file written by any encoder's `save`.

    Raises InputError for a missing, damaged or newer file.
    """
    header, tensors = read_encoder(path)
    if header.kind == "pca":
        return PcaEncoder.from_file(header, tensors)
    if header.kind == "onnx":
        return OnnxEncoder.from_file(header, tensors)
    if header.kind == "downsampled":
        return DownsampledEncoder.from_file(header, tensors)
    if header.kind in ("case", "plan"):
        raise InputError(f"{path} holds an encoder of whole cases: use load_{header.kind}_encoder")
    raise InputError(f"{path} holds an unknown kind of encoder, {header.kind!r}: update isohash")


def load_case_encoder(path: str | Path) -> CaseEncoder:
    """The case-level encoder in a file written by `CaseEncoder.save`."""
    header, tensors = read_encoder(path)
    if header.kind != "case":
        raise InputError(f"{path} holds an encoder of images: load it with load_encoder")
    return CaseEncoder.from_file(header, tensors)


def load_plan_encoder(path: str | Path) -> PlanEncoder:
    """The plan encoder in a file written by `PlanEncoder.save`."""
    header, tensors = read_encoder(path)
    if header.kind != "plan":
        raise InputError(f"{path} holds no plan encoder, but one of kind {header.kind!r}")
    return PlanEncoder.from_file(header, tensors)
