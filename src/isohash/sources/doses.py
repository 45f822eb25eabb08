"""What every reader demands of a dose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError

MAX_DOSE_GY = 500.0  # far above any plan: catches doses in cGy that were declared as Gy


def checked_dose(dose: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """The dose in Gy as float32; InputError for what is no dose, or none in Gy."""
    if dose.dtype.kind not in "iuf" or not np.isfinite(dose).all():
        raise InputError(f"{path}: dose is not finite (NaN or infinite); export the case again")
    if dose.min() < 0:
        raise InputError(f"{path}: dose is negative ({dose.min():.3f} Gy); export the case again")
    if dose.max() > MAX_DOSE_GY:
        raise InputError(
            f"{path}: dose reaches {dose.max():.0f} Gy, above {MAX_DOSE_GY:.0f}; check its unit"
        )
    return dose.astype(np.float32)
