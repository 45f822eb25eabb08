"""The largest connected region of a mask, found without SciPy where one region dominates.

Importing scipy.ndimage takes as long as the rest of a query from a cold start. A body is nearly
always one region with more than half of the mask's voxels, which a flood fill by sweeps along the
axes finds; only otherwise are all regions labelled. Where SciPy's labels are loaded already, as in
indexing, they are used: they are faster once they are there, and the region is the same.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def largest_region(mask: Mask) -> Mask:
    """The largest set of True voxels (z, y, x) connected by faces; ties to the first found."""
    total = int(np.count_nonzero(mask))
    if not total:
        return mask
    if "scipy.ndimage" in sys.modules:
        return _largest_labelled(mask)
    region = flood(mask, _near_centre(mask))
    if 2 * int(np.count_nonzero(region)) > total:
        return region
    return _largest_labelled(mask)


def flood(mask: Mask, seed: tuple[int, ...]) -> Mask:
    """The voxels of the mask connected to `seed` by faces."""
    reached = np.zeros_like(mask)
    reached[seed] = True
    # sweeps run over whole planes, so each axis gets a copy whose planes are contiguous
    planes = [np.ascontiguousarray(np.moveaxis(mask, axis, 0)) for axis in range(mask.ndim)]
    count = 0
    while count != (count := int(np.count_nonzero(reached))):
        for axis, along in enumerate(planes):
            swept = np.ascontiguousarray(np.moveaxis(reached, axis, 0))
            _sweep(swept, along)
            reached = np.ascontiguousarray(np.moveaxis(swept, 0, axis))
    return reached


def _sweep(reached: Mask, mask: Mask) -> None:
    """Spread what is reached along the first axis, forth and back, in place."""
    step = np.empty_like(mask[0])
    for here, before in (
        *((i, i - 1) for i in range(1, len(mask))),
        *((i, i + 1) for i in range(len(mask) - 2, -1, -1)),
    ):
        np.logical_and(reached[before], mask[here], out=step)
        np.logical_or(reached[here], step, out=reached[here])


def _near_centre(mask: Mask) -> tuple[int, ...]:
    """The True voxel nearest to the mask's centre, in voxels."""
    flat = np.flatnonzero(mask)
    at = np.stack(np.unravel_index(flat, mask.shape)).astype(np.float32)
    nearest = np.abs(at - at.mean(axis=1, keepdims=True)).sum(axis=0).argmin()
    return tuple(at[:, nearest].astype(int).tolist())


def _largest_labelled(mask: Mask) -> Mask:
    from scipy import ndimage

    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    found: Mask = labels == sizes.argmax()
    return found
