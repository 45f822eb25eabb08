"""A case's slices good enough to look at: what its scanner and its plan say, pixel by pixel.

| array | shape | meaning |
|---|---|---|
| `picture.place` | (8,) | `Place`: where the pixels lie, and the step of the dose |
| `picture.ct.bytes`, `.offset` | | each slice's HU (int16), packed (`planes`) |
| `picture.dose.bytes`, `.offset` | | each slice's dose in steps (uint16), packed; none: no dose |
| `picture.outline.*` | | as `outline.*` (`outlines`), on these pixels |

Pixels are of 2 mm, or the source's own where these are coarser: then each is a voxel of the source,
unchanged but for the rounding to whole HU and cGy. They reach as far as the body does, with a
margin. The slices are those of `slice.index`. Nothing is windowed, and faces are not taken out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.canonical import Canonical, canonical
from isohash.features.cases.outlines import outlines_of
from isohash.features.cases.pixels import BLOCK, Frame, resampled
from isohash.features.cases.planes import joined, packed, unpacked
from isohash.features.cases.shown import named
from isohash.features.cases.slices import AIR_HU, CaseSlices, as_hu, dose_on
from isohash.records import Case

PREFIX = "picture."
PIXEL_MM = 2.0
MARGIN_MM = 12.0  # around the body: its skin, and what lies on it
DOSE_STEP_GY = 0.01
MOST_PIXELS = 1 << 24  # of one slice; an archive may come from others


@dataclass(frozen=True)
class Place:
    """Patient x and y of the first pixel's centre, the pixels' size, how many rows and columns.

    `dose_step_gy` is what one step of the dose is; `centre_x_mm`, `centre_y_mm` is where the slices
    that encoders see have their middle: what lies there in two cases is shown at one place.
    """

    x_mm: float
    y_mm: float
    pixel_mm: float
    rows: int
    columns: int
    dose_step_gy: float
    centre_x_mm: float
    centre_y_mm: float

    @classmethod
    def of(cls, array: NDArray[Any]) -> Place:
        """What `picture.place` says; ValueError where it means nothing."""
        x, y, mm, rows, columns, step, *centre = (float(value) for value in array)
        found = cls(x, y, mm, int(rows), int(columns), step, *centre)
        if not np.isfinite(astuple(found)).all() or not (mm > 0 and step > 0):
            raise ValueError(f"pictures lie at {found}")
        if min(found.shape) < 1 or found.rows * found.columns > MOST_PIXELS:
            raise ValueError(f"pictures are of {found.shape} pixels")
        return found

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns


def fine_of(case: Case, slices: CaseSlices) -> dict[str, NDArray[Any]]:
    """The arrays of the table above; a few slices at a time, so that memory stays bounded."""
    shown = case.ct if case.ct is not None else case.dose
    assert shown is not None  # it has been cut into slices
    grid = canonical(shown)
    frame = _frame(grid, slices)
    rows = np.flatnonzero(np.isin(grid.index, slices.slice_index))
    place = Place(*frame.corner_mm, frame.pixel_mm, *frame.shape, DOSE_STEP_GY, *_middle(slices))
    arrays: dict[str, NDArray[Any]] = {"place": np.array(astuple(place))}
    if case.ct is not None:
        arrays |= joined("ct", _ct(grid, rows, frame))
    if case.dose is not None:
        arrays |= joined("dose", _dosed(dose_on(case.dose, frame)[1][rows]))
    arrays |= outlines_of(named(case), slices, frame)
    return {PREFIX + name: array for name, array in arrays.items()}


@dataclass(frozen=True, eq=False)
class Fine:
    """The same read back; ValueError where the arrays mean nothing."""

    arrays: Mapping[str, NDArray[Any]]

    @cached_property
    def place(self) -> Place:
        """Where the pixels lie."""
        return Place.of(self.arrays[f"{PREFIX}place"])

    def hu(self, row: int) -> NDArray[np.int16] | None:
        """HU (rows, columns) of a slice, by its row in `slice.index`; None without CT."""
        data = self.packed("ct", row)
        return None if data is None else unpacked(data, self.place.shape)

    def dose_gy(self, row: int) -> NDArray[np.float32] | None:
        """Dose in Gy (rows, columns) of a slice; None where it gets none."""
        data = self.packed("dose", row)
        if data is None or not len(data):
            return None
        steps = unpacked(data, self.place.shape).view(np.uint16)
        return steps.astype(np.float32) * np.float32(self.place.dose_step_gy)

    def packed(self, what: str, row: int) -> NDArray[np.uint8] | None:
        """The bytes of a slice of "ct" or "dose"; None where the case has none of it."""
        offset = self.arrays.get(f"{PREFIX}{what}.offset")
        if offset is None:
            return None
        data: NDArray[np.uint8] = self.arrays[f"{PREFIX}{what}.bytes"]
        return data[offset[row] : offset[row + 1]]


def _frame(grid: Canonical, slices: CaseSlices) -> Frame:
    """Around the body of the slices, on pixel centres of the source: whole ones if these are kept.

    Nothing beyond the source is kept.
    """
    low, high = _body_mm(slices)
    pixel_mm = max(PIXEL_MM, *grid.step_mm)
    corner, n = [], []
    for axis in (0, 1):
        first, step = grid.first_mm[axis], grid.step_mm[axis]
        size = grid.array.shape[2 - axis]
        at = int(np.clip(np.floor((low[axis] - first) / step), 0, size - 1))
        end = min(first + step * (size - 1), high[axis])
        corner.append(first + step * at)
        n.append(max(1, int(np.floor((end - corner[-1]) / pixel_mm + 1e-6)) + 1))
    return Frame((n[1], n[0]), pixel_mm, (corner[0], corner[1]))


def _body_mm(slices: CaseSlices) -> tuple[list[float], list[float]]:
    """The box, (x, y) of two corners, around what slices show; around all if that is nothing."""
    settings = slices.settings
    ct, least = slices.hu is not None, settings.body_hu
    values: Any = slices.hu if ct else slices.dose_cgy
    seen = np.any(values > (least if ct else 0.0), axis=0)
    if not seen.any():
        seen = np.ones_like(seen)
    low, high = [], []
    for axis in (0, 1):
        there = np.flatnonzero(seen.any(axis=axis))
        low.append(slices.corner_mm[axis] + settings.pixel_mm * there[0] - MARGIN_MM)
        high.append(slices.corner_mm[axis] + settings.pixel_mm * there[-1] + MARGIN_MM)
    return low, high


def _middle(slices: CaseSlices) -> tuple[float, float]:
    half = slices.settings.pixel_mm * (slices.settings.size - 1) / 2.0
    return slices.corner_mm[0] + half, slices.corner_mm[1] + half


def _ct(grid: Canonical, rows: NDArray[np.int64], frame: Frame) -> Iterator[bytes]:
    for start in range(0, len(rows), BLOCK):
        for plane in as_hu(resampled(grid, rows[start : start + BLOCK], frame, AIR_HU)):
            yield packed(plane)


def _dosed(steps: NDArray[np.uint16]) -> Iterator[bytes]:
    for plane in steps:
        yield packed(plane.view(np.int16)) if plane.any() else b""
