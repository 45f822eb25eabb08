"""Images as a kind of item: one sample each, seen by colour, texture and layout together.

What describes and draws them is imported when it is used: a stored image is asked by its codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.kinds import Arrays, Kind, Picture, Rows, View
from isohash.records import Image

if TYPE_CHECKING:
    from isohash.features.cases.slice_settings import SliceSettings


@dataclass(frozen=True, eq=False)
class Look:
    """An image as it is compared: `numbers` (1, SIZE), its descriptor (`descriptors.described`)."""

    numbers: NDArray[np.float32]

    @property
    def slice_index(self) -> NDArray[np.int64]:
        """(1,): the one sample."""
        return np.zeros(1, dtype=np.int64)

    @property
    def z_mm(self) -> NDArray[np.float64]:
        """(1,): images lie nowhere."""
        return np.zeros(1)

    def __len__(self) -> int:
        return 1


def _cut(image: Image, settings: SliceSettings) -> Look:
    from isohash.features.images.descriptors import described
    from isohash.features.images.thumbnails import compared

    return Look(described(compared(image.pixels))[None])


def _facts(image: Image, look: Look) -> dict[str, Any]:
    from isohash.features.images.thumbnails import thumbnail_side

    return {
        **image.facts,
        "patient": image.patient,
        "label": image.label,
        "warnings": list(image.warnings),
        "size": thumbnail_side(image.pixels),
    }


def _shown(image: Image, look: Look) -> Arrays:
    from isohash.features.images.thumbnails import kept

    return kept(image.pixels)


def _picture(
    arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], slice_index: int
) -> Picture:
    from isohash.features.images.thumbnails import picture_of

    return picture_of(arrays, facts), None


def _rows(look: Look) -> Rows:
    return np.zeros(1, dtype=np.int64)


def _numbers(look: Look, rows: Rows) -> NDArray[np.float32]:
    return look.numbers[rows]


LOOK = View("look", "appearance", "", "colour", _rows, _numbers)
IMAGES = Kind("images", Image, (LOOK,), _cut, _facts, _shown, _picture, single=True)
