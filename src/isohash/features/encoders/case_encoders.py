"""Case-level encoders: one vector per case, made of its geometry or learned towards its plan.

`fit_geometry` scales the hand-made vectors of `geometry` into one embedding. Distances are
saturated first (20 mm tanh(d / 20 mm)): whether an organ is 60 or 80 mm away hardly matters to
the plan. Every part then has the same total variance times the square of its weight.

`plan` goes on from there to what the geometry says about the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.features.cases.geometry_settings import GEOMETRY_PARTS, GeometrySettings
from isohash.features.cases.vector import PARTS, case_vector
from isohash.features.encoders.encoder_file import EncoderHeader, KeptEncoder, Tensors
from isohash.features.encoders.scaling import scaled
from isohash.records import Case

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CaseEncoder(KeptEncoder):
    """Case to one vector: raw vector -> centred and scaled.

    `fill` and `scale` (p,): an absent entry takes the value `fill`, which becomes 0.
    """

    KIND: ClassVar = "case"

    name: str
    settings: GeometrySettings
    parts: tuple[str, ...]
    fill: Vector
    scale: Vector
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return len(self.fill)

    def encode_case(self, case: Case) -> NDArray[np.float32]:
        """Float32 (dim,); zeros stand for what is absent."""
        return self.encode_vectors(case_vector(case, self.settings, self.parts)[None])[0]

    def encode_vectors(self, vectors: Matrix) -> NDArray[np.float32]:
        """Embeddings (n, dim) of raw vectors (n, p) made by `case_vector`."""
        return scaled(vectors, self.fill, self.scale).astype(np.float32)

    @property
    def _header(self) -> EncoderHeader:
        settings = {
            **self.about,
            "geometry": self.settings.to_json(),
            "parts": list(self.parts),
        }
        return EncoderHeader(self.KIND, self.name, self.dim, 0, settings)

    @property
    def _tensors(self) -> dict[str, NDArray[Any]]:
        return {"fill": self.fill, "scale": self.scale}

    @classmethod
    def of(cls, header: EncoderHeader, tensors: Tensors) -> Self:
        """The encoder with this header and these tensors."""
        about = dict(header.settings)
        return cls(
            name=header.name,
            settings=GeometrySettings.from_json(about.pop("geometry")),
            parts=tuple(about.pop("parts")),
            about=about,
            **tensors,
        )


def fit_geometry(
    vectors: Matrix,
    settings: GeometrySettings,
    parts: Sequence[str] = GEOMETRY_PARTS,
    name: str = "geometry",
) -> CaseEncoder:
    """Scale raw vectors (n, p) of `case_vector` by the spread seen in these cases.

    Entries that no case has, or that never vary, get scale 0 and play no part.
    """
    if len(vectors) < 2:
        raise InputError(f"fitting needs the vectors of at least 2 cases, got {len(vectors)}")
    known = ~np.isnan(vectors)
    fill = np.where(known, vectors, 0.0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    centred = np.where(known, vectors - fill, 0.0)
    spread = centred.std(axis=0)
    scale = np.zeros(vectors.shape[1])
    start = 0
    for part, width in zip(parts, _widths(settings, parts), strict=True):
        own = slice(start, start + width)
        scale[own] = PARTS[part].weight * _part_scale(spread[own], PARTS[part].one_unit)
        start += width
    return CaseEncoder(name, settings, tuple(parts), fill, scale)


def _widths(settings: GeometrySettings, parts: Sequence[str]) -> list[int]:
    """Entries of each part, counted on a case that has nothing."""
    return [len(PARTS[part].make(Case("none"), settings)) for part in parts]


def _part_scale(spread: Vector, one_unit: bool) -> Vector:
    """Factors that give a part the total variance 1, entries alike unless they share a unit."""
    varying = spread > 1e-9
    if not varying.any():
        return np.zeros_like(spread)
    if one_unit:
        return varying / np.sqrt((spread**2).sum())
    return varying / np.where(varying, spread, 1.0) / np.sqrt(varying.sum())
