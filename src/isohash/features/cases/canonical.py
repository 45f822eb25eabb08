"""A volume seen along the patient's axes: slices down from the head, rows back, columns left.

Files differ in the order and direction of their axes; what is measured of cases must not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.records import Volume

# Axes within half a degree of the patient's count as aligned: at 250 mm from the centre the
# error is then at most 2.2 mm, half a pixel of the default grid.
ALIGNED_COSINE = float(np.cos(np.deg2rad(0.5)))


@dataclass(frozen=True, eq=False)
class Canonical:
    """A view of a volume with axes (z down, y back, x left) and where its voxels lie, in mm."""

    array: NDArray[Any]
    index: NDArray[np.int64]  # of each slice in the volume as given
    z_mm: NDArray[np.float64]
    first_mm: tuple[float, float]  # (x, y) of voxel [0, 0]
    step_mm: tuple[float, float]  # (x, y), both positive

    @property
    def affine(self) -> NDArray[np.float64]:
        """From the index (k, j, i, 1) of the view to patient mm."""
        affine = np.zeros((4, 4))
        affine[0, 2], affine[1, 1] = self.step_mm
        affine[2, 0] = self.z_mm[1] - self.z_mm[0] if len(self.z_mm) > 1 else -1.0
        affine[:, 3] = *self.first_mm, self.z_mm[0], 1.0
        return affine


def canonical(volume: Volume) -> Canonical:
    """The view of a volume; InputError where its axes are more than half a degree oblique."""
    columns = volume.affine[:3, :3]
    cosines = columns / np.linalg.norm(columns, axis=0)
    axes = np.abs(cosines).argmax(axis=1)  # the array axis along patient x, y, z
    aligned = np.abs(cosines[np.arange(3), axes]).min()
    if aligned < ALIGNED_COSINE or len(set(axes.tolist())) < 3:
        angle = np.rad2deg(np.arccos(min(1.0, float(aligned))))
        raise InputError(
            f"the volume is oblique ({angle:.1f} degrees off the patient's axes): "
            "resample it to axial slices first"
        )
    steps = columns[np.arange(3), axes]
    wanted = np.array([1.0, 1.0, -1.0])  # left, back, feet
    flip = steps * wanted < 0
    corner = np.zeros(3)  # the array index that becomes [0, 0, 0]
    corner[axes[flip]] = np.array(volume.array.shape)[axes[flip]] - 1
    origin = columns @ corner + volume.affine[:3, 3]
    z, y, x = (int(axes[i]) for i in (2, 1, 0))
    array = volume.array.transpose(z, y, x)
    array = array[tuple(slice(None, None, -1 if flip[i] else 1) for i in (2, 1, 0))]
    index = np.arange(len(array))
    return Canonical(
        array=array,
        index=index[::-1] if flip[2] else index,
        z_mm=origin[2] - abs(steps[2]) * index,
        first_mm=(float(origin[0]), float(origin[1])),
        step_mm=(float(abs(steps[0])), float(abs(steps[1]))),
    )
