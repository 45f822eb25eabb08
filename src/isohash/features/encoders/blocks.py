"""Images through a function in blocks of one fixed size.

Matrix products round differently for different numbers of rows. Every encoder therefore works
on blocks of `BLOCK` images, the last one filled up with zeros, so that an image has the same
embedding, to the bit, alone or among thousands.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError

BLOCK = 16

Float32 = NDArray[np.float32]


def checked_images(images: ArrayLike, size: int, *more: int) -> NDArray[np.generic]:
    """The images as an array (n, size, size), or (n, *more); InputError for any other shape."""
    array, shape = np.asarray(images), more or (size, size)
    if array.shape[1:] != shape:
        wanted = ", ".join(str(side) for side in shape)
        raise InputError(
            f"this encoder takes images of shape (n, {wanted}), got {array.shape}: "
            "make the slices with the encoder's own settings"
        )
    return array


def in_blocks(
    images: NDArray[np.generic],
    function: Callable[[Float32], Float32],
    shape: tuple[int, ...],
    size: int = BLOCK,
) -> Float32:
    """`function` (size, ...) -> (size, *shape) applied to all images, in order."""
    out = np.empty((len(images), *shape), dtype=np.float32)
    block = np.zeros((size, *images.shape[1:]), dtype=np.float32)
    for start in range(0, len(images), size):
        rows = min(size, len(images) - start)
        block[:rows] = images[start : start + rows]
        block[rows:] = 0.0
        out[start : start + rows] = function(block)[:rows]
    return out
