"""Outlines of structures on the pictures of a case's slices, kept in some 100 bytes each.

| array | shape | meaning |
|---|---|---|
| `outline.bytes`, `outline.offset` | | shares of pixels inside in thirds, 2 bits each, deflated |
| `outline.of` | (m, 2) | of each: the structure (row of `dvh.metrics`), the slice's index |
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.canonical import canonical
from isohash.features.cases.inflating import inflated
from isohash.features.cases.pixels import Frame, resampled
from isohash.features.cases.planes import joined
from isohash.features.cases.slices import CaseSlices
from isohash.records import Volume

SHARES = 3  # a pixel's share inside is told in thirds, in two bits
DEFLATE_LEVEL = 4
NEAR_MM = 1e-3  # slices of one grid


def outlines_of(
    structures: Mapping[str, Volume], slices: CaseSlices, frame: Frame | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of the table above, for the slices that are kept; on their pixels or a frame's."""
    frame = frame or slices.settings.square(slices.corner_mm)
    blobs: list[bytes] = []
    places: list[tuple[int, int]] = []
    for number, volume in enumerate(structures.values()):
        for row, shares in _shares(volume, slices, frame):
            blobs.append(zlib.compress(_packed(shares), DEFLATE_LEVEL))
            places.append((number, int(slices.slice_index[row])))
    return {
        **joined("outline", blobs),
        "outline.of": np.array(places, dtype=np.int32).reshape(-1, 2),
    }


def outlines_in(
    arrays: Mapping[str, NDArray[Any]], shape: tuple[int, int], slice_index: int
) -> dict[int, list[NDArray[np.float64]]]:
    """Outlines in one slice: structure number -> closed lines (m, 2) of (x, y) in pixels."""
    if "outline.of" not in arrays:
        return {}
    from contourpy import LineType, contour_generator  # a query without a page draws nothing

    found = {}
    for at in np.flatnonzero(arrays["outline.of"][:, 1] == slice_index).tolist():
        first, last = arrays["outline.offset"][at : at + 2]
        data = inflated(arrays["outline.bytes"][first:last], shape[0] * shape[1])
        shares = _unpacked(data, shape)
        generator = contour_generator(z=np.pad(shares, 1), line_type=LineType.Separate)
        lines = [line - 1.0 for line in generator.lines(SHARES / 2)]
        found[int(arrays["outline.of"][at, 0])] = lines
    return found


def _shares(
    volume: Volume, slices: CaseSlices, frame: Frame
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The share of each pixel inside, in thirds, of the slices in which there is any."""
    grid = canonical(volume)
    used = np.flatnonzero(grid.array.any(axis=(1, 2)))
    rows = {int(k): _row(grid.z_mm[k], slices) for k in used}
    shown = [k for k, row in rows.items() if row >= 0]
    inside = np.rint(SHARES * resampled(grid, np.array(shown, np.int64), frame, 0.0))
    for k, shares in zip(shown, inside.astype(np.uint8), strict=True):
        if shares.any():
            yield rows[k], shares


def _row(z_mm: float, slices: CaseSlices) -> int:
    if not len(slices.z_mm):
        return -1
    row = int(np.abs(slices.z_mm - z_mm).argmin())
    return row if abs(float(slices.z_mm[row]) - z_mm) < NEAR_MM else -1


def _packed(shares: NDArray[np.uint8]) -> bytes:
    flat = np.pad(shares.ravel(), (0, -shares.size % 4)).reshape(-1, 4)
    return bytes(np.bitwise_or.reduce(flat << np.array([0, 2, 4, 6], np.uint8), axis=1))


def _unpacked(data: bytes, shape: tuple[int, int]) -> NDArray[np.float64]:
    fours = np.frombuffer(data, np.uint8)[:, None] >> np.array([0, 2, 4, 6], np.uint8)
    return (fours & 3).ravel()[: shape[0] * shape[1]].reshape(shape).astype(np.float64)
