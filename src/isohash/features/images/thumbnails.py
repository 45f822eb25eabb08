"""Images reduced: to be compared, and to be shown.

A thumbnail is kept on a square (black where the image is not), deflated, so that pages lay out
images of any form alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from isohash.features.cases.inflating import inflated

Pixels = NDArray[np.uint8]

COMPARED = 128  # pixels of the longer side that descriptors see; smaller images stay as they are
KEPT = 96  # pixels of a thumbnail's side at most
DEFLATE_LEVEL = 1  # level 4 saves 3 % of tissue and takes twice as long


def compared(pixels: Pixels) -> Pixels:
    """The image (rows, columns, 3) as descriptors see it."""
    return _reduced(pixels, COMPARED)


def thumbnail_side(pixels: Pixels) -> int:
    """The side of the square that an image's thumbnail is kept on."""
    return min(KEPT, max(pixels.shape[:2]))


def kept(pixels: Pixels) -> dict[str, NDArray[Any]]:
    """The thumbnail as the arrays of an entry."""
    side = thumbnail_side(pixels)
    small = _reduced(pixels, side)
    square = np.zeros((side, side, 3), np.uint8)
    down, right = ((side - n) // 2 for n in small.shape[:2])
    square[down : down + small.shape[0], right : right + small.shape[1]] = small
    data = zlib.compress(square.tobytes(), DEFLATE_LEVEL)
    return {"preview.bytes": np.frombuffer(data, np.uint8)}


def picture_of(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Pixels:
    """The thumbnail (side, side, 3); ValueError if that is not what is kept."""
    side = int(facts["size"])
    if not 0 < side <= KEPT:
        raise ValueError(f"a thumbnail has 1 to {KEPT} pixels a side, not {side}")
    data = inflated(arrays["preview.bytes"], 3 * side * side)
    return np.frombuffer(data, np.uint8, 3 * side * side).reshape(side, side, 3)


def _reduced(pixels: Pixels, most: int) -> Pixels:
    rows, columns = pixels.shape[:2]
    if max(rows, columns) <= most:
        return pixels
    scale = most / max(rows, columns)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    small = PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.LANCZOS)
    return np.asarray(small)
