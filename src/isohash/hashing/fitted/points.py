"""Codes that stand for points: what the hashes fitted to data have in common.

x is projected on some orthonormal axes and replaced by one of the hash's points there. The
coordinates of all points are integers in one common unit, so that the squared difference of two
symbols, summed over positions, is the squared distance of two points in units^2: `squared_lee` on
a circle too large to wrap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.alphabets import Alphabets
from isohash.distances import distance_matrix
from isohash.hashing.projection import Block, Projection, as_rows
from isohash.hashing.saving import Kept
from isohash.records import Codes

BYTE = 255  # symbols up to here fit a byte, which an index searches fastest


class PointHash(Kept):
    """Interface of a fitted quantiser; codes of the same hash, and only those, can be compared.

    `axes` (d, p) orthonormal columns, `center` (d,) subtracted from every row, `alphabets` the
    points' coordinates as integers in `unit`s of distance.
    """

    axes: NDArray[np.float32]
    center: NDArray[np.float32]
    alphabets: Alphabets
    unit: float
    metadata: Mapping[str, Any]

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that the hash takes."""
        return int(self.axes.shape[0])

    @property
    def length(self) -> int:
        """Symbols of one code."""
        return int(self.axes.shape[1])

    @cached_property
    def q(self) -> int:
        """Size of a circle on which no two symbols are nearer the other way round.

        At least that of bytes, so that the kinds of codes are few.
        """
        return 2 * max(BYTE, int(self.alphabets.values.max())) + 1

    @cached_property
    def coordinates(self) -> Projection:
        """The projection on the axes."""
        return Projection(self.axes, np.zeros(self.length, np.float32), self.center, slack=0.0)

    @property
    def projection(self) -> Projection:
        """The affine part, whose values decide which point is nearest."""
        raise NotImplementedError

    @property
    def origin(self) -> NDArray[np.float64]:
        """Where symbol 0 lies on each axis, (p,)."""
        raise NotImplementedError

    def indices(self, block: Block) -> NDArray[np.uint16]:
        """What is stored of each position (or group) of the rows of a block."""
        raise NotImplementedError

    def encode(self, X: ArrayLike) -> Codes:
        """Codes of the rows of X (n, d): the same bits on every machine and in every batch."""
        parts = [self.alphabets.pack(self.indices(b)) for b in self._blocks(X)]
        empty = self.alphabets.pack(np.empty((0, len(self.alphabets.widths)), np.uint16))
        return self.codes(np.concatenate([empty, *parts]))

    def _blocks(self, X: ArrayLike) -> Iterator[Block]:
        """Rows to be quantised together."""
        return self.projection.blocks(X)

    def codes(self, packed: NDArray[np.uint8]) -> Codes:
        """Stored bytes of this hash as codes again."""
        return self._as_codes(packed, self.alphabets)

    def reconstruct(self, codes: Codes) -> NDArray[np.float64]:
        """The point in the axes' space that each code stands for, (n, p), up to a shift."""
        return np.asarray(codes.symbols() * self.unit, dtype=np.float64)

    def project(self, X: ArrayLike) -> NDArray[np.float64]:
        """Rows of X (n, d) in the space of the reconstructions, (n, p), not quantised."""
        x = (as_rows(X, self.dim) - self.center).astype(np.float64) @ self.axes.astype(np.float64)
        return np.asarray(x - self.origin, dtype=np.float64)

    def asymmetric(self, X: ArrayLike, codes: Codes) -> NDArray[np.float64]:
        """Euclidean distances (n, m) of real-valued queries X (n, d) to stored codes (m).

        Only the stored side is quantised, so the ranking is sharper than between codes. The part
        of x outside the axes is the same for every code and is left out.
        """
        x, y = self.project(X), self.reconstruct(codes)
        return distance_matrix(x, y)

    def encode_queries(self, X: ArrayLike) -> Codes:
        """Queries (n, d) as codes of whole units, for `FlatIndex.of(codes).search(queries, k)`.

        Where stored codes have an axis' few levels, a query has every symbol up to the largest of
        any axis, so integer distances are the asymmetric ones but for the rounding to units.
        What lies outside the symbols is clipped. The same bits on every machine, in every batch.
        """
        top = int(self.alphabets.values.max())
        widths = np.full(self.length, top.bit_length(), np.uint8)
        values = np.minimum(np.arange(1 << top.bit_length()), top).astype(np.uint16)
        alphabets = Alphabets(widths, np.tile(values, self.length))
        parts = [alphabets.pack(self._units(b)) for b in self.coordinates.blocks(X)]
        empty = alphabets.pack(np.empty((0, self.length), np.uint16))
        packed = np.concatenate([empty, *parts])
        return self._as_codes(packed, alphabets)

    def _as_codes(self, packed: NDArray[np.uint8], alphabets: Alphabets) -> Codes:
        return Codes(packed, self.length, self.q, "squared_lee", alphabets, self.digest)

    def _units(self, block: Block) -> NDArray[np.uint16]:
        u, bounds = block.u.astype(np.float64), block.bounds[:, None].astype(np.float64)
        every = np.arange(self.length)
        units = self._in_units(u - bounds, every)
        rows, columns = np.nonzero(~(units == self._in_units(u + bounds, every)))
        for part, exact, error in block.exact(rows, columns):
            row, column = rows[part], columns[part]
            units[row, column] = self._in_units(exact - error, column)
            doubtful = ~(units[row, column] == self._in_units(exact + error, column))
            for i, j in zip(row[doubtful], column[doubtful], strict=True):
                units[i, j] = self._in_units(np.array(block.fsum(int(i), int(j))), j)
        return units.astype(np.uint16)

    def _in_units(self, u: NDArray[np.float64], columns: Any) -> NDArray[np.float64]:
        """The nearest of all symbols; each step is one IEEE rounding, so the whole is monotone."""
        top = float(self.alphabets.values.max())
        return np.asarray(np.clip(np.rint((u - self.origin[columns]) / self.unit), 0.0, top))
