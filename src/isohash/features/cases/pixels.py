"""Slices on square pixels, whatever the pixels of the source.

In-plane resampling uses a triangle filter as wide as the coarser of the two grids, so that fine
sources are averaged rather than sampled; nothing is interpolated between slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.features.cases.canonical import Canonical

BLOCK = 16  # slices resampled at a time: the intermediate arrays stay in the cache


@dataclass(frozen=True)
class Frame:
    """Square pixels of `pixel_mm`, `shape` (rows, columns) of them.

    `corner_mm` is the patient (x, y) of the centre of pixel [0, 0].
    """

    shape: tuple[int, int]
    pixel_mm: float
    corner_mm: tuple[float, float]


def resampled(
    grid: Canonical, rows: NDArray[np.int64], frame: Frame, background: float
) -> NDArray[np.float32]:
    """Slices `rows` on the frame's pixels, `background` outside the source; float32."""
    columns, lines = (
        _taps(grid.first_mm[i], grid.step_mm[i], grid.array.shape[2 - i], frame, i) for i in (0, 1)
    )
    out = np.empty((len(rows), *frame.shape), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        block = grid.array[rows[start : start + BLOCK]].astype(np.float32)
        if not np.isfinite(block).all():
            raise InputError("the volume holds NaN or infinite values")
        if background:
            block -= np.float32(background)
        out[start : start + BLOCK] = _filtered(_filtered(block, lines, 1), columns, 2)
    if background:
        out += np.float32(background)
    return out


Taps = tuple[NDArray[np.int64], NDArray[np.float32]]


def _taps(first: float, step: float, n: int, frame: Frame, axis: int) -> Taps:
    """Which source pixels (size, t) make each output pixel, and with which weights (size, t)."""
    size = frame.shape[1 - axis]
    at = (frame.corner_mm[axis] + frame.pixel_mm * np.arange(size) - first) / step
    half_width = max(1.0, frame.pixel_mm / step)
    index = np.ceil(at - half_width)[:, None] + np.arange(int(np.ceil(2 * half_width)))
    weight = np.maximum(0.0, 1.0 - np.abs(index - at[:, None]) / half_width)
    weight /= weight.sum(axis=1, keepdims=True)
    weight[(index < 0) | (index > n - 1)] = 0.0  # outside: the background, which is 0 here
    return np.clip(index, 0, n - 1).astype(np.int64), weight.astype(np.float32)


def _filtered(block: NDArray[np.float32], taps: Taps, axis: int) -> NDArray[np.float32]:
    index, weight = taps
    shape = (-1, 1) if axis == 1 else (-1,)
    out = block.take(index[:, 0], axis=axis)
    out *= weight[:, 0].reshape(shape)
    for t in range(1, index.shape[1]):
        part = block.take(index[:, t], axis=axis)
        part *= weight[:, t].reshape(shape)
        out += part
    return out
