"""Where the body lies in a CT: found on a coarse grid, for its centre is all that is asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.canonical import Canonical
from isohash.features.cases.regions import largest_region

COARSE_MM = 4.0  # the body is found on about this grid: fine enough for a bounding box

Strides = tuple[int, int]  # of rows and columns


def body_of(ct: Canonical, body_hu: float) -> tuple[NDArray[np.bool_], Strides]:
    """The largest connected region above `body_hu` on a coarse grid; the in-plane strides.

    A square opening first: couch shells and mask rims are one or two coarse pixels thick, so
    they vanish or come apart from the body.
    """
    step_y, step_x = (max(1, round(COARSE_MM / mm)) for mm in (ct.step_mm[1], ct.step_mm[0]))
    above = ct.array[:, ::step_y, ::step_x] > body_hu
    cores = _shrunk(above)
    if not cores.any():
        cores = above  # a body thinner than the opening, as in tiny phantoms
    return largest_region(cores), (step_y, step_x)


def _shrunk(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose four neighbours in the slice are set too (outside counts as unset)."""
    out = np.zeros_like(mask)
    out[:, 1:-1, 1:-1] = (
        mask[:, 1:-1, 1:-1]
        & mask[:, :-2, 1:-1]
        & mask[:, 2:, 1:-1]
        & mask[:, 1:-1, :-2]
        & mask[:, 1:-1, 2:]
    )
    return out


def centre_mm(mask: NDArray[np.bool_], step: Strides, grid: Canonical) -> tuple[float, float]:
    """Patient (x, y) of a coarse mask's centre: the median over the slices of its bounding box's.

    That of the image where the mask is empty.
    """
    centre = []
    for axis, stride, first, mm in (
        (2, step[1], grid.first_mm[0], grid.step_mm[0]),
        (1, step[0], grid.first_mm[1], grid.step_mm[1]),
    ):
        profile: NDArray[np.bool_] = np.any(mask, axis=3 - axis)  # (z, x) or (z, y)
        profile = profile[np.any(profile, axis=1)]
        middle = (grid.array.shape[axis] - 1) / 2.0
        if len(profile):
            low = profile.argmax(axis=1)
            high = profile.shape[1] - 1 - profile[:, ::-1].argmax(axis=1)
            # not np.median, which imports numpy.ma: a twentieth of a query from a cold start
            middle = stride * float(np.quantile(low + high, 0.5)) / 2.0
        centre.append(first + mm * middle)
    return centre[0], centre[1]
