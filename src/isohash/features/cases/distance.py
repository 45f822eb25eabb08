"""Distances in mm on a grid (z, y, x): to a mask, to its surface, within each slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isohash import native
from isohash.features.cases.regions import bounds

Mask = NDArray[np.bool_]
Distances = NDArray[np.float64]


def distance_to(mask: Mask, mm: Sequence[float]) -> Distances:
    """Distance of each cell's centre to that of the nearest cell inside; infinite if none is."""
    if native.available():
        return native.distances(mask, np.asarray(mm, dtype=np.float64))
    if not mask.any():
        return np.full(mask.shape, np.inf)
    from scipy import ndimage

    distance: Distances = ndimage.distance_transform_edt(~mask, sampling=mm)
    return distance


def distance_in_slice(mask: Mask, mm: Sequence[float]) -> Distances:
    """The same within each slice."""
    if native.available():
        return native.distances(mask, np.asarray(mm, dtype=np.float64), flat=True)
    return np.concatenate([distance_to(one[None], mm) for one in mask])


def signed_distance(mask: Mask, mm: Sequence[float]) -> Distances:
    """Distance in mm to the mask's surface: positive outside, negative inside.

    The surface lies half-way between voxels inside and outside along the axes, so the distance
    never is 0. An empty mask is infinitely far away.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf)
    if mask.all():
        return np.full(mask.shape, -np.inf)
    # what is nearest outside an inner voxel touches the mask, so a tight box suffices
    cut = tuple(slice(max(0, a - 1), b + 1) for a, b in bounds(mask))
    half = 0.5 * float(min(mm))
    signed = distance_to(mask, mm) - half
    signed[cut] = np.where(mask[cut], half - distance_to(~mask[cut], mm), signed[cut])
    return signed
