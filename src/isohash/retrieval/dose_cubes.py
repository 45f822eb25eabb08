"""Doses as coarse cubes about their targets: past doses laid on a patient, compared in Gy.

A cube holds a plan's dose at points `CELL_MM` apart, along the patient's axes, in steps of
`STEP_GY`. A past dose is laid on a patient by the rigid motion that brings the centres of their
structures together (`dosimetry.rigid`). Cubes choose candidates; whole doses order these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.resample import resample
from isohash.dosimetry.rigid import TARGETS, dose_at, rigid_between
from isohash.records import Volume
from isohash.retrieval.dose_arrays import KeptDose
from isohash.retrieval.refined import Inside

SIDE, CELL_MM, STEP_GY = 32, 10.0, 0.4  # of a cube; it reaches 155 mm from the targets' centre
POINT_MM = 10.0  # distance of the points at which a query is compared with cubes
FEWEST = 64  # such points; where a part of a query has fewer, all of its points are compared

Points = NDArray[np.float64]
Gy = NDArray[np.float32]


def cube_of(dose: Volume, centre_mm: Points) -> NDArray[np.uint8]:
    """A dose (1, SIDE, SIDE, SIDE) about the centre of its targets, in steps, at most 102 Gy."""
    gy = resample(dose, cube_affine(centre_mm), (SIDE, SIDE, SIDE))
    return np.clip(np.rint(gy / STEP_GY), 0, 255).astype(np.uint8)[None]


def cube_affine(centre_mm: Points) -> Points:
    """From a cube's index to patient mm: slices down, rows back, columns left."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -CELL_MM, CELL_MM, CELL_MM, 1.0
    affine[:3, 3] = centre_mm - affine[:3, :3].sum(axis=1) * (SIDE - 1) / 2.0
    return affine


@dataclass(frozen=True, eq=False)
class Asked:
    """A dose at points (n, 3) of a patient, with the centres of the patient's structures."""

    gy: Gy
    points: Points
    centres: dict[str, Points]

    @classmethod
    def of(cls, kept: KeptDose, dose: Volume, apart_mm: float | None = None) -> Asked:
        """A dose on the anatomy's grid where dose is foreseen; at points so far apart, or all."""
        used = kept.places > 0
        if apart_mm is not None:
            every = np.maximum(1, np.rint(apart_mm / np.array(dose.spacing_mm))).astype(int)
            picked = np.zeros_like(used)
            picked[tuple(slice(step // 2, None, step) for step in every.tolist())] = True
            used &= picked
        points = np.argwhere(used) @ dose.affine[:3, :3].T + dose.affine[:3, 3]
        return cls(dose.array[used], points, kept.centres)

    def within(self, inside: Inside) -> Asked:
        """The same at the points inside only."""
        held = inside.holds(self.points)
        return self if held.all() else Asked(self.gy[held], self.points[held], self.centres)

    def apart_gy(self, other: Volume, centres: dict[str, Points]) -> float:
        """Mean absolute difference in Gy from another patient's dose, laid on this one."""
        return apart_gy(self.gy, self.laid(other, centres))

    def laid(self, other: Volume, centres: dict[str, Points]) -> Gy:
        """Another patient's dose, laid on this one, at the points."""
        return dose_at(other, rigid_between(self.centres, centres)(self.points))


def apart_gy(own: Gy, laid: Gy) -> float:
    """Mean absolute difference of two doses at the same points."""
    return float(np.abs(laid - own).mean())


def cube_volume(cube: NDArray[np.uint8], centres: dict[str, Points]) -> Volume:
    """A cube (SIDE, SIDE, SIDE) with its place in its patient."""
    return Volume(cube * np.float32(STEP_GY), cube_affine(centres[TARGETS]))


def laid_from_cubes(
    asked: Asked, cubes: NDArray[np.uint8], centres: Sequence[dict[str, Points]]
) -> Iterator[Gy]:
    """The dose of each of n cubes, laid on the patient, at the points that are asked for."""
    for cube, own in zip(cubes, centres, strict=True):
        yield asked.laid(cube_volume(cube, own), own)
