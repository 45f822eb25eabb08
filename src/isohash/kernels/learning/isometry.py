"""An objective for retrieval: let the code distance tell Euclidean distances apart.

One bit of the hash differs for two points at distance r with a probability P(r) that is linear in
the measure of the particles: P(r) = (1/N) sum_k p(xi_k r^2). Reading r off n bits has, to first
order, the relative variance

    V(r) / n,    V(r) = P(r) (1 - P(r)) / (r P'(r))^2,

and the objective is the mean of -log(1/V + 1/n) over the distances that matter: those from a
point to its neighbours of ranks k to 10 k, spread evenly on a logarithmic scale. The k nearest must
be told from those behind them, and not from each other. Up to a constant and a factor of -2 this is
the information, log(1 + n/V) / 2, that a code of n bits carries about the logarithm of a distance
(as a Gaussian channel, prior of variance 1). For V much less than n it is log V; distances that n
bits cannot read in any case, far beyond the bandwidth, count for nothing instead of deciding alone.

Every radial kernel makes the expected code distance increase with r. A kernel that is wide enough
makes it follow r linearly, but its bits hardly ever differ; V weighs the slope and the spread.

At one single distance 1/V is a convex function of the measure (a sum of two perspectives
a^2/b + a^2/(1-b)), so one bandwidth is best there; a mixture wins only where the distances
spread far (docs/kernel-learning.md measures how far).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from isohash.distances import squared_distances
from isohash.errors import InputError
from isohash.kernels.target_alignment import Pairs

# Below this xi r^2 the series would need more than N_TERMS terms, so the integral takes over.
SERIES_FROM = 0.05
N_TERMS = 64
# Range of log(xi r^2) that the tabulated curve covers.
LOG_RANGE = (-18.0, 6.0)
# Nearest entries 2e-4 apart in u: gradients are off by at most 1e-4, relatively.
TABLE_SIZE = 120_001
TINY = 1e-300
QUERY_BLOCK = 32


def bit_difference_probability(s: ArrayLike, dither: bool) -> NDArray[np.float64]:
    """P that one bit differs at s = xi r^2, for the Gaussian kernel exp(-xi r^2).

    With the random threshold, P = (8/pi^2) sum_{m>=1} (1 - K(m r)) / (4 m^2 - 1) (Raginsky and
    Lazebnik 2009); without it, P = (4/pi^2) sum_{k odd} (1 - K(k r)) / k^2. Small s, where the
    series is slow, use the integral over the phase difference delta ~ N(0, 2 s) that it sums:
    P = E (2/pi) |sin(delta/2)|, respectively E |delta| / pi folded at pi.
    """
    s = np.asarray(s, dtype=np.float64)
    small = s < SERIES_FROM
    p = np.empty_like(s)
    p[small] = _by_integral(s[small], dither)
    p[~small] = _by_series(s[~small], dither)
    return p


def _by_series(s: NDArray[np.float64], dither: bool) -> NDArray[np.float64]:
    m = np.arange(1, N_TERMS + 1, dtype=np.float64)
    if not dither:
        m = 2.0 * m - 1.0
    weights = 8.0 / np.pi**2 / (4.0 * m * m - 1.0) if dither else 4.0 / np.pi**2 / (m * m)
    limit = 4.0 / np.pi**2 if dither else 0.5
    return limit - np.exp(-np.multiply.outer(s, m * m)) @ weights


def _by_integral(s: NDArray[np.float64], dither: bool) -> NDArray[np.float64]:
    z = np.linspace(0.0, 9.0, 1801)  # the normal density ends within rounding at 9
    simpson = np.where(np.arange(len(z)) % 2 == 1, 4.0, 2.0) * (z[1] - z[0]) / 3.0
    simpson[[0, -1]] *= 0.5
    weights = simpson * np.sqrt(2.0 / np.pi) * np.exp(-0.5 * z * z)
    delta = np.multiply.outer(np.sqrt(2.0 * s), z)
    if dither:
        return 2.0 / np.pi * (np.abs(np.sin(0.5 * delta)) @ weights)
    folded = np.pi - np.abs(np.pi - np.mod(delta, 2.0 * np.pi))
    return folded @ weights / np.pi


@cache
def _curve(dither: bool) -> CubicSpline:
    """Spline of p in u = log(xi r^2)."""
    u = np.linspace(*LOG_RANGE, 2401)
    return CubicSpline(u, bit_difference_probability(np.exp(u), dither))


@cache
def _tables(dither: bool) -> tuple[NDArray[np.float64], ...]:
    """Values of p, dp/du and d^2p/du^2 on an even, fine grid of u."""
    u = np.linspace(*LOG_RANGE, TABLE_SIZE)
    return tuple(_curve(dither)(u, order) for order in range(3))


def _looked_up(u: NDArray[np.float64], dither: bool) -> list[NDArray[np.float64]]:
    """The tables' entries nearest to u; `take` costs less than an exponential."""
    lower, upper = LOG_RANGE
    index = np.rint((u - lower) * ((TABLE_SIZE - 1) / (upper - lower))).astype(np.intp)
    return [table.take(index) for table in _tables(dither)]


@dataclass(frozen=True)
class Isometry:
    """Minus the mean log(1/V + 1/n_bits) of the distance read off a code, as an `Objective`.

    V is the relative variance of one bit's reading; n_bits = inf makes it the mean of log V.
    """

    dither: bool = True
    n_bits: float = 1024

    def __post_init__(self) -> None:
        if not self.n_bits > 0:
            raise InputError(f"n_bits must be positive (inf is legal), got {self.n_bits}")

    def value(self, xi: NDArray[np.float64], pairs: Pairs) -> float:
        """The objective of the particles `xi` (N,) over the distances of the pairs."""
        total, curve = 0.0, _curve(self.dither)
        for block in pairs.blocks(len(xi)):
            u = _logarithms(xi, block)
            information = _information(curve(u).mean(axis=1), 2.0 * curve(u, 1).mean(axis=1))
            total -= float(np.sum(np.log(information + 1.0 / self.n_bits)))
        return total / len(pairs)

    def gradient(self, xi: NDArray[np.float64], pairs: Pairs) -> NDArray[np.float64]:
        """N d value / d xi_k, averaged over the pairs."""
        total = np.zeros_like(xi)
        for block in pairs.blocks(len(xi)):
            terms, first, second = _looked_up(_logarithms(xi, block), self.dither)
            p, slope = terms.mean(axis=1), 2.0 * first.mean(axis=1)  # slope is r P'
            information = _information(p, slope)
            readable = information / (information + 1.0 / self.n_bits)
            total += (readable * (1.0 / p - 1.0 / (1.0 - p))) @ first
            total -= (readable * 4.0 / np.maximum(slope, TINY)) @ second
        return total / len(pairs) / np.maximum(xi, TINY)


def bit_variance(
    xi: NDArray[np.float64], r: NDArray[np.float64], dither: bool
) -> NDArray[np.float64]:
    """V(r), shape (n,): to first order the relative variance of a distance read off one bit."""
    u, curve = _logarithms(xi, Pairs(r * r, np.zeros_like(r))), _curve(dither)
    return 1.0 / _information(curve(u).mean(axis=1), 2.0 * curve(u, 1).mean(axis=1))


def _information(p: NDArray[np.float64], slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """1/V of one bit on log r: r P' squared over P (1 - P), never quite 0."""
    return np.maximum(slope, TINY) ** 2 / (p * (1.0 - p)) + TINY


def _logarithms(xi: NDArray[np.float64], pairs: Pairs) -> NDArray[np.float64]:
    """The u = log(xi r^2) within LOG_RANGE, shape (n_pairs, N)."""
    with np.errstate(divide="ignore"):
        u = np.add.outer(np.log(pairs.squared_distances), np.log(xi))
    return np.clip(u, *LOG_RANGE, out=u)


class NeighbourPairs:
    """Draws the distances from random points to their neighbours, of log-uniform rank.

    Ranks run from k to `span` times k among all `points` (n, d); `reference` is the median
    distance to the k-th neighbour. `n_queries` points stand for all, so that the cost is
    n_queries n d.
    """

    def __init__(
        self,
        points: NDArray[np.floating],
        k: int,
        rng: np.random.Generator,
        n_queries: int = 256,
        span: float = 10.0,
    ) -> None:
        n = len(points)
        if not 1 <= k < n:
            raise InputError(f"n_neighbours must lie between 1 and n - 1 = {n - 1}, got {k}")
        queries = rng.choice(n, size=min(n_queries, n), replace=False)
        reach = min(n - 1, max(k, round(span * k)))
        self.squared = _nearest_squared(points, queries, reach)  # (queries, reach), ascending
        self.k = k
        self.reference = float(np.median(np.sqrt(self.squared[:, k - 1])))
        if not self.reference > 0:
            raise InputError(
                f"at least half of the points have {k} exact duplicates: remove duplicates, or "
                "ask for more neighbours"
            )
        self.floor = (1e-3 * self.reference) ** 2  # exact duplicates have no distance to estimate

    def draw(self, n: int, rng: np.random.Generator) -> Pairs:
        """`n` distances; agreements play no part and are 0."""
        n_queries, reach = self.squared.shape
        rows = rng.integers(n_queries, size=n)
        logarithms = rng.uniform(np.log(self.k), np.log(reach + 1), n)
        ranks = np.clip(np.exp(logarithms).astype(int), self.k, reach)
        squared = np.maximum(self.squared[rows, ranks - 1], self.floor)
        return Pairs(squared, np.zeros(n))


def _nearest_squared(
    points: NDArray[np.floating], queries: NDArray[np.int64], reach: int
) -> NDArray[np.float64]:
    """Squared distances from each query to its `reach` nearest other points, ascending."""
    x = np.asarray(points, dtype=np.float64)
    rows = []
    for block in np.array_split(queries, -(-len(queries) // QUERY_BLOCK)):
        squared = squared_distances(x[block], x)
        squared[np.arange(len(block)), block] = np.inf
        rows.append(np.sort(np.partition(squared, reach - 1, axis=1)[:, :reach], axis=1))
    return np.concatenate(rows)
