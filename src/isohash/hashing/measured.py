"""Intervals measured on pairs: what the true distances of pairs of nearly one code distance were.

Half of the pairs are those that an answer shows, rows with their nearest by code; for these are
chosen because their codes are near, and err otherwise than random pairs at the same code distance
do. The other half are random pairs, which reach farther. The intervals of the near half are then
widened until they hold on rows that they were not measured on, at every rank (split conformal
prediction, after Romano, Patterson and Candes 2019), and on all rows as they are told in the end:
where true distances are few (rows of counts), what windows of half of the rows tell is no guide to
the windows of all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isohash.hashing.pairs import Neighbours

Column = NDArray[np.float64]

WINDOW = 400  # pairs from which quantiles are taken, at least
WINDOW_SHARE = 0.02  # of all pairs
BESIDE = 2  # windows on either side that tell how curves go on in one
MASS = 40  # pairs at one code distance that make a window
OF_EACH = 8  # pairs of a row and one of its neighbours
RANKS = (1, 10, 50)  # the intervals hold among so many results
NEAR_SHARE = 0.9  # of the neighbours shown: up to their code distance all widening is needed
GRID = 257  # rows of the table that follow the law between windows


@dataclass(frozen=True, eq=False)
class Curves:
    """Ascending code distances `x`, and at each the median and the ends of the interval."""

    x: Column
    middle: Column
    low: Column
    high: Column

    def read(self, x: Column) -> tuple[Column, Column, Column]:
        """Median, low and high at code distances of any shape."""
        middle, low, high = (np.interp(x, self.x, c) for c in (self.middle, self.low, self.high))
        return middle, low, high

    def errors(self, x: Column, true: Column, least: float) -> Column:
        """How far off the median the true distances lie, in arms of the interval."""
        middle, low, high = self.read(x)
        above = (true - middle) / np.maximum(high - middle, least)
        below = (middle - true) / np.maximum(middle - low, least)
        return np.asarray(np.maximum(above, below))

    def widened(self, factor: Column, least: float) -> Curves:
        """Both arms of the intervals, at least so long, times a factor (of each row of x)."""
        low = self.middle - factor * np.maximum(self.middle - self.low, least)
        high = self.middle + factor * np.maximum(self.high - self.middle, least)
        low, high = (np.maximum.accumulate(np.maximum(end, 0.0)) for end in (low, high))
        return replace(self, low=np.minimum(low, self.middle), high=high)


@dataclass(frozen=True, eq=False)
class Measuring:
    """How intervals are measured.

    `law` gives the distance that a code distance would mean by itself, `least` is the shortest arm
    of an interval (a code cannot tell what lies within its own unit) and `tail` the share of true
    distances beyond either end. From the code distance `beyond` on the code tells nothing.
    """

    law: Callable[[Column], Column]
    least: float
    tail: float
    beyond: float = math.inf

    def curves(self, near: Neighbours, far: tuple[Column, Column], rng: Rng) -> Curves:
        """The intervals of neighbours and of random pairs (code distance, true distance)."""
        order, errors = rng.permutation(len(near.code)), []
        for used, left in ((order[::2], order[1::2]), (order[1::2], order[::2])):
            found = self._of_pairs(near.of(used), far, rng)
            errors.append(self._missed(found, near.of(left)))
        found = self._of_pairs(near, far, rng)
        own = self._missed(found, near)
        factor = max(1.0, self._needed(np.concatenate(errors)), self._needed(own))
        ends = np.quantile(np.minimum(near.code, found.x[-1]), (NEAR_SHARE, 1.0))
        needed = 1.0 + (factor - 1.0) * np.interp(found.x, ends, (1.0, 0.0))
        return found.widened(needed, self.least)

    def _missed(self, found: Curves, near: Neighbours) -> Column:
        """How far off neighbours are, in arms of the interval; 0 where the code tells nothing."""
        missed = found.errors(near.code, near.true, self.least)
        return np.where(near.code < self.beyond, missed, 0.0)

    def _needed(self, errors: Column) -> float:
        """The factor with which enough of the intervals hold, among the first of every number."""
        return max(float(np.quantile(errors[:, :n], 1.0 - 2.0 * self.tail)) for n in RANKS)

    def _of_pairs(self, near: Neighbours, far: tuple[Column, Column], rng: Rng) -> Curves:
        n, k = near.code.shape
        rank = np.exp(rng.random((n, OF_EACH)) * np.log(k + 1)).astype(np.int64) - 1
        rank = np.minimum(rank, k - 1)  # log-uniform: the first count as much as the many others
        shown = [np.take_along_axis(one, rank, axis=1).ravel() for one in (near.code, near.true)]
        some = rng.permutation(len(far[0]))[: n * OF_EACH]
        x, true = (np.concatenate([s, f[some]]) for s, f in zip(shown, far, strict=True))
        order = np.argsort(x, kind="stable")
        order = order[: np.searchsorted(x[order], self.beyond)]
        return self._of_windows(x[order], true[order])

    def _of_windows(self, x: Column, true: Column) -> Curves:
        """Quantiles of windows of ascending x; between their centres they follow the law."""
        knots, values = [], []
        edges, alone = _edges(x)
        ends = {0, alone, len(x)}
        off = true - self.law(x)
        for start, end in itertools.pairwise(edges):
            part, beside = x[start:end], off[start:end]
            centre, slope = part.mean(), _slope(x, off, start, end)
            parts = (0.5, self.tail, 1.0 - self.tail)
            found = np.quantile(beside - slope * (part - centre), parts)
            for at, of in ((part[0], start in ends), (centre, True), (part[-1], end in ends)):
                if of:
                    knots.append(at)
                    values.append(found + slope * (at - centre))
        return self._along(np.array(knots), np.array(values))

    def _along(self, knots: Column, beside: Column) -> Curves:
        new = np.concatenate([[True], np.diff(knots) > 0])
        knots, beside = knots[new], beside[new]
        x = np.unique(np.concatenate([knots, np.linspace(knots[0], knots[-1], GRID)]))
        law = self.law(x)
        told = (law + np.interp(x, knots, column) for column in beside.T)
        middle, low, high = (np.maximum.accumulate(np.maximum(one, 0.0)) for one in told)
        if x[0] == 0:
            return Curves(x, middle, low, high)
        x = np.append(0.0, x)
        zero = min(float(self.law(x[:1])[0]), middle[0])
        return Curves(x, np.append(zero, middle), np.append(0.0, low), np.append(high[0], high))


Rng = np.random.Generator


def _slope(x: Column, off: Column, start: int, end: int) -> float:
    """How what is beside the law grows with x in a window and those beside it.

    In one window alone it would follow the steps of true distances that are few, as of counts.
    """
    if x[end - 1] == x[start]:
        return 0.0
    n = BESIDE * (end - start)
    around = slice(max(0, start - n), end + n)
    return float(np.polyfit(x[around] - x[start], off[around], 1)[0])


def _edges(x: Column) -> tuple[list[int], int]:
    """Ascending from 0 to len(x): windows of equally many pairs.

    Pairs that share the least code distance, such as 0, are a window of their own where they are
    enough, whose end is told: they err otherwise than those that lie next to them.
    """
    same = int(np.searchsorted(x, x[0], side="right"))
    alone = same if MASS <= same < len(x) else 0
    n = len(x) - alone
    n_windows = max(1, n // max(WINDOW, int(WINDOW_SHARE * n)))
    edges = alone + np.linspace(0, n, n_windows + 1).astype(np.int64)
    return ([0] if alone else []) + edges.tolist(), alone
