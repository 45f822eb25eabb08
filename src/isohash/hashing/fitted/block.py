"""Codes fitted to the data, a few axes at a time: each block of axes has points of its own.

Where a code has few bits for each axis, a vector quantiser wastes fewer of them than one level
per axis does (Jegou et al. 2011, product quantisation; Ge et al. 2013 for the rotation). What is
stored of a block is which of its points is nearest; points.py says what the symbols mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash import native
from isohash.alphabets import Alphabets
from isohash.hashing.fitted.points import PointHash
from isohash.hashing.projection import SLACK, UNIT32, UNIT64, Block, Projection
from isohash.hashing.saving import pack

LEAST_WIDTH = 3  # bits: the compiled kernel takes points by eights
UNDERFLOW = 1e-36  # more than products of float32 lose to it
LARGEST = 1e37  # of terms that sum in float32 without overflow


@dataclass(frozen=True, eq=False)
class Group:
    """The `points` (m, span) of one block of axes, with the `offsets` (m,) of their scores.

    `apart` is the largest distance of a column of the hash's weights to what axes and points make
    of it: rounding, as a rule. `largest` bounds the length of a point, and of an offset.
    """

    columns: slice
    axes: slice
    points: NDArray[np.float64]
    offsets: NDArray[np.float64]
    apart: float
    largest: tuple[float, float]
    longest: float  # of the points

    @classmethod
    def of(
        cls,
        columns: slice,
        axes: slice,
        points: NDArray[np.float64],
        weights: NDArray[np.float32],
        offsets: NDArray[np.float32],
        directions: NDArray[np.float64],
    ) -> Group:
        """Measure how far `weights` (d, m) are from `directions` (d, span) times the points."""
        apart = np.linalg.norm(weights - directions @ points.T, axis=0).max()
        reach = float(np.linalg.norm(directions) * np.linalg.norm(points, axis=1).max())
        largest = (reach, float(np.abs(offsets).max()))
        longest = float(np.linalg.norm(points, axis=1).max())
        wide = offsets.astype(np.float64)
        return cls(columns, axes, points, wide, float(apart), largest, longest)

    def error(self, norms: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
        """Bound on how far a score is from its definition, for rows of such lengths (n,).

        |<x, w> - <x A, p>| <= |x| |w - A p|, and sums of d, then span products in float64 are off
        by less than (d + span + 4) v times the product of the lengths, v = 2^-53; twice that
        covers how `apart` itself was rounded.
        """
        reach, offset = self.largest
        rounding = 2.0 * (dim + self.points.shape[1] + 4) * UNIT64 * (norms * reach + offset)
        return np.asarray(SLACK * (norms * self.apart + rounding) + np.finfo(np.float64).tiny)


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

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The points of each block of axes, and how far their scores are from those of weights."""
        spans = self.alphabets.spans
        assert spans is not None
        columns = np.cumsum([0, *spans.tolist()])
        rows = [*zip([0, *self._ends[:-1].tolist()], self._ends.tolist(), strict=True)]
        whole = np.split(self.alphabets.values, self.alphabets.starts[1:])
        found = []
        for (start, end), a, b, flat in zip(rows, columns[:-1], columns[1:], whole, strict=True):
            points = self.origin[a:b] + self.unit * flat.reshape(-1, b - a).astype(np.float64)
            weights, offsets = self.weights[:, start:end], self.offsets[start:end]
            axes = self.axes[:, a:b].astype(np.float64)
            found.append(Group.of(slice(start, end), slice(a, b), points, weights, offsets, axes))
        return tuple(found)

    def _blocks(self, X: ArrayLike) -> Iterator[Block]:
        return self.projection.blocks(X, 2 * self.length + len(self.weights))

    def indices(self, block: Block) -> NDArray[np.uint16]:
        """Which point of each block of axes is nearest; the first of equally near ones.

        Rows are turned to the axes once, and each block's points are scored there: the same scores
        but for a known error, in a small part of the multiplications by all weights. Compiled
        kernels score in float32, and what that leaves open is scored anew.
        """
        turned = block.x.astype(np.float64) @ self.axes.astype(np.float64)
        indices = np.zeros((len(block.x), len(self.groups)), dtype=np.uint16)
        open_ = np.ones(indices.shape, dtype=bool)
        if self._by_eights is not None and native.available():
            with np.errstate(over="ignore"):
                x = turned.astype(np.float32)
            spans, points, offsets = self._by_eights
            indices, leads = native.nearest_points(x, spans, points, offsets)
            open_ = self._near(block, turned, leads)
        for g in np.flatnonzero(open_.any(axis=0)).tolist():
            rows = np.flatnonzero(open_[:, g])
            indices[rows, g] = self._settled(block, turned, rows, self.groups[g])
        return indices

    def _near(
        self, block: Block, turned: NDArray[np.float64], leads: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Where the lead of the best score in float32 does not tell which is the best.

        Rounding x, a point and an offset to float32, and sums of span + 1 terms there, are off by
        less than (span + 4) v times the sizes of the terms, v = 2^-24. Twice that is room for the
        products of these errors, and for the rounding of the lead.
        """
        near = np.empty(leads.shape, dtype=bool)
        for g, group in enumerate(self.groups):
            lengths = np.linalg.norm(turned[:, group.axes], axis=1)
            sizes = lengths * group.longest + group.largest[1]
            rounding = 2.0 * (group.points.shape[1] + 4) * UNIT32 * sizes + UNDERFLOW
            slack = 2.0 * (rounding + group.error(block.norms, len(self.weights)))
            near[:, g] = ~((leads[:, g] > slack) & (sizes < LARGEST))
        return near

    @cached_property
    def _by_eights(self) -> tuple[NDArray[Any], ...] | None:
        """Spans, points and offsets as the compiled kernel takes them; None where it does not."""
        widths = self.alphabets.widths
        if widths.min() != widths.max() or widths[0] < LEAST_WIDTH:
            return None
        points = np.concatenate([g.points.T.ravel() for g in self.groups]).astype(np.float32)
        offsets = self.offsets.reshape(len(widths), -1)
        return np.asarray(self.alphabets.spans, np.uint8), points, -offsets

    def _settled(
        self, block: Block, turned: NDArray[np.float64], rows: NDArray[np.intp], group: Group
    ) -> NDArray[np.intp]:
        """The nearest points of some rows, in float64 and beyond."""
        scores = turned[rows, group.axes] @ group.points.T + group.offsets
        slack = 2.0 * group.error(block.norms[rows], len(self.weights))[:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            best = scores.max(axis=1, keepdims=True)
            near = ~(scores < best - slack)  # true also where a score is not finite
        found, start = near.argmax(axis=1), group.columns.start
        for i in np.flatnonzero(np.count_nonzero(near, axis=1) > 1).tolist():
            open_ = start + np.flatnonzero(near[i])
            found[i] = self._nearest(block, int(rows[i]), open_) - start
        return np.asarray(found)

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
