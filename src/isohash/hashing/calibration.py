"""From code distance back to distance, with an interval, by inverting the hash's closed form.

For a drawn binary hash the number of differing bits of a pair at distance r is Binomial(n, p(r)),
p increasing. The exact (Clopper-Pearson) interval of p is mapped back through p; where it reaches
the saturation of p the code cannot tell how far the pair lies: only a lower bound is known.
The probability is over the draw of the hash, for a pair chosen without looking at its codes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from isohash.errors import InputError

GRID = 4096  # points of the table of p(r), log-spaced: the error of the inverse is below 0.1 %
COVERAGE = 0.95


class Drawn(Protocol):
    """What calibration needs of a hash."""

    @property
    def n_bits(self) -> int:
        """Bits of a code."""

    def disagreement(self, r: ArrayLike) -> NDArray[np.float64]:
        """Probability that a bit differs for a pair at distance r."""


class Estimates(NamedTuple):
    """Distances (n,) with the ends of their intervals; `high` is inf beyond the code's range."""

    estimate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    beyond_range: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Calibration:
    """A table of distances `r` (m,) and the share of differing bits expected there."""

    length: int
    r: NDArray[np.float64]
    expected: NDArray[np.float64]

    @classmethod
    def of(cls, drawn: Drawn) -> Calibration:
        """Tabulate the closed form of a drawn hash over the distances it can tell apart."""
        scale = _half_saturation(drawn)
        r = np.concatenate([[0.0], scale * np.logspace(-4, 2, GRID)])
        expected = np.maximum.accumulate(drawn.disagreement(r))
        return cls(drawn.n_bits, r, expected)

    @property
    def saturation(self) -> float:
        """The share of differing bits that no distance exceeds in expectation."""
        return float(self.expected[-1])

    def estimate(self, code_distance: ArrayLike, coverage: float = COVERAGE) -> Estimates:
        """Distances for code distances (n,), 0 to the code's length; means of several are legal."""
        share = np.asarray(code_distance, dtype=np.float64) / self.length
        low, high = self.interval_of_share(share, coverage)
        beyond = high >= self.saturation * (1 - 1e-9)
        return Estimates(
            self._inverse(share),
            self._inverse(low),
            np.where(beyond, np.inf, self._inverse(high)),
            beyond,
        )

    def interval_of_share(
        self, share: NDArray[np.float64], coverage: float = COVERAGE
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Clopper-Pearson interval of the probability that a bit differs."""
        if np.any((share < 0) | (share > 1)):
            raise InputError(f"a code distance lies in 0..{self.length}")
        n, k, tail = self.length, share * self.length, (1 - coverage) / 2
        low = np.where(k > 0, betaincinv(np.maximum(k, 1e-9), n - k + 1, tail), 0.0)
        high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1e-9), 1 - tail), 1.0)
        return low, high

    def to_json(self) -> str:
        """A text that `from_json` reads."""
        table = {"length": self.length, "r": self.r.tolist(), "expected": self.expected.tolist()}
        return json.dumps(table)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Rebuild a calibration from `to_json`."""
        table = json.loads(text)
        return cls(int(table["length"]), np.array(table["r"]), np.array(table["expected"]))

    def _inverse(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = np.concatenate([[True], np.diff(self.expected) > 0])
        return np.interp(share, self.expected[steps], self.r[steps])


def _half_saturation(drawn: Drawn) -> float:
    """A distance at which half of the saturation is reached, by bisection on a log scale."""
    low, high = 1e-12, 1e12
    half = float(drawn.disagreement(np.array([high]))[0]) / 2
    while high / low > 1.01:
        middle = float(np.sqrt(low * high))
        low, high = (
            (middle, high) if drawn.disagreement(np.array([middle]))[0] < half else (low, middle)
        )
    return float(np.sqrt(low * high))
