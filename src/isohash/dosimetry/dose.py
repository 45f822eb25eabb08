"""A planned dose: grids of its own, added, and looked at on another grid where need be."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.resample import resample
from isohash.dosimetry.simplices import CORNERS
from isohash.records import Volume

# A plane of dose stands for a slab, as a plane of contours does: half a plane beyond the outermost.
# Within its plane a dose ends at the outermost pixel centres.
OVERHANG = (0.5, 0.0, 0.0)
SLAB = 16  # slices that are interpolated at a time: all at once take three times their own memory


class PlacedDose(Volume):
    """Doses in Gy on grids of their own, whose sum is seen on one other grid, that of the CT.

    `array` is interpolated when it is first asked for: it is many times larger than the dose grids
    themselves. Samples at other points are taken from these, not from what the CT's grid makes of
    them. Where one of the doses says nothing there is no sum: `array` is then what the others say.
    """

    parts: tuple[Volume, ...]
    shape: tuple[int, int, int]

    def __init__(
        self, parts: Sequence[Volume], affine: NDArray[np.float64], shape: tuple[int, int, int]
    ) -> None:
        for name, part in (("parts", tuple(parts)), ("affine", affine), ("shape", shape)):
            object.__setattr__(self, name, part)

    @cached_property
    def array(self) -> NDArray[np.float32]:
        """The sum on the grid, (z, y, x) in Gy; 0 beyond the dose grids."""
        total = np.empty(self.shape, dtype=np.float32)
        for first in range(0, self.shape[0], SLAB):
            total[first : first + SLAB] = self.slab(first, first + SLAB)
        return total

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """The shape of the grid."""
        return self.shape

    def slab(self, first: int, stop: int) -> NDArray[np.float32]:
        """Some slices of the sum."""
        if "array" in vars(self):
            return self.array[first:stop]
        rows = slice(first, stop)
        total = resample(self.parts[0], self.affine, self.shape, rows=rows)
        for part in self.parts[1:]:
            total += resample(part, self.affine, self.shape, rows=rows)
        return total


def sampled(
    dose: Volume, affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Dose in Gy at the points of any grid, from the dose's own grids; NaN where one ends."""
    parts = dose.parts if isinstance(dose, PlacedDose) else (dose,)
    total = resample(parts[0], affine, shape, np.nan, OVERHANG)
    for part in parts[1:]:
        total += resample(part, affine, shape, np.nan, OVERHANG)
    return total


def holds(
    dose: Volume, boxes: NDArray[np.float64], affine: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether boxes (n, 2, 3) lie within every grid of a dose, so that `sampled` has no NaN there.

    Boxes are from lowest to highest mm along the axes of the grid `affine`, from its first voxel.
    """
    corners = np.stack([boxes[:, at, [0, 1, 2]] for at in map(list, CORNERS)], axis=1)
    to_patient = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    within = np.ones(len(boxes), dtype=bool)
    for part in dose.parts if isinstance(dose, PlacedDose) else (dose,):
        to_index = np.linalg.inv(part.affine)
        at = (corners @ to_patient.T + affine[:3, 3]) @ to_index[:3, :3].T + to_index[:3, 3]
        last = np.array(part.array.shape) - 1 + np.array(OVERHANG)
        within &= ((at >= np.negative(OVERHANG)) & (at <= last)).all(axis=(1, 2))
    return within


def peak_gy(dose: Volume) -> float:
    """The highest dose, without looking at it on another grid where there is one dose only."""
    return float(own_grid(dose).array.max())


def own_grid(dose: Volume) -> Volume:
    """A dose on the grid that it was calculated on, where that is one; else as it is seen."""
    if isinstance(dose, PlacedDose) and len(dose.parts) == 1:
        return dose.parts[0]
    return dose
