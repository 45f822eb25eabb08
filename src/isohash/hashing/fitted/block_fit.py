"""Fitting the block hash: which axes share a block, how they are turned, where the points lie.

Axes go to blocks of nearly equal spread; then rotation and points are improved in turns: the
points by Lloyd's rule, the rotation as the one that brings the rows nearest to their points (the
orthogonal Procrustes problem). That is optimised product quantisation (Ge et al. 2013) on fewer
axes: as for single axes, the number of axes with the least error ranks clearly worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isohash.alphabets import Alphabets
from isohash.hashing.fitted.block import BlockHash
from isohash.hashing.fitted.points import BYTE

ROWS_PER_POINT = 16  # a block has no more points than so many rows each can place
MOST_BITS = 8  # of one block
FEWEST_BITS = 4  # with fewer points than 16, single axes do as well
# Numbers of axes tried, as bits for each: between codes, fewer axes rank better.
BITS_PER_AXIS = {"codes": (2.0, 2.67), "vectors": (1.33, 2.0)}
MOST_PER_AXIS = 4  # with more bits for each of all axes, single axes do as well
ROUNDS = 20  # of turning the axes and moving the points
LAST_ROUNDS = 12  # of moving the points alone

Against = Literal["codes", "vectors"]
Points = list[NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class BlockCandidate:
    """Orthonormal `axes` (d, p), block after block, and the points (2^width, span) of each."""

    axes: NDArray[np.float64]
    points: Points

    @property
    def spans(self) -> NDArray[np.int64]:
        """Axes of each block."""
        return np.array([points.shape[1] for points in self.points])

    def nearest(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Every row of u (n, p) replaced by its nearest points."""
        parts = zip(_parts(u, self.spans), self.points, strict=True)
        return np.hstack([points[_assigned(x, points)] for x, points in parts])


def block_candidates(
    rows: NDArray[np.float64],
    axes: NDArray[np.float64],
    n_bits: int,
    against: Against,
    rng: np.random.Generator,
) -> list[BlockCandidate]:
    """Candidates of n_bits at most for centred rows (n, d), whose principal axes these are.

    `against` says what stored codes will be compared with.
    """
    width = min(MOST_BITS, int(np.log2(max(1, len(rows) / ROWS_PER_POINT))))
    n_blocks = n_bits // max(1, width)
    rank = axes.shape[1]
    if width < FEWEST_BITS or not 0 < n_blocks < rank or n_bits >= MOST_PER_AXIS * rank:
        return []
    counts = {min(rank, max(n_blocks, round(n_bits / each))) for each in BITS_PER_AXIS[against]}
    return [_fitted(rows, axes[:, :p], n_blocks, width, rng) for p in sorted(counts)]


def _fitted(
    rows: NDArray[np.float64],
    axes: NDArray[np.float64],
    n_blocks: int,
    width: int,
    rng: np.random.Generator,
) -> BlockCandidate:
    blocks = shared_out(np.var(rows @ axes, axis=0), n_blocks)
    turned = axes[:, np.concatenate(blocks)]
    starts = rng.permutation(len(rows))[: 1 << width]
    spans = np.array([len(block) for block in blocks])
    candidate = BlockCandidate(turned, _parts(rows[starts] @ turned, spans))
    for _ in range(ROUNDS):
        u = rows @ candidate.axes
        candidate = _moved(candidate, u)
        nearest = candidate.nearest(u)
        left, _, right = np.linalg.svd(rows.T @ nearest, full_matrices=False)
        candidate = BlockCandidate(left @ right, candidate.points)
    u = rows @ candidate.axes
    for _ in range(LAST_ROUNDS):
        candidate = _moved(candidate, u)
    return candidate


def shared_out(variances: NDArray[np.float64], n_blocks: int) -> list[list[int]]:
    """Axes, widest first, each to the block of the least product of variances that has room."""
    room = -(-len(variances) // n_blocks)
    blocks: list[list[int]] = [[] for _ in range(n_blocks)]
    spread = np.full(n_blocks, -np.inf)
    floor = np.log(variances[-1])
    for axis, variance in enumerate(np.log(variances) - floor):
        open_ = [b for b in range(n_blocks) if len(blocks[b]) < room]
        block = min(open_, key=lambda b: spread[b])
        spread[block] = variance + (spread[block] if blocks[block] else 0.0)
        blocks[block].append(axis)
    return blocks


def _moved(candidate: BlockCandidate, u: NDArray[np.float64]) -> BlockCandidate:
    """Every point in the middle of its rows; a point without rows goes far out."""
    moved = []
    for x, points in zip(_parts(u, candidate.spans), candidate.points, strict=True):
        nearest = _assigned(x, points)
        counts = np.bincount(nearest, minlength=len(points))
        sums = [np.bincount(nearest, weights=column, minlength=len(points)) for column in x.T]
        middle = np.column_stack(sums) / np.maximum(counts, 1)[:, None]
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            errors = np.sum((x - points[nearest]) ** 2, axis=1)
            middle[empty] = x[np.argsort(-errors, kind="stable")[: len(empty)]]
        moved.append(middle)
    return BlockCandidate(candidate.axes, moved)


def _parts(u: NDArray[np.float64], spans: NDArray[np.int64]) -> Points:
    return np.split(u, np.cumsum(spans)[:-1], axis=1)


def _assigned(x: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.intp]:
    """The nearest point of each row."""
    return np.asarray(np.argmax(x @ points.T - np.sum(points * points, axis=1) / 2.0, axis=1))


def assemble_blocks(
    candidate: BlockCandidate, center: NDArray[np.float32], notes: Mapping[str, Any]
) -> BlockHash:
    """The candidate's points on one integer scale, as a hash."""
    axes = candidate.axes.astype(np.float32)
    lowest = [points.min(axis=0) for points in candidate.points]
    unit = max(float(np.ptp(points, axis=0).max()) for points in candidate.points) / BYTE
    whole = [np.rint((p - low) / unit) for p, low in zip(candidate.points, lowest, strict=True)]
    shift = np.concatenate(lowest).astype(np.float32)
    placed = [
        s + unit * w
        for s, w in zip(np.split(shift, np.cumsum(candidate.spans)[:-1]), whole, strict=True)
    ]
    columns = np.split(axes.astype(np.float64), np.cumsum(candidate.spans)[:-1], axis=1)
    weights = np.hstack([a @ p.T for a, p in zip(columns, placed, strict=True)])
    offsets = np.concatenate([-np.sum(p * p, axis=1) / 2.0 for p in placed])
    widths = np.array([np.log2(len(points)) for points in candidate.points]).round()
    values = np.concatenate([w.ravel() for w in whole]).astype(np.uint16)
    alphabets = Alphabets(widths.astype(np.uint8), values, candidate.spans.astype(np.uint8))
    return BlockHash(
        axes,
        center,
        np.ascontiguousarray(weights, dtype=np.float32),
        offsets.astype(np.float32),
        shift,
        alphabets,
        unit,
        notes,
    )
