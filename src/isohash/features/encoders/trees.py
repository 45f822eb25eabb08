"""Boosted regression trees as plain arrays: the same bits of every prediction on every machine.

A library grows the trees (`fit_trees`); they are kept and evaluated without it. Features become
bins by comparison with the thresholds that the trees use; leaves are whole multiples of `QUANTUM`,
so the order in which they are summed changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash import native
from isohash.errors import InputError

QUANTUM = 2.0**-20
MISSING = 255  # the bin of NaN
ROWS = 1 << 16  # that are binned at a time: the bins of all take as much as their features
MOST_CUTS = 254  # thresholds of one feature: bins 0 to 254

Field = NDArray[np.float32]


@dataclass(frozen=True)
class BoostingSettings:
    """How trees are grown: by squared error, leaf by leaf, on binned features."""

    n_trees: int = 250
    leaves: int = 63
    learning_rate: float = 0.12
    least_samples: int = 60  # in a leaf
    ridge: float = 1.0
    bins: int = 64
    seed: int = 0


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """A sum of trees over features (n, f).

    Feature j is compared with `thresholds[offsets[j] : offsets[j + 1]]`, rising: its bin is how
    many of them lie below it. Node i of a tree (its nodes begin at `starts[tree]`) sends a row to
    the node `left[i]`, or to the one behind it if the bin of `feature[i]` exceeds `cut[i]`; a leaf
    has left[i] = i and adds `values[i]` quanta. NaN counts as larger than all numbers where
    feature[i] < f, and as smaller where it is f + j for feature j.
    """

    thresholds: NDArray[np.float64]
    offsets: NDArray[np.int64]
    starts: NDArray[np.int64]
    feature: NDArray[np.uint8]
    cut: NDArray[np.uint8]
    left: NDArray[np.uint16]
    values: NDArray[np.int32]
    base: int

    def __post_init__(self) -> None:
        ends = np.abs(self.values.astype(np.int64))
        largest = np.maximum.reduceat(ends, self.starts[:-1]).sum() if len(ends) else 0
        if largest + abs(self.base) >= 2**31:
            raise InputError("the leaves of these trees add up to too large a number")

    @property
    def n_features(self) -> int:
        """Features of a row."""
        return len(self.offsets) - 1

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The trees as named arrays, to be saved."""
        names = ("thresholds", "offsets", "starts", "feature", "cut", "left", "values")
        return {
            **{f"trees.{name}": getattr(self, name) for name in names},
            "trees.base": np.array([self.base], np.int64),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> BoostedTrees:
        """What `arrays` named."""
        own = {name[6:]: array for name, array in arrays.items() if name.startswith("trees.")}
        base = int(own.pop("base")[0])
        return cls(**own, base=base)

    def predict(self, values: NDArray[np.floating]) -> Field:
        """The sums (n,) of rows of features (n, f), NaN where a feature is missing."""
        found = np.empty(len(values), np.float32)
        for first in range(0, len(values), ROWS):
            rows = slice(first, first + ROWS)
            found[rows] = self.sums(self.binned(values[rows]))
        return found

    def binned(self, values: NDArray[np.floating]) -> NDArray[np.uint8]:
        """The bins (n, 2 f) of rows of features: `MISSING` for NaN, and again 0 for NaN."""
        n = self.n_features
        if native.available():
            bins = native.bins(values.astype(np.float32), self.thresholds, self.offsets, 2 * n)
        else:
            bins = np.empty((len(values), 2 * n), np.uint8)
            for j in range(n):
                own = self.thresholds[self.offsets[j] : self.offsets[j + 1]]
                found = np.searchsorted(own, values[:, j], side="left")
                bins[:, j] = np.where(np.isnan(values[:, j]), MISSING, found)
        bins[:, n:] = bins[:, :n] + np.uint8(1)  # a byte's 255 becomes 0
        return bins

    def sums(self, bins: NDArray[np.uint8]) -> Field:
        """The sums (n,) of rows that `binned` made."""
        if native.available():
            nodes = (self.feature, self.cut, self.left, self.values)
            total = native.sum_trees(self.starts, nodes, self.base, bins)
        else:
            total = self._reference(bins)
        return total.astype(np.float32) * np.float32(QUANTUM)

    def _reference(self, bins: NDArray[np.uint8]) -> NDArray[np.int32]:
        """The obvious way: every tree's nodes share the rows out among their children."""
        total = np.full(len(bins), self.base, np.int32)
        columns = np.ascontiguousarray(bins.T)
        for first, end in zip(self.starts[:-1], self.starts[1:], strict=True):
            waiting = [(0, np.arange(len(bins)))]
            while waiting:
                at, rows = waiting.pop()
                node, left = first + at, int(self.left[first + at])
                if left == at:
                    total[rows] += self.values[node]
                    continue
                right = columns[self.feature[node]][rows] > self.cut[node]
                waiting += [(left, rows[~right]), (left + 1, rows[right])]
            assert first < end
        return total
