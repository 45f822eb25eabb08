"""What planners aim at, structure by structure.

D1, D95 and D99 of targets; of organs the dose to the hottest 0.1 cc, and the mean. Of voxel masks
these are the numbers by which the OpenKBP challenge scores plans (`plan_scores.dvh_metrics`), of
drawn structures the same of samples within the contours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dvh import dvh
from isohash.dosimetry.names import is_target
from isohash.dosimetry.plan_scores import HOT_CC, TARGET_VOLUMES, dvh_metrics
from isohash.dosimetry.structures import Structure
from isohash.records import Volume

TARGET_METRICS = tuple(f"D{volume:g}" for volume in TARGET_VOLUMES)
ORGAN_METRICS = (f"D{HOT_CC:g}cc", "mean")
MOST_METRICS = len(TARGET_METRICS)


def metric_names(structure: str) -> tuple[str, ...]:
    """What is aimed at in a structure, by its canonical name."""
    return TARGET_METRICS if is_target(structure) else ORGAN_METRICS


def metrics_of(dose: Volume, mask: Volume, structure: str) -> NDArray[np.float64]:
    """Gy of each of `metric_names`, (3,), NaN beyond them; `dose` on the mask's grid."""
    found = np.full(MOST_METRICS, np.nan)
    if isinstance(mask, Structure):
        curve = dvh(dose, mask)
        if is_target(structure):
            found[:] = [curve.d(volume) for volume in TARGET_VOLUMES]
        else:
            found[:2] = curve.d_cc(HOT_CC), curve.mean_gy
    else:
        values = dvh_metrics(structure, dose.array[mask.array], mask.voxel_cc)
        found[: len(values)] = values
    return found
