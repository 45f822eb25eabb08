"""A plan as a code: a few doses per structure, as symbols of `STEP_GY` each.

The Lee distance of two codes is the difference of their dose-volume histograms in those steps,
exact but for the rounding. A query's code is that of its predicted doses, a stored case's that of
its plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEP_GY = 0.8
SYMBOLS = 256  # Lee distance goes the shorter way round: right up to 128 steps, 102 Gy
CODE, KNOWN, PREDICTED = "plan.code", "plan.known", "plan.predicted"


def plan_arrays(
    predicted: NDArray[np.float64] | None, planned: NDArray[np.float64] | None
) -> dict[str, NDArray[Any]]:
    """What an archive keeps: doses (structures, dose_volumes) in Gy, NaN where there is none.

    `predicted` asks, `planned` is found.
    """
    arrays: dict[str, NDArray[Any]] = {}
    if predicted is not None:
        arrays[PREDICTED] = predicted.astype(np.float16)
    if planned is not None and not np.isnan(planned).all():
        arrays[CODE] = plan_symbols(planned)[None].astype(np.uint8)
        arrays[KNOWN] = ~np.isnan(planned[None, :, 0])
    return arrays


def predicted_doses(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
    """The predicted doses of an entry, if its anatomy allows a prediction."""
    predicted = arrays.get(PREDICTED)
    return None if predicted is None else np.asarray(predicted, dtype=np.float64)


def plan_symbols(doses: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Doses in Gy as symbols of a code; absent ones as 0."""
    steps = np.rint(np.nan_to_num(doses) / STEP_GY)
    return np.clip(steps, 0, SYMBOLS - 1).astype(np.uint8)
