"""Tiny patients whose plan follows from their anatomy: a target, two organs, dose around it."""

from __future__ import annotations

import numpy as np

from isohash.records import Case, Volume


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    z, y, x = np.indices((24, 32, 32))
    return sum(((a - c) ** 2 for a, c in zip((z, y, x), centre, strict=True))) < radius**2


def two_organs(shift: float, radius: float) -> Case:
    """A target at `shift` voxels from the cord, and a dose that falls off around it."""
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, 4.0], [0, 4.0, 0], [-4.0, 0, 0]]
    target, cord = ball((12, 12, 6 + shift), radius), ball((12, 22, 16), 3.0)
    at = np.argwhere(target).mean(axis=0)
    distance = np.sqrt(sum((i - c) ** 2 for i, c in zip(np.indices(target.shape), at, strict=True)))
    dose = 70.0 / (1.0 + np.exp((distance - radius - 1.0) / 1.5))
    masks = {"PTV70": target, "Cord": cord, "Larynx": ball((12, 10, 16), 3.0)}
    return Case(
        f"{shift:.2f} {radius:.2f}",
        dose=Volume(dose, affine),
        structures={name: Volume(mask, affine) for name, mask in masks.items()},
    )
