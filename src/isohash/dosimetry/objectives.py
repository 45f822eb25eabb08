"""What planners aim at, structure by structure.

D1, D95 and D99 of targets; of organs the dose to the hottest 0.1 cc, and the mean. Of voxel masks
these are the numbers by which the OpenKBP challenge scores plans (`plan_scores.dvh_metrics`), of
drawn structures the same of samples within the contours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dvh import doses_at, dvh
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


def doses_of(
    dose: Volume, mask: Volume, structure: str, percents: Sequence[float]
) -> NDArray[np.float64]:
    """Gy that these shares of a volume receive at least (`dvh.doses_at`), and what is aimed at.

    (m + 3,): the m `percents`, then each of `metric_names`, NaN beyond them; `dose` on the mask's
    grid. A drawn structure is sampled once for both.
    """
    aims = np.full(MOST_METRICS, np.nan)
    if isinstance(mask, Structure):
        curve = dvh(dose, mask)
        if is_target(structure):
            aims[:] = [curve.d(volume) for volume in TARGET_VOLUMES]
        else:
            aims[:2] = curve.d_cc(HOT_CC), curve.mean_gy
        return np.append([curve.d(percent) for percent in percents], aims)
    values = dvh_metrics(structure, dose.array[mask.array], mask.voxel_cc)
    aims[: len(values)] = values
    return np.append(doses_at(dose, mask, percents), aims)
