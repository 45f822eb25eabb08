"""Structures of circles on small grids, for tests of how contours are drawn."""

from __future__ import annotations

import numpy as np

from isohash.dosimetry.drawing import draw
from isohash.dosimetry.structures import Structure


def circle(r, cx=0.0, cy=0.0, n=48):
    t = 2 * np.pi * np.arange(n) / n
    return np.column_stack([cx + r * np.cos(t), cy + r * np.sin(t)])


def points(z, ring):
    return np.column_stack([ring, np.full(len(ring), z)])


def grid(spacing, half_mm):
    """A grid (z, y, x) about the origin, off it by a share of a voxel."""
    shape = tuple(int(2 * half / mm) + 2 for half, mm in zip(half_mm, spacing, strict=True))
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[:3, 3] = [
        -half + 0.3 * mm for half, mm in zip(half_mm[::-1], spacing[::-1], strict=True)
    ]
    affine[3, 3] = 1
    return affine, shape


def drawn(rings_by_z, affine, shape, step=3.0, **how):
    contours = [points(z, ring) for z, rings in rings_by_z for ring in rings]
    return Structure.of(draw(contours, affine, step, **how), affine, shape)


AFFINE, SHAPE = grid((3.0, 2.0, 2.0), (30.0, 40.0, 40.0))
DISC = np.pi * 100 * 6e-3  # cc of two slabs of 3 mm
