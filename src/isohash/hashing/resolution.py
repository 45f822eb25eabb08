"""How finely a drawn hash resolves distances: the law of its code distance, and its inverse.

Per symbol the code distance has a mean and a variance in closed form. From these follow intervals
for the true distance, the distance from which on a code is blind, and how many bits a wanted
error takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.alphabets import bits_per_symbol
from isohash.errors import InputError
from isohash.hashing.closed_forms import (
    RANDOM_THRESHOLD_LIMIT,
    SIGN_COSINE_LIMIT,
    dithered_table_mean,
    lee_table,
    random_threshold_mean,
    sign_cosine_mean,
)
from isohash.hashing.cosine import CosineHash
from isohash.hashing.lee import LeeHash

GRID = 4001  # distances at which the closed form is tabulated for inversion
REACH = 12.0  # in the widest kernel's deviations (or whole circles): saturated to rounding


@dataclass(frozen=True, eq=False)
class Response:
    """The law of one symbol's distance as a function of r: `mean_at`, `variance_at`.

    A code has `n` symbols, each at most `largest` apart; `limit` is the mean at infinity and
    [nearest, farthest] the distances within which the mean moves at all.
    """

    n: int
    largest: float
    limit: float
    nearest: float
    farthest: float
    mean_at: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    variance_at: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    binomial: bool

    @cached_property
    def _table(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        r = np.concatenate([[0.0], np.geomspace(self.nearest, self.farthest, GRID)])
        return r, np.maximum.accumulate(self.mean_at(r))

    def invert(self, mean: ArrayLike) -> NDArray[np.float64]:
        """The distance at which one symbol is `mean` apart on average; the farthest beyond it."""
        r, means = self._table
        return np.interp(np.asarray(mean, dtype=np.float64), means, r)

    def interval(
        self, code: NDArray[np.float64], confidence: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Bounds of the distance for code distances (m,), infinite where r may be anything."""
        low, high = (self._binomial if self.binomial else self._central)(code, confidence)
        upper = np.where(high >= self.limit, np.inf, self.invert(high))
        return self.invert(low), upper

    def _binomial(
        self, code: NDArray[np.float64], confidence: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Clopper and Pearson's interval of the probability of a differing bit."""
        from scipy.special import betaincinv  # not needed to answer queries

        tail = (1.0 - confidence) / 2.0
        low = betaincinv(np.maximum(code, 0.5), self.n - code + 1.0, tail)
        high = betaincinv(code + 1.0, np.maximum(self.n - code, 0.5), 1.0 - tail)
        return np.where(code > 0, low, 0.0), np.where(code < self.n, high, 1.0)

    def _central(
        self, code: NDArray[np.float64], confidence: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means whose z-score is within the normal quantile, each with its own variance."""
        from scipy.special import ndtri  # not needed to answer queries

        z = float(ndtri(0.5 + confidence / 2.0))
        r, means = self._table
        error = z * np.sqrt(np.maximum(self.variance_at(r), 0.0) / self.n)
        share = code / self.n
        low = np.interp(share, np.maximum.accumulate(means + error), means)
        high = np.interp(share, np.maximum.accumulate(means - error), means)
        last = float((means - error).max())
        return low, np.where(share >= last, self.limit, high)


def response(hash_: CosineHash | LeeHash) -> Response:
    """The law of one symbol of a drawn hash."""
    if isinstance(hash_, CosineHash):
        return _cosine_response(hash_)
    return _lee_response(hash_)


def _cosine_response(hash_: CosineHash) -> Response:
    particles = hash_.kernel.particles
    positive = particles[particles > 0]
    if not len(positive):
        raise InputError("all particles of the kernel are 0: every code is the same")
    constant = 1.0 - len(positive) / len(particles)
    limit = RANDOM_THRESHOLD_LIMIT if hash_.dither else SIGN_COSINE_LIMIT
    return Response(
        n=hash_.n_bits,
        largest=1.0,
        limit=(1.0 - constant) * limit * (1.0 - 1e-9),
        nearest=1e-5 / math.sqrt(2.0 * positive.max()),
        farthest=REACH / math.sqrt(2.0 * positive.min()),
        mean_at=hash_.disagreement,
        variance_at=lambda r: hash_.disagreement(r) * (1.0 - hash_.disagreement(r)),
        binomial=True,
    )


def _lee_response(hash_: LeeHash) -> Response:
    table = lee_table(hash_.q, squared=hash_.metric == "squared_lee")

    def mean(r: NDArray[np.float64]) -> NDArray[np.float64]:
        return dithered_table_mean(hash_.deviation(r), table)

    def variance(r: NDArray[np.float64]) -> NDArray[np.float64]:
        return dithered_table_mean(hash_.deviation(r), table * table) - mean(r) ** 2

    farthest = REACH * hash_.q / hash_.scale
    if hash_.features is not None:
        farthest = REACH / math.sqrt(hash_.features.kernel.particles.min() or 1e-12)
    return Response(
        n=hash_.n_symbols,
        largest=float(table.max()),
        limit=float(mean(np.array(farthest))) * (1.0 - 1e-9),
        nearest=1e-6 * farthest,
        farthest=farthest,
        mean_at=mean,
        variance_at=variance,
        binomial=False,
    )


@dataclass(frozen=True)
class BitsPlan:
    """What a wanted accuracy takes: so many symbols of `q`, at the bandwidth that suits best.

    `gamma` is the Gaussian kernel's for bits (`dither` as in KernelHasher), `scale` the
    quantiser's for q-ary symbols; the other is None.
    """

    n_symbols: int
    q: int
    stored_bits: int
    gamma: float | None
    scale: float | None
    dither: bool | None
    error: float


def bits_planner(error: float, at_distance: float, q: int = 2, dither: bool = True) -> BitsPlan:
    """The least code whose distances have a relative standard `error` at `at_distance`.

    q = 2 plans a cosine hash with (`dither`) or without random thresholds, larger q a q-ary hash
    of linear projections. One symbol has relative variance 1/S at its best bandwidth, n of them
    1/(S n).

    Example:
        >>> import isohash
        >>> plan = isohash.bits_planner(error=0.05, at_distance=2.0)
        >>> plan.stored_bits, round(plan.error, 3)
        (1832, 0.05)
    """
    if not 0 < error < 1 or not at_distance > 0:
        raise InputError(
            f"error must lie in (0, 1) and at_distance be positive, got {error}, {at_distance}"
        )
    if q < 2:
        raise InputError(f"q must be at least 2 symbols, got {q}")
    best, efficiency = _most_efficient(q, dither)
    n = math.ceil(1.0 / (efficiency * error**2))
    return BitsPlan(
        n,
        q,
        -(-n * bits_per_symbol(q) // 8) * 8,
        best**2 / (2.0 * at_distance**2) if q == 2 else None,
        best / at_distance if q > 2 else None,
        dither if q == 2 else None,
        1.0 / math.sqrt(efficiency * n),
    )


def _most_efficient(q: int, dither: bool) -> tuple[float, float]:
    """Deviation with the most information on ln r per symbol, and that information."""
    u = np.geomspace(0.05, max(4.0, 0.6 * q), 1500)
    if q == 2:
        mean = random_threshold_mean(u) if dither else sign_cosine_mean(u)
        square = mean
    else:
        table = lee_table(q)
        mean, square = dithered_table_mean(u, table), dithered_table_mean(u, table * table)
    information = np.gradient(mean, np.log(u)) ** 2 / (square - mean * mean)
    best = int(np.argmax(information))
    return float(u[best]), float(information[best])
