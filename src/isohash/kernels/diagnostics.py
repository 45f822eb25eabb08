"""Whether a recorded trace has settled, and how many independent values it holds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FEWEST_RECORDS = 8
# Settled: the last quarter moved the objective by less than this share of the whole way, or by
# less than three standard errors of the difference of the last two quarters.
SHARE_OF_WAY = 0.01
STANDARD_ERRORS = 3.0


def settled(trace: NDArray[np.float64]) -> bool:
    """Whether the means of the third and the fourth quarter of the trace agree."""
    if len(trace) < FEWEST_RECORDS:
        return False
    quarter = len(trace) // 4
    before, after = trace[-2 * quarter : -quarter], trace[-quarter:]
    difference = abs(float(after.mean() - before.mean()))
    noise = math.sqrt((before.var(ddof=1) + after.var(ddof=1)) / quarter)
    way = abs(float(after.mean() - trace[0]))
    return difference <= max(SHARE_OF_WAY * way, STANDARD_ERRORS * noise)


def effective_sample_size(trace: NDArray[np.float64]) -> float:
    """N / (1 + 2 sum of autocorrelations), summed while adjacent pairs stay positive (Geyer 1992).

    A constant trace counts as one value.
    """
    n = len(trace)
    centred = trace - trace.mean()
    variance = float(centred @ centred)
    if n < 2 or variance <= n * (1e-12 * max(1.0, abs(float(trace.mean())))) ** 2:
        return 1.0
    correlations = np.correlate(centred, centred, "full")[n - 1 :] / variance
    even = correlations[: 2 * (n // 2)].reshape(-1, 2).sum(axis=1)  # rho_0 + rho_1, ...
    positive = even[: int(np.argmax(even <= 0))] if (even <= 0).any() else even
    return float(min(n, n / max(2.0 * positive.sum() - 1.0, 1.0 / n)))
