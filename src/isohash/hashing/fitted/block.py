"""Codes fitted to the data, a few axes at a time: each block of axes has points of its own.

Where a code has few bits for each axis, a vector quantiser wastes fewer of them than one level
per axis does (Jegou et al. 2011, product quantisation; Ge et al. 2013 for the rotation). What is
stored of a block is which of its points is nearest; points.py says what the symbols mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isohash.hashing.fitted.points import PointHash
from isohash.hashing.projection import Block, Projection
from isohash.hashing.saving import pack
from isohash.records import Alphabets


@dataclass(frozen=True, eq=False)
class BlockHash(PointHash):
    """A vector quantiser of each block of axes.

    `weights` (d, m) and `offsets` (m,) score all m points of all blocks, block after block: the
    nearest point c of a block is the one of the largest <x, c> - |c|^2/2. `shift` (p,) is where
    symbol 0 lies on each axis.
    """

    family: ClassVar[str] = "block"

    axes: NDArray[np.float32]
    center: NDArray[np.float32]
    weights: NDArray[np.float32]
    offsets: NDArray[np.float32]
    shift: NDArray[np.float32]
    alphabets: Alphabets
    unit: float
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def projection(self) -> Projection:
        """The score of every point."""
        return Projection(self.weights, self.offsets, self.center, slack=0.0)

    @cached_property
    def origin(self) -> NDArray[np.float64]:
        """Where symbol 0 lies on each axis, (p,)."""
        return self.shift.astype(np.float64)

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum(np.left_shift(1, self.alphabets.widths.astype(np.int64)))

    def indices(self, block: Block) -> NDArray[np.uint16]:
        """Which point of each block of axes is nearest; the first of equally near ones."""
        indices = np.empty((len(block.u), len(self._ends)), dtype=np.uint16)
        slack = 2.0 * block.bounds[:, None]  # either of two scores may be off by its bound
        start = 0
        for g, end in enumerate(self._ends.tolist()):
            scores = block.u[:, start:end]
            with np.errstate(over="ignore", invalid="ignore"):
                best = scores.max(axis=1, keepdims=True)
                near = ~(scores < best - slack)  # true also where a score is not finite
            indices[:, g] = near.argmax(axis=1)
            for row in np.flatnonzero(near.sum(axis=1) > 1).tolist():
                indices[row, g] = (
                    self._nearest(block, row, start + np.flatnonzero(near[row])) - start
                )
            start = end
        return indices

    @staticmethod
    def _nearest(block: Block, row: int, columns: NDArray[np.intp]) -> int:
        """The column of the largest score, to full accuracy where float64 leaves it open."""
        rows = np.full(len(columns), row)
        for _, u, bounds in block.exact(rows, columns):
            open_ = np.flatnonzero(~(u < u.max() - 2.0 * bounds))
            if len(open_) == 1:
                return int(columns[open_[0]])
            exact = [block.fsum(row, int(columns[i])) for i in open_]
            return int(columns[open_[int(np.argmax(exact))]])
        raise AssertionError("a block has at least one point")

    def to_bytes(self) -> bytes:
        """The whole hash, without pickle; `load_hash` reads it."""
        tensors: dict[str, NDArray[Any]] = {
            "axes": self.axes,
            "center": self.center,
            "weights": self.weights,
            "offsets": self.offsets,
            "shift": self.shift,
            **self.alphabets.arrays(),
        }
        return pack(self.family, tensors, {"unit": self.unit, "metadata": dict(self.metadata)})

    @classmethod
    def from_parts(
        cls, tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any]
    ) -> BlockHash:
        """Rebuild what `to_bytes` wrote."""
        return cls(
            tensors["axes"],
            tensors["center"],
            tensors["weights"],
            tensors["offsets"],
            tensors["shift"],
            Alphabets.of(tensors),
            float(header["unit"]),
            header["metadata"],
        )
