"""How far one plan lies from another: the mean difference of their dose-volume histograms in Gy.

Doses are (..., structures, dose_volumes): the dose that each share of a structure reaches at least.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Doses = NDArray[np.float64]  # (..., structures, dose_volumes) in Gy, NaN where absent


def plan_distances(a: Doses, b: Doses) -> Matrix:
    """Gy (n_a, n_b): mean absolute difference over the structures that both have; NaN for none."""
    total = np.zeros((len(a), len(b)))
    shared = np.zeros((len(a), len(b)))
    for s in range(a.shape[1]):  # one structure at a time bounds the memory
        apart = np.abs(a[:, None, s] - b[None, :, s]).mean(axis=2)
        known = ~np.isnan(apart)
        total += np.where(known, apart, 0.0)
        shared += known
    return np.where(shared > 0, total / np.maximum(1, shared), np.nan)


def with_unknown(apart: Matrix, known: NDArray[np.bool_]) -> Matrix:
    """Differences (structures, n) in Gy, the mean of the known ones where a case lacks a structure.

    A case must not come first because little of it is known.
    """
    total = np.where(known, apart, 0.0).sum(axis=1)
    return np.where(known, apart, (total / np.maximum(1, known.sum(axis=1)))[:, None])


def differences(predicted: Doses, planned: Doses) -> tuple[Matrix, NDArray[np.bool_]]:
    """Gy by structure between one case's doses and those of n plans, (structures, n); where known.

    Only structures that the case has take part.
    """
    own = ~np.isnan(predicted[:, 0])
    apart = np.abs(planned[:, own] - predicted[own]).mean(axis=2).T
    return apart, ~np.isnan(apart)
