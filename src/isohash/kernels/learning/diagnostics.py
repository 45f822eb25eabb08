"""What became of a training run: whether it settled, and how many independent values it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.kernels.learning.particles import History

FEWEST_RECORDS = 8
# Settled: the last quarter moved the objective by less than this share of the whole way, or by
# less than three standard errors of the difference of the last two quarters.
SHARE_OF_WAY = 0.01
STANDARD_ERRORS = 3.0


@dataclass(frozen=True)
class Diagnostics:
    """What became of a training run.

    `objective` and `start` are the objective on the fixed evaluation pairs at the end and at the
    beginning; `wasserstein` is the distance to the initial particles in the run's coordinate;
    `boundary_share` is hits per particle and step; `effective_sample_size` counts independent
    records in the second half of the trace of the objective; `reference_distance` is the unit.
    """

    converged: bool
    n_steps: int
    objective: float
    start: float
    wasserstein: float
    multiplier: float
    boundary_share: float
    effective_sample_size: float
    reference_distance: float

    @classmethod
    def of(cls, history: History, multiplier: float, reference_distance: float) -> Diagnostics:
        """Read them off what was recorded."""
        n_steps, n_particles = int(history.steps[-1]), history.particles.shape[1]
        return cls(
            converged=settled(history.objective),
            n_steps=n_steps,
            objective=float(history.objective[-1]),
            start=float(history.objective[0]),
            wasserstein=float(history.wasserstein[-1]),
            multiplier=multiplier,
            boundary_share=float(history.boundary_hits.sum() / n_steps / n_particles),
            effective_sample_size=effective_sample_size(history.objective[len(history) // 2 :]),
            reference_distance=reference_distance,
        )


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
