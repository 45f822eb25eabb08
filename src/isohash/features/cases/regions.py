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
Words = NDArray[np.uint64]


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
    """The voxels of the mask (z, y, x) connected to `seed` by faces.

    64 voxels of a row are the bits of one word, so that a sweep over a clinical CT takes a
    millisecond or two.
    """
    allowed = _packed(mask)
    start = np.zeros_like(mask)
    start[seed] = True
    reached = _packed(start)
    before = np.zeros_like(reached)
    while not np.array_equal(before, reached):
        before = reached.copy()
        _sweep(reached, allowed)
        _sweep(reached.swapaxes(0, 1), allowed.swapaxes(0, 1))
        _spread_along_rows(reached, allowed)
    return _unpacked(reached, mask.shape)


def _packed(mask: Mask) -> Words:
    """Voxel x of a row as bit x % 64 of word x // 64, the rest zero."""
    padded = np.zeros((*mask.shape[:2], -(-mask.shape[2] // 64) * 8), np.uint8)
    bits = np.packbits(mask, axis=2, bitorder="little")
    padded[:, :, : bits.shape[2]] = bits
    return padded.view("<u8")


def _unpacked(words: Words, shape: tuple[int, ...]) -> Mask:
    bits = np.unpackbits(words.view(np.uint8), axis=2, count=shape[2], bitorder="little")
    return bits.view(np.bool_)


def _sweep(reached: Words, allowed: Words) -> None:
    """Spread what is reached along the first axis, forth and back, in place."""
    for here, before in (
        *((i, i - 1) for i in range(1, len(allowed))),
        *((i, i + 1) for i in range(len(allowed) - 2, -1, -1)),
    ):
        reached[here] |= reached[before] & allowed[here]


def _spread_along_rows(reached: Words, allowed: Words) -> None:
    """Spread what is reached along the bits of each row, both ways, in place."""
    n = reached.shape[2]
    up, down, last = np.left_shift, np.right_shift, np.uint64(63)
    for order, onward, back in ((range(n), up, down), (range(n)[::-1], down, up)):
        carried = np.zeros(reached.shape[:2], reached.dtype)
        for word in order:
            here = reached[:, :, word] | (carried & allowed[:, :, word])
            reached[:, :, word] = _filled(here, allowed[:, :, word].copy(), onward)
            carried = back(reached[:, :, word], last)


def _filled(reached: Words, allowed: Words, onward: np.ufunc) -> Words:
    """Occluded fill by doubling steps (Kogge and Stone 1973): 64 single steps in six."""
    for step in 2 ** np.arange(6, dtype=np.uint64):
        reached |= allowed & onward(reached, step)
        allowed &= onward(allowed, step)
    return reached


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


def bounds(mask: Mask) -> list[tuple[int, int]]:
    """First and one past the last index along each axis; the mask is not empty."""
    found = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        found.append((int(inside[0]), int(inside[-1]) + 1))
    return found
