"""Descriptors of images to vectors: what tells the images of one archive apart, without labels.

Each part of a descriptor (`features.images.descriptors`) is reduced to its `AXES` leading principal
components, which are half whitened: a component of variance s^2 enters with variance s. Parts then
have equal weight but for two factors: `PRIOR`, since some parts say much the same, and the
agreement of the part's nearest images with those of the other parts, by which a part that is noise
to an archive (where things lie, in tiles of tissue) loses its say. An embedding is the direction of
the joined parts from the archive's mean, so its length is 1: what is grey and even is near the mean
of everything, and would otherwise be everything's neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.distances import nearest
from isohash.features.encoders.blocks import checked_images, in_blocks
from isohash.features.encoders.encoder_file import EncoderHeader, KeptEncoder, Tensors
from isohash.features.images.descriptors import PARTS, SIZE

Numbers = NDArray[np.float64]

AXES = 8  # of a part: 16 and 32 change mAP on tissue by less than .01
# Found on LC25000 and CRC tiles (docs/images.md): colour is in four parts, texture in four.
PRIOR: Mapping[str, float] = {
    "rgb": 1.0,
    "lab": 1.0,
    "stains": 0.5,
    "moments": 0.5,
    "patterns": 1.2,
    "colour patterns": 0.8,
    "co-occurrence": 0.7,
    "edges": 0.7,
    "layout": 0.7,
}
STANDARDISED = ("moments", "co-occurrence")  # whose numbers have different units
NEIGHBOURS = 10  # whose agreement is asked
JUDGED = 500  # images that judge it
FEWEST = 60  # images from which on agreement is more than chance
STILL = 1e-6  # spread of a number that is none


@dataclass(frozen=True, eq=False)
class AppearanceEncoder(KeptEncoder):
    """Descriptors (n, `size`) to directions (n, `dim`) of length 1.

    `mean` (size,) and `components` (dim, size) are the affine map before the length is taken away.
    """

    KIND: ClassVar = "appearance"

    name: str
    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return len(self.components)

    @property
    def size(self) -> int:
        """Numbers of a descriptor."""
        return len(self.mean)

    def encode(self, images: ArrayLike) -> NDArray[np.float32]:
        """Float32 (n, dim) of descriptors (n, size); the same bytes for any batch size."""
        basis = self.components.astype(np.float64).T

        def direction(block: NDArray[np.float32]) -> NDArray[np.float32]:
            return unit((block.astype(np.float64) - self.mean) @ basis).astype(np.float32)

        return in_blocks(checked_images(images, 0, self.size), direction, (self.dim,))

    @classmethod
    def of(cls, header: EncoderHeader, tensors: Tensors) -> Self:
        """The encoder with this header and these tensors."""
        return cls(header.name, **tensors, settings=dict(header.settings))

    @property
    def _header(self) -> EncoderHeader:
        return EncoderHeader(self.KIND, self.name, self.dim, self.size, self.settings)

    @property
    def _tensors(self) -> Tensors:
        return {"mean": self.mean, "components": self.components}


def unit(rows: Numbers) -> Numbers:
    """Rows of length 1; those of length 0 stay."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def fit_appearance(descriptors: ArrayLike, random_state: int = 0) -> AppearanceEncoder:
    """The encoder fitted to descriptors (n, SIZE) of an archive's images; no labels are needed.

    The same descriptors and `random_state` give the same encoder. A part that does not vary has no
    components, and of images that are all alike one number is left.
    """
    rows = checked_images(descriptors, 0, SIZE).astype(np.float64)
    mean = rows.mean(axis=0)
    centred = rows - mean
    bases = {name: _basis(name, centred[:, part]) for name, part in PARTS.items()}
    bases = {name: basis for name, basis in bases.items() if len(basis)}
    weights = _weights(centred, bases, np.random.default_rng(random_state))
    components = np.zeros((max(1, sum(map(len, bases.values()))), SIZE))
    at = 0
    for name, basis in bases.items():
        components[at : at + len(basis), PARTS[name]] = weights[name] * basis
        at += len(basis)
    about = {"random_state": random_state, "n_images": len(rows), "weights": weights}
    return AppearanceEncoder(
        "appearance", mean.astype(np.float32), components.astype(np.float32), about
    )


def _basis(name: str, centred: Numbers) -> Numbers:
    """(at most AXES, numbers): half-whitened components of a part, of mean squared length 1."""
    spread = centred.std(axis=0)
    if name in STANDARDISED:
        scale = np.where(spread > STILL, 1.0 / np.maximum(spread, STILL), 0.0)
    else:
        scale = np.ones_like(spread)
    covariance = (centred * scale).T @ (centred * scale) / len(centred)
    variance, axes = np.linalg.eigh(covariance)
    variance, axes = variance[::-1][:AXES], axes[:, ::-1][:, :AXES]
    kept = variance > STILL**2 + 1e-9 * variance[0]
    variance, axes = variance[kept], axes[:, kept]
    half = variance**-0.25 / np.sqrt(np.sqrt(variance).sum() or 1.0)
    return (axes * half).T * scale


def _weights(
    centred: Numbers, bases: Mapping[str, Numbers], rng: np.random.Generator
) -> dict[str, float]:
    """Of each part: its prior, less what its neighbours are not those of the other parts."""
    chosen = np.sort(rng.permutation(len(centred))[:JUDGED])
    if len(chosen) < FEWEST or len(bases) < 3:
        return {name: PRIOR[name] for name in bases}
    near = {}
    for name, basis in bases.items():
        seen = unit(centred[chosen][:, PARTS[name]] @ basis.T).astype(np.float32)
        near[name] = nearest(seen, seen, NEIGHBOURS + 1)
    agreed = {name: _agreement(found, near) for name, found in near.items()}
    usual = float(np.median(list(agreed.values()))) or 1.0
    return {name: PRIOR[name] * min(1.0, (2 * agreed[name] / usual) ** 2) for name in bases}


def _agreement(found: NDArray[np.int64], near: Mapping[str, NDArray[np.int64]]) -> float:
    """Mean share of neighbours shared with other parts, beyond what chance gives."""
    shared = [  # each image is its own neighbour
        (found[:, :, None] == other[:, None, :]).sum() / len(found) - 1
        for other in near.values()
        if other is not found
    ]
    return max(0.0, float(np.mean(shared)) / NEIGHBOURS - NEIGHBOURS / len(found))
