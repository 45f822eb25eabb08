"""Codes fitted to the data: principal axes, each with as many symbols as its spread deserves.

x is projected on some principal axes of the data, rotated among axes of equal fineness, and each
coordinate is quantised by thresholds of its own. points.py says what the symbols mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isohash import native
from isohash.alphabets import Alphabets
from isohash.hashing.fitted.points import PointHash
from isohash.hashing.projection import Block, Projection
from isohash.hashing.saving import pack


@dataclass(frozen=True, eq=False)
class AdaptiveHash(PointHash):
    """A quantiser of each axis. `thresholds` ascend between the levels of each, axis after axis."""

    family: ClassVar[str] = "adaptive"

    axes: NDArray[np.float32]
    center: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    alphabets: Alphabets
    unit: float
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def projection(self) -> Projection:
        """The coordinates on the axes."""
        return self.coordinates

    def indices(self, block: Block) -> NDArray[np.uint16]:
        """Between which thresholds each coordinate lies, (n, p)."""
        indices, (rows, columns) = self._quantised(block)
        if len(rows):
            indices[rows, columns] = self._settle(block, rows, columns)
        return indices

    def _quantised(self, block: Block) -> tuple[NDArray[np.uint16], native.Doubtful]:
        """The indices by float32 coordinates, and the rows and columns too close to call."""
        if native.available():
            return native.quantise(
                block.products,
                block.projection.offsets,
                self.alphabets.widths,
                self.thresholds,
                block.bounds,
            )
        indices = np.empty(block.u.shape, dtype=np.uint16)
        bounds, near = block.bounds, np.zeros(block.u.shape, dtype=bool)
        for j, thresholds in enumerate(self._of_axis):
            u = block.u[:, j]
            indices[:, j] = np.searchsorted(thresholds, u, side="right")
            high = np.searchsorted(thresholds, u + bounds, side="right")
            near[:, j] = high != np.searchsorted(thresholds, u - bounds, side="left")
            near[:, j] |= ~np.isfinite(u)
        rows, columns = np.nonzero(near)
        return indices, (rows, columns)

    @cached_property
    def _of_axis(self) -> list[NDArray[np.float32]]:
        counts = (1 << self.alphabets.widths.astype(np.int64)) - 1
        return np.split(self.thresholds, np.cumsum(counts)[:-1])

    def _settle(
        self, block: Block, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> NDArray[np.uint16]:
        """The indices of the pairs (rows, columns), from u to full accuracy."""
        indices = np.empty(len(rows), dtype=np.uint16)
        for part, u, bounds in block.exact(rows, columns):
            for i, (row, column) in enumerate(zip(rows[part], columns[part], strict=True)):
                thresholds = self._of_axis[column]
                index = np.searchsorted(thresholds, u[i] + bounds[i], side="right")
                if index != np.searchsorted(thresholds, u[i] - bounds[i], side="left"):
                    exact = block.fsum(int(row), int(column))
                    index = np.searchsorted(thresholds, exact, side="right")
                indices[part.start + i] = index
        return indices

    @cached_property
    def origin(self) -> NDArray[np.float64]:
        """Where symbol 0 lies on each axis: thresholds are midway between neighbouring levels."""
        values, starts = self.alphabets.values.astype(np.float64), self.alphabets.starts
        middle = self.unit * (values[starts] + values[starts + 1]) / 2.0
        return np.array([t[0] for t in self._of_axis]) - middle

    def to_bytes(self) -> bytes:
        """The whole hash, without pickle; `load_hash` reads it."""
        tensors: dict[str, NDArray[Any]] = {
            "axes": self.axes,
            "center": self.center,
            "thresholds": self.thresholds,
            "widths": self.alphabets.widths,
            "values": self.alphabets.values,
        }
        return pack(self.family, tensors, {"unit": self.unit, "metadata": dict(self.metadata)})

    @classmethod
    def from_parts(
        cls, tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any]
    ) -> AdaptiveHash:
        """Rebuild what `to_bytes` wrote."""
        return cls(
            tensors["axes"],
            tensors["center"],
            tensors["thresholds"],
            Alphabets(tensors["widths"], tensors["values"]),
            float(header["unit"]),
            header["metadata"],
        )
