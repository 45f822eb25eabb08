"""Isodose lines of one slice, and the levels and colours in which they are drawn."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError

# Shares of the prescription at which lines are drawn, from the hottest down.
DEFAULT_SHARES = (1.07, 1.0, 0.95, 0.8, 0.6, 0.4, 0.2)

# Okabe and Ito's colours, told apart by the colour-blind and seen on grey; hottest level first.
PALETTE = ("#D55E00", "#E69F00", "#F0E442", "#009E73", "#56B4E9", "#0072B2", "#CC79A7")


def default_levels(prescription_gy: float) -> tuple[float, ...]:
    """Levels in Gy at `DEFAULT_SHARES` of the prescription, hottest first, to 0.1 Gy."""
    if not prescription_gy > 0:
        raise InputError(f"prescription_gy must be positive, got {prescription_gy}")
    return tuple(round(share * prescription_gy, 1) for share in DEFAULT_SHARES)


def level_colours(levels_gy: Iterable[float]) -> dict[float, str]:
    """A colour for every level: the hottest takes the first of `PALETTE`, and so on around."""
    ordered = sorted(set(levels_gy), reverse=True)
    return {level: PALETTE[rank % len(PALETTE)] for rank, level in enumerate(ordered)}


def isodose_lines(
    dose_slice: ArrayLike, levels_gy: Iterable[float]
) -> dict[float, list[NDArray[np.float64]]]:
    """Lines of equal dose in a slice (y, x) in Gy: level -> polylines.

    Each polyline has shape (m, 2): (x, y) = (column, row) in pixels, whole numbers being pixel
    centres; closed lines repeat their first point. A level that the slice does not cross has none.
    """
    dose = np.asarray(dose_slice, dtype=np.float64)
    if dose.ndim != 2 or min(dose.shape) < 2:
        raise InputError(f"a dose slice has shape (y, x) of at least 2 x 2, got {dose.shape}")
    if not np.isfinite(dose).all():
        raise InputError("the dose slice holds values that are not finite")
    generator = contour_generator(z=dose, line_type=LineType.Separate)
    return {float(level): list(generator.lines(float(level))) for level in levels_gy}
