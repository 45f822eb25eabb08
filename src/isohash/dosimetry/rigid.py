"""A past plan's dose laid upon another patient: rigid alignment by the centres of structures.

The rotation and the shift that bring the centres of the shared structures together in the least
squares sense (Kabsch, Acta Cryst. A32 (1976) 922-923). Targets weigh more than organs, for the dose
follows them; with fewer than three shared centres, or with centres on a line, only the shift is
sought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.records import Volume

Points = NDArray[np.float64]

TARGETS = "all targets"  # the landmark that every plan has: the centre of the union of its targets
# Of that centre against an organ's: on 60 training patients 3 and 8 score alike, 1 and 30 worse by
# 0.1 to 0.5 Gy; without the rotation the DVH score is 0.4 Gy worse.
TARGET_WEIGHT = 8.0
LEAST_SPREAD = 0.1  # second against first singular value below which centres lie on a line


@dataclass(frozen=True, eq=False)
class Rigid:
    """x -> rotation @ x + shift_mm, in patient mm."""

    rotation: Points
    shift_mm: Points

    def __call__(self, points: Points) -> Points:
        """Where points (n, 3) go."""
        return points @ self.rotation.T + self.shift_mm


def rigid_between(a: Mapping[str, Points], b: Mapping[str, Points]) -> Rigid:
    """The rigid motion from the centres of `a` (name -> (3,) mm) to those of `b`.

    Without shared names there is no motion.
    """
    shared = sorted(set(a) & set(b))
    if not shared:
        return Rigid(np.eye(3), np.zeros(3))
    weight = np.array([TARGET_WEIGHT if name == TARGETS else 1.0 for name in shared])
    weight /= weight.sum()
    start, end = (np.array([points[name] for name in shared]) for points in (a, b))
    from_centre, to_centre = weight @ start, weight @ end
    rotation = np.eye(3)
    if len(shared) >= 3:
        rotation = _rotation((start - from_centre) * weight[:, None], end - to_centre)
    return Rigid(rotation, to_centre - rotation @ from_centre)


def _rotation(start: Points, end: Points) -> Points:
    left, size, right = np.linalg.svd(start.T @ end)
    if size[1] < LEAST_SPREAD * size[0]:
        return np.eye(3)
    mirror = np.sign(np.linalg.det(right.T @ left.T))
    return right.T @ np.diag([1.0, 1.0, mirror]) @ left.T


def dose_at(dose: Volume, points: Points) -> NDArray[np.float32]:
    """Linear interpolation of a dose at points (n, 3) in patient mm; 0 a voxel outside its grid."""
    from scipy import ndimage

    to_index = np.linalg.inv(dose.affine)
    at = to_index[:3, :3] @ points.T + to_index[:3, 3:]
    found: NDArray[np.float32] = ndimage.map_coordinates(
        dose.array, at, output=np.float32, order=1, mode="grid-constant", cval=0.0
    )
    return found
