"""Projected Langevin steps of scalar particles on an interval.

    xi <- Proj_Xi( xi - eta grad J(xi) + sqrt(2 eta / beta) zeta ),   zeta ~ N(0, I),

with inverse temperature beta; beta = infinity is legal and exact: no noise is drawn. `Proj` clips,
as in the literature; reflection at the ends converges faster to the same reflected diffusion,
because clipping leaves atoms at the ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError

Boundary = Literal["project", "reflect"]


@dataclass(frozen=True)
class Interval:
    """The set Xi = [lower, upper] that the particles live in, in whatever coordinate they move."""

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lower) and math.isfinite(self.upper)):
            raise InputError(f"bounds must be finite, got ({self.lower}, {self.upper})")
        if not self.lower < self.upper:
            raise InputError(
                f"bounds must be (xi_l, xi_u) with xi_l < xi_u, got ({self.lower}, {self.upper})"
            )

    def project(self, xi: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest point of the interval."""
        return np.clip(xi, self.lower, self.upper)

    def reflect(self, xi: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mirror images at the ends, as often as it takes."""
        length = self.upper - self.lower
        offset = np.mod(xi - self.lower, 2.0 * length)
        return self.project(self.lower + np.minimum(offset, 2.0 * length - offset))

    def outside(self, xi: NDArray[np.float64]) -> int:
        """How many of xi lie beyond an end."""
        return int(np.count_nonzero((xi < self.lower) | (xi > self.upper)))


@dataclass(frozen=True)
class Langevin:
    """How particles step; `eta(m)` = step_size / (1 + m / half_life)^power at step m = 0, 1, ..."""

    interval: Interval
    step_size: float = 1.0
    beta: float = math.inf
    boundary: Boundary = "project"
    half_life: float = math.inf
    power: float = 0.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.step_size) and self.step_size > 0):
            raise InputError(f"step_size must be finite and positive, got {self.step_size}")
        if not self.beta > 0:
            raise InputError(f"beta must be positive (inf means no noise), got {self.beta}")
        if not (self.half_life > 0 and self.power >= 0):
            raise InputError(
                f"half_life must be positive and power >= 0, got {self.half_life}, {self.power}"
            )
        if self.boundary not in ("project", "reflect"):
            raise InputError(f"boundary must be project or reflect, got {self.boundary!r}")

    def eta(self, m: int) -> float:
        """The step size of step m."""
        return self.step_size / (1.0 + m / self.half_life) ** self.power

    def step(
        self,
        xi: NDArray[np.float64],
        gradient: NDArray[np.float64],
        eta: float,
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float64], int]:
        """One step along -`gradient` (mean-field scaled); also the number of boundary hits."""
        drift = -eta * gradient
        noise = self._noise(xi.shape, eta, rng)
        moved = xi + drift + noise
        keep = self.interval.reflect if self.boundary == "reflect" else self.interval.project
        return keep(moved), self.interval.outside(moved)

    def _noise(
        self, shape: tuple[int, ...], eta: float, rng: np.random.Generator
    ) -> NDArray[np.float64] | float:
        if math.isinf(self.beta):
            return 0.0
        return math.sqrt(2.0 * eta / self.beta) * rng.standard_normal(shape)
