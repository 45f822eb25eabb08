"""Volumes and dose-volume histograms of contours by plain sampling, apart from our own code.

A structure is a list of planes (z, rings), each ring (n, 2) as (x, y), all in mm. Points in the
middles of small squares count as inside by the even-odd rule; each plane stands for a slab as high
as the distance of the planes, sampled at several heights; dose is interpolated between its voxels.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RegularGridInterpolator


def inside(x, y, rings):
    """Whether the points (x, y) lie inside an odd number of rings."""
    odd = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=bool)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if y0 != y1:
                spans = (y0 > y) != (y1 > y)
                odd ^= spans & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return odd


def polygon_cc(planes, step_mm):
    """Area of each plane by the shoelace formula, rings within one another being holes."""
    total = 0.0
    for _, rings in planes:
        areas = sorted((_shoelace(ring) for ring in rings), reverse=True)
        total += areas[0] - sum(areas[1:])
    return total * step_mm / 1000.0


def slabs_cc(planes, thickness_mm):
    """Area of each plane's only ring times the thickness of its own slab."""
    return (
        sum(_shoelace(ring) * t for (_, (ring,)), t in zip(planes, thickness_mm, strict=True)) / 1e3
    )


def sampled(planes, step_mm, dose, side_mm, n_heights=3):
    """Doses at points evenly spread in the structure; 0 where the dose grid has ended.

    `dose` is (array (z, y, x), first voxel (z, y, x), spacing (z, y, x)). In its plane a dose ends
    at the outermost centres, along z half a plane beyond.
    """
    array, first, spacing = dose
    axes = [f + s * np.arange(n) for f, s, n in zip(first, spacing, array.shape, strict=True)]
    at = RegularGridInterpolator(axes, array, bounds_error=False, fill_value=0.0)
    half = 0.5 * spacing[0]
    values = []
    for z, rings in planes:
        every = np.vstack(rings)
        (x0, y0), (x1, y1) = every.min(axis=0), every.max(axis=0)
        x = np.linspace(x0, x1, max(2, round((x1 - x0) / side_mm)), endpoint=False)
        y = np.linspace(y0, y1, max(2, round((y1 - y0) / side_mm)), endpoint=False)
        x, y = x + 0.5 * (x[1] - x[0]), y + 0.5 * (y[1] - y[0])
        grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
        held = inside(grid_x, grid_y, rings)
        for part in (np.arange(n_heights) + 0.5) / n_heights - 0.5:
            height = z + part * step_mm
            if axes[0][0] - half <= height <= axes[0][-1] + half:
                height = np.clip(height, axes[0][0], axes[0][-1])
            points = np.stack([np.full(held.sum(), height), grid_y[held], grid_x[held]], axis=1)
            values.append(at(points))
    return np.concatenate(values)


def d(values, percent):
    """Dose that `percent` of equally weighted samples receive at least."""
    return float(np.percentile(values, 100.0 - percent))


def _shoelace(ring):
    x, y = ring[:, 0], ring[:, 1]
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
