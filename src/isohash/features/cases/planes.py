"""Planes of whole numbers as few bytes, without loss; the browser reads them as well.

Of each number is kept by how much it differs from what its neighbours above and to the left say
(left + above - above left), modulo 2^16, the sign in the lowest bit; first all low bytes, then all
high ones, deflated. Measured on CT of 2 mm: a tenth less than without, and on doses a fifth.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.inflating import inflated

LEVEL = 4  # measured: level 6 saves 2 % more and takes a third longer


def packed(plane: NDArray[np.int16]) -> bytes:
    """The bytes of a plane (rows, columns)."""
    left = plane.astype("<i2")
    left[:, 1:] -= plane[:, :-1]
    apart = left.copy()
    apart[1:] -= left[:-1]
    folded = (apart << 1) ^ (apart >> 15)
    halves = folded.reshape(-1, 1).view(np.uint8)
    return zlib.compress(np.ascontiguousarray(halves.T).tobytes(), LEVEL)


def unpacked(data: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.int16]:
    """The plane of these bytes; ValueError if they are none of that shape."""
    n = shape[0] * shape[1]
    flat = np.frombuffer(inflated(data, 2 * n), np.uint8)
    if len(flat) != 2 * n:
        raise ValueError(f"a plane of {shape} has {2 * n} bytes, not {len(flat)}")
    folded = flat[:n].astype(np.uint16) | (flat[n:].astype(np.uint16) << 8)
    apart = (folded >> 1) ^ (0 - (folded & 1))
    left = np.cumsum(apart.reshape(shape), axis=0, dtype=np.uint16)
    return np.cumsum(left, axis=1, dtype=np.uint16).view(np.int16)


def joined(what: str, blobs: Iterable[bytes]) -> dict[str, NDArray[Any]]:
    """`what`.bytes, all blobs in order, and `what`.offset, where each begins and ends."""
    kept = list(blobs)
    offset = np.concatenate([[0], np.cumsum([len(blob) for blob in kept], dtype=np.int64)])
    return {
        f"{what}.bytes": np.frombuffer(b"".join(kept), np.uint8),
        f"{what}.offset": offset.astype(np.int64),
    }
