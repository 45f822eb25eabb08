"""What a learned kernel is judged by."""

from __future__ import annotations

import numpy as np

from isohash.kernels.target_alignment import Pairs


def mean_alignment(xi: np.ndarray, pairs: Pairs) -> float:
    """E[y y' K] over the pairs, by its definition: between -1 and 1, larger is better."""
    kernels = np.exp(-np.outer(pairs.squared_distances, xi)).mean(axis=1)
    return float(np.mean(pairs.agreements * kernels))
