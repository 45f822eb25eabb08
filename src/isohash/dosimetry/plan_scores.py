"""How well one dose stands for another: the scores of the OpenKBP challenge.

Dose score: mean absolute difference over the voxels that can receive dose, then over patients. DVH
score: mean absolute difference of D1, D95 and D99 of targets, and of the mean and D0.1cc of organs,
over all structures of all patients at once (Babier et al., Medical Physics 48 (2021) 5549-5561,
section 2.4, and the code in the repository ababier/open-kbp). Both in Gy; lower is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.names import is_target

HOT_CC = 0.1
TARGET_VOLUMES = (1.0, 95.0, 99.0)  # percent

Doses = NDArray[np.floating]


def dose_score(dose: Doses, planned: Doses) -> float:
    """Mean absolute difference in Gy; both (n,), at the voxels that can receive dose."""
    return float(np.abs(np.asarray(dose, dtype=np.float64) - planned).mean())


def dvh_score(dose: Mapping[str, Doses], planned: Mapping[str, Doses], voxel_cc: float) -> float:
    """Mean absolute difference in Gy over all metrics of all structures, each (n,) by name."""
    return pooled_dvh_score([dvh_misses(dose, planned, voxel_cc)])


def dvh_misses(
    dose: Mapping[str, Doses], planned: Mapping[str, Doses], voxel_cc: float
) -> NDArray[np.float64]:
    """The absolute difference in Gy of every metric of every structure, one after the other."""
    misses = [
        np.abs(dvh_metrics(name, dose[name], voxel_cc) - dvh_metrics(name, planned[name], voxel_cc))
        for name in planned
    ]
    return np.concatenate(misses)


def pooled_dvh_score(misses: Sequence[NDArray[np.float64]]) -> float:
    """The DVH score of patients, each with its `dvh_misses`: more structures weigh more."""
    return float(np.concatenate(misses).mean())


def dvh_metrics(name: str, dose: Doses, voxel_cc: float) -> NDArray[np.float64]:
    """D1, D95 and D99 of a target; D0.1cc and mean of an organ. Gy, of voxel doses (n,).

    As the challenge does, D0.1cc is the percentile, interpolated, at which as many whole voxels as
    are nearest to 0.1 cc (one at least) are hotter.
    """
    if is_target(name):
        return np.percentile(dose, [100.0 - volume for volume in TARGET_VOLUMES])
    hot = max(1, round(HOT_CC / voxel_cc))
    at = max(0.0, 100.0 - 100.0 * hot / len(dose))
    return np.array([np.percentile(dose, at), np.mean(dose, dtype=np.float64)])
