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

from isohash import native
from isohash.alphabets import Alphabets
from isohash.hashing.fitted.block import BlockHash
from isohash.hashing.fitted.points import BYTE

ROWS_PER_POINT = 16  # a block has no more points than so many rows each can place
MOST_BITS = 8  # of one block
FEWEST_BITS = 4  # with fewer points than 16, single axes do as well
# Numbers of axes tried, as bits for each: between codes, fewer axes rank better.
BITS_PER_AXIS = {"codes": (2.0, 2.67), "vectors": (1.33, 2.0)}
MOST_PER_AXIS = 4  # with more bits for each of all axes, single axes do as well
ROWS_WHILE_TURNING = 16  # times the points of a block: more tell no more about the axes
DRAFT_ROUNDS = 1  # of turning the axes and moving the points, before candidates are compared
ROUNDS = 19  # more of them for the best
LAST_ROUNDS = 30  # of moving the points alone
SINGULAR = 1e-13  # of the largest square of a singular value: below, all are found by themselves

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

    def assigned(self, u: NDArray[np.floating]) -> NDArray[np.uint16]:
        """The nearest point of every row of u (n, p) in each block, (n, blocks), in float32."""
        m, x = len(self.points[0]), u.astype(np.float32)
        points = np.concatenate([p.T.astype(np.float32).ravel() for p in self.points])
        offsets = np.array([np.sum(p * p, axis=1) / 2.0 for p in self.points], np.float32)
        if native.available():
            return native.nearest_points(x, self.spans.astype(np.uint8), points, offsets)[0]
        parts = zip(_parts(x, self.spans), np.split(points, m * np.cumsum(self.spans)[:-1]),
                    offsets, strict=True)  # fmt: skip
        return np.stack([_assigned(x, p.reshape(-1, m), o) for x, p, o in parts], axis=1)

    def nearest(self, u: NDArray[np.floating]) -> NDArray[np.float64]:
        """Every row of u (n, p) replaced by its nearest points."""
        return self.placed(self.assigned(u))

    def placed(self, assigned: NDArray[np.uint16]) -> NDArray[np.float64]:
        """The points (n, p) that rows were assigned."""
        return np.hstack([p[assigned[:, g]] for g, p in enumerate(self.points)])


def block_candidates(
    rows: NDArray[np.float64],
    axes: NDArray[np.float64],
    n_bits: int,
    against: Against,
    rng: np.random.Generator,
) -> list[BlockCandidate]:
    """Drafts of n_bits at most for centred rows (n, d), whose principal axes these are.

    `against` says what stored codes will be compared with. `finished` makes the best of a draft.
    """
    width = min(MOST_BITS, int(np.log2(max(1, len(rows) / ROWS_PER_POINT))))
    n_blocks = n_bits // max(1, width)
    rank = axes.shape[1]
    if width < FEWEST_BITS or not 0 < n_blocks < rank or n_bits >= MOST_PER_AXIS * rank:
        return []
    counts = {min(rank, max(n_blocks, round(n_bits / each))) for each in BITS_PER_AXIS[against]}
    return [_draft(rows, axes[:, :p], n_blocks, width, rng) for p in sorted(counts)]


def _draft(
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
    return _settled(_turned(candidate, rows, DRAFT_ROUNDS), rows, DRAFT_ROUNDS)


def finished(draft: BlockCandidate, rows: NDArray[np.float64]) -> BlockCandidate:
    """A draft, turned and moved until little changes."""
    return _settled(_turned(draft, rows, ROUNDS), rows, LAST_ROUNDS)


def _turned(candidate: BlockCandidate, rows: NDArray[np.float64], n_rounds: int) -> BlockCandidate:
    """Points moved and axes turned, so many times, by as many rows as tell about the axes."""
    some = rows[: ROWS_WHILE_TURNING * len(candidate.points[0])].astype(np.float32)
    for _ in range(n_rounds):
        u = some @ candidate.axes.astype(np.float32)
        assigned = candidate.assigned(u)
        points = _middles(candidate, u, assigned)
        moved = BlockCandidate(candidate.axes, points)
        axes = nearest_rotation(some.T @ moved.placed(assigned).astype(np.float32))
        candidate = BlockCandidate(axes, points)
    return candidate


def _settled(candidate: BlockCandidate, rows: NDArray[np.float64], n_rounds: int) -> BlockCandidate:
    """Points moved by all rows, so many times or until none changes its point."""
    u, before = rows @ candidate.axes, None
    for _ in range(n_rounds):
        assigned = candidate.assigned(u)
        if before is not None and (assigned == before).all():
            break
        before = assigned
        candidate = BlockCandidate(candidate.axes, _middles(candidate, u, assigned))
    return candidate


def nearest_rotation(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """The orthonormal columns (d, p) that agree best with those of a matrix: its polar factor.

    By the eigenvectors of its small Gram matrix, and a step of Newton and Schulz that takes back
    what squaring has lost.
    """
    wide = matrix.astype(np.float64)
    values, vectors = np.linalg.eigh(wide.T @ wide)
    if values[0] <= SINGULAR * values[-1]:
        left, _, right = np.linalg.svd(wide, full_matrices=False)
        return np.asarray(left @ right)
    found = wide @ ((vectors / np.sqrt(values)) @ vectors.T)
    return np.asarray(1.5 * found - 0.5 * found @ (found.T @ found))


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


def _middles(
    candidate: BlockCandidate, u: NDArray[np.floating], assigned: NDArray[np.uint16]
) -> Points:
    """Every point in the middle of its rows of u (n, p); one without rows goes far out."""
    m, spans = len(candidate.points[0]), candidate.spans
    place = assigned + m * np.arange(len(spans))
    counts = np.bincount(place.ravel(), minlength=m * len(spans)).reshape(-1, m)
    sums = np.zeros((len(spans), m, int(spans.max())))
    for s in range(int(spans.max())):  # the s-th axis of all blocks that have it
        has = np.flatnonzero(spans > s)
        column, at = (np.cumsum(spans) - spans)[has] + s, place[:, has]
        found = np.bincount(at.ravel(), weights=u[:, column].ravel(), minlength=sums[..., s].size)
        sums[..., s] = found.reshape(-1, m)
    middles = sums / np.maximum(counts, 1)[..., None]
    points = [middle[:, :span] for middle, span in zip(middles, spans, strict=True)]
    for g in np.flatnonzero((counts == 0).any(axis=1)):
        first, empty = int(np.cumsum(spans)[g] - spans[g]), np.flatnonzero(counts[g] == 0)
        x = u[:, first : first + int(spans[g])]
        errors = np.sum((x - candidate.points[g][assigned[:, g]]) ** 2, axis=1)
        points[g][empty] = x[np.argsort(-errors, kind="stable")[: len(empty)]]
    return points


def _parts(u: NDArray[Any], spans: NDArray[np.int64]) -> list[NDArray[Any]]:
    return np.split(u, np.cumsum(spans)[:-1], axis=1)


def _assigned(
    x: NDArray[np.float32], points: NDArray[np.float32], offsets: NDArray[np.float32]
) -> NDArray[np.uint16]:
    """What `native.nearest_points` says of one block, points (span, m), without it."""
    scores = np.repeat(-offsets[None], len(x), axis=0)
    for s in range(len(points)):
        scores += x[:, s : s + 1] * points[s]
    return np.argmax(scores, axis=1).astype(np.uint16)


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
