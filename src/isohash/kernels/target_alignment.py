"""Kernel-target alignment: how well a radial kernel agrees with labels, and how to improve it.

For labelled points the kernel should be large on pairs of equal label (y y' = +1) and small on the
others (y y' = -1). With scaling gamma the squared risk of one pair at distance r is

    E_gamma = (1 / (2 gamma)) (gamma y y' - K(r))^2,    K(r) = (1/N) sum_k exp(-xi_k r^2)

(Badiei Khuzani et al., arXiv 1909.11820, eq. 11). Without its constant gamma/2 it reads

    -y y' K + K^2 / (2 gamma),

which is legal at gamma = infinity, where minimising it is maximising the alignment E[y y' K].

The alignment is linear in the measure of the particles, so by itself it is best at one single
bandwidth; the square (gamma < infinity), noise or a Wasserstein ball are what keep a mixture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from isohash.distances import paired_squared
from isohash.errors import InputError

# Pairs times particles that are held at once: 2 MiB of doubles stay in the second-level cache.
BLOCK_ELEMENTS = 1 << 18


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of points as the objectives see them; both arrays have shape (n_pairs,).

    `agreements` is y y': +1 for equal labels, -1 for different ones, 0 where labels play no part.
    """

    squared_distances: NDArray[np.float64]
    agreements: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.squared_distances)

    def blocks(self, n_particles: int) -> Iterator[Pairs]:
        """The same pairs in pieces small enough for an array of pairs times particles."""
        size = max(1, BLOCK_ELEMENTS // n_particles)
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield Pairs(self.squared_distances[rows], self.agreements[rows])


class Objective(Protocol):
    """What the particles descend: a mean over pairs that depends on their empirical measure."""

    def value(self, xi: NDArray[np.float64], pairs: Pairs) -> float:
        """The objective of particles `xi` (N,), to be minimised."""

    def gradient(self, xi: NDArray[np.float64], pairs: Pairs) -> NDArray[np.float64]:
        """N d value / d xi_k, shape (N,): the mean-field scaling, of the same size for every N."""


@dataclass(frozen=True)
class Alignment:
    """The squared risk E_gamma less its constant gamma/2, as an `Objective`."""

    gamma: float = math.inf

    def __post_init__(self) -> None:
        if not self.gamma > 0:
            raise InputError(f"gamma must be positive (inf is legal), got {self.gamma}")

    def value(self, xi: NDArray[np.float64], pairs: Pairs) -> float:
        """Mean of -y y' K + K^2 / (2 gamma) over the pairs."""
        total = 0.0
        for block in pairs.blocks(len(xi)):
            k = np.exp(-np.multiply.outer(block.squared_distances, xi)).mean(axis=1)
            total += float(np.sum(k * k / (2.0 * self.gamma) - block.agreements * k))
        return total / len(pairs)

    def gradient(self, xi: NDArray[np.float64], pairs: Pairs) -> NDArray[np.float64]:
        """Mean over pairs of (y y' - K / gamma) r^2 exp(-xi_k r^2)."""
        total = np.zeros_like(xi)
        for block in pairs.blocks(len(xi)):
            terms = np.exp(-np.multiply.outer(block.squared_distances, xi))  # (pairs, N)
            residual = block.agreements - terms.mean(axis=1) / self.gamma
            total += (residual * block.squared_distances) @ terms
        return total / len(pairs)


class LabelledPairs:
    """Draws balanced pairs of distinct rows of `points` (n, d) with `labels` (n,).

    Half of the pairs have equal labels, and every class counts alike: one cluster against the
    rest has few positives, and plain random pairs would then have a mean y y' > 0, which rewards
    a constant kernel (xi = 0) whatever the structure of the data.
    """

    def __init__(self, points: NDArray[np.floating], labels: NDArray[np.int64]) -> None:
        classes, counts = np.unique(labels, return_counts=True)
        if len(classes) < 2:
            raise InputError("all labels are equal: alignment needs at least 2 classes")
        if counts.max() < 2:
            raise InputError("every class has one point only: alignment needs pairs of equal label")
        self.points = points
        self._order = np.argsort(labels, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._counts = counts

    def indices(
        self, n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Rows i, rows j != i and agreements y y' of `n` balanced pairs."""
        same = rng.random(n) < 0.5
        n_classes = len(self._counts)
        with_partner = np.flatnonzero(self._counts >= 2)
        first = np.where(same, rng.choice(with_partner, n), rng.integers(n_classes, size=n))
        other = (first + 1 + rng.integers(n_classes - 1, size=n)) % n_classes
        second = np.where(same, first, other)
        place = rng.integers(self._counts[first])
        shift = 1 + rng.integers(np.maximum(self._counts[first] - 1, 1))
        elsewhere = rng.integers(self._counts[second])
        partner = np.where(same, (place + shift) % self._counts[first], elsewhere)
        i = self._order[self._starts[first] + place]
        j = self._order[self._starts[second] + partner]
        return i, j, np.where(same, 1.0, -1.0)

    def draw(self, n: int, rng: np.random.Generator) -> Pairs:
        """`n` balanced pairs."""
        i, j, agreements = self.indices(n, rng)
        return Pairs(paired_squared(self.points[i], self.points[j]), agreements)
