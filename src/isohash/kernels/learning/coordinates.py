"""The units and the coordinate in which particles move, around any objective and pair source."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.kernels.learning.langevin import Interval
from isohash.kernels.learning.particles import PairSource
from isohash.kernels.target_alignment import Objective, Pairs


@dataclass(frozen=True, eq=False)
class ScaledPairs:
    """Pairs of another source with distances in units of `reference`."""

    source: PairSource
    reference: float

    def draw(self, n: int, rng: np.random.Generator) -> Pairs:
        """`n` pairs of the source, rescaled."""
        pairs = self.source.draw(n, rng)
        return Pairs(pairs.squared_distances / self.reference**2, pairs.agreements)


@dataclass(frozen=True)
class InLogarithm:
    """An objective as a function of log xi, by the chain rule."""

    objective: Objective

    def value(self, xi: NDArray[np.float64], pairs: Pairs) -> float:
        """The objective at exp(xi)."""
        return self.objective.value(np.exp(xi), pairs)

    def gradient(self, xi: NDArray[np.float64], pairs: Pairs) -> NDArray[np.float64]:
        """Its gradient by the logarithms, mean-field scaled."""
        bandwidths = np.exp(xi)
        return bandwidths * self.objective.gradient(bandwidths, pairs)


def interval_of(bounds: tuple[float, float], logarithmic: bool) -> Interval:
    """Bounds of xi as an interval of the coordinate in which the particles move."""
    if not logarithmic:
        return Interval(*bounds)
    return Interval(math.log(bounds[0]), math.log(bounds[1]))
