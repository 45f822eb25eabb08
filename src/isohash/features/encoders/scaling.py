"""Vectors of anatomies on one scale, as the encoders of whole cases compare them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def scaled(vectors: Numbers, fill: Numbers, scale: Numbers) -> Numbers:
    """Raw vectors (n, p) centred and scaled (p,); what is absent becomes 0."""
    return np.where(np.isnan(vectors), 0.0, vectors - fill) * scale
