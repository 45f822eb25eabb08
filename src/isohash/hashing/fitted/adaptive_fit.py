"""Fitting the adaptive hash: which axes, how many bits each, where the levels lie.

The bits go where they lower the largest quantisation step (reverse water-filling: equal steps
minimise the error for a given number of bits). Taken to the end this would give one bit to many
narrow axes, and a 1-bit axis says little between two codes; so the number of axes is chosen by
trial, on held-out rows of the sample, among the numbers that bits/2, bits/3, ... suggest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash import native
from isohash.alphabets import Alphabets
from isohash.distances import squared_distances
from isohash.errors import InputError
from isohash.hashing.bandwidth import NEIGHBOUR
from isohash.hashing.fitted.adaptive import AdaptiveHash
from isohash.hashing.fitted.block import BlockHash
from isohash.hashing.fitted.block_fit import (
    Against,
    BlockCandidate,
    assemble_blocks,
    block_candidates,
    finished,
)
from isohash.hashing.fitted.points import BYTE
from isohash.kernels.radial import orthogonal_directions

VERSION = 2  # of the fit: another gives other codes
HOPE = 0.03  # of Dice: what finishing a draft of blocks may win
SAMPLE = 8192  # rows on which candidates are compared and quantisers fitted
TRIALS = 256  # of these, rows that serve as queries
MAX_WIDTH = 12  # bits of one axis at most: 4096 levels
ROWS_PER_LEVEL = 16  # a Lloyd quantiser needs so many rows per level, otherwise steps are equal
LLOYD_ROUNDS = 30
MARGIN = 0.05  # equal steps reach this share of the range beyond the smallest and largest row
CROWDING = 1.1  # how far keeping dense levels distinct may stretch an axis
COST = 1.15  # of the squared error that is accepted for symbols that fit a byte
FLAT = 1e-6  # axes whose deviation is a smaller share of the largest carry rounding errors only


@dataclass(frozen=True, eq=False)
class Candidate:
    """A candidate: orthonormal `axes` (d, p) and the bits of each axis."""

    axes: NDArray[np.float64]
    widths: NDArray[np.int64]


def fit_adaptive(
    X: NDArray[np.float32], n_bits: int, seed: int, against: Against = "codes"
) -> AdaptiveHash | BlockHash:
    """The hash of at most `n_bits` stored bits that ranks held-out rows of X (n, d) best.

    `against` says what the stored codes will be compared with: other codes, or queries as vectors.
    """
    if len(X) < 2:
        raise InputError(f"n_samples = {len(X)}: fitting a code to data needs at least 2 rows")
    rng = np.random.default_rng(seed)
    center = X.mean(axis=0, dtype=np.float64).astype(np.float32)
    sample = X[rng.permutation(len(X))[:SAMPLE]].astype(np.float64) - center
    axes, deviations = principal_axes(X, center)
    judge = Judge.of(sample, against)
    tried: list[Candidate | BlockCandidate] = [*candidates(axes, deviations, n_bits, rng)]
    drafts = block_candidates(judge.rows, axes, n_bits, against, rng)
    scores = [judge.score(one) for one in tried] if len(tried) + len(drafts) > 1 else [1.0]
    if drafts:
        hopes = [judge.score(draft) for draft in drafts]
        if max(hopes) >= max(scores) - HOPE:
            tried.append(finished(drafts[int(np.argmax(hopes))], judge.rows))
            scores.append(judge.score(tried[-1]))
    best = tried[int(np.argmax(scores))]
    notes = {
        "seed": seed,
        "n_fitted": len(X),
        "n_bits": n_bits,
        "trial_dice": max(scores),
        "fit": VERSION,
    }
    if isinstance(best, BlockCandidate):
        return assemble_blocks(best, center, notes)
    return assemble(best, sample, center, notes)


def principal_axes(
    X: NDArray[np.float32], center: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Axes (d, rank) by falling deviation, and the deviations along them."""
    covariance = np.zeros((X.shape[1], X.shape[1]))
    for start in range(0, len(X), SAMPLE):
        block = X[start : start + SAMPLE].astype(np.float64) - center
        covariance += block.T @ block
    variances, vectors = np.linalg.eigh(covariance / len(X))
    deviations = np.sqrt(np.maximum(variances[::-1], 0.0))
    rank = int(np.count_nonzero(deviations > FLAT * deviations[0]))
    if not rank:
        raise InputError("all rows are equal: there is nothing to tell apart, nothing to fit")
    return vectors[:, ::-1][:, :rank], deviations[:rank]


def candidates(
    axes: NDArray[np.float64],
    deviations: NDArray[np.float64],
    n_bits: int,
    rng: np.random.Generator,
) -> list[Candidate]:
    """Candidates with different numbers of axes, and one that spreads all bits evenly."""
    rank = min(len(deviations), n_bits)
    counts = sorted({min(rank, max(1, round(n_bits / mean))) for mean in (2, 2.5, 3, 3.5, 4, 5, 6)})
    tried = [_unequal(axes, deviations, n_bits, p, rng) for p in counts]
    even = max(1, min(rank, n_bits // 8))
    mixed = axes[:, :even] @ orthogonal_directions(even, even, rng)
    tried.append(Candidate(mixed, np.full(even, min(largest_width(even), n_bits // even))))
    return tried


def _unequal(
    axes: NDArray[np.float64],
    deviations: NDArray[np.float64],
    n_bits: int,
    p: int,
    rng: np.random.Generator,
) -> Candidate:
    """Water-filled bits over p axes; axes of equal width are rotated among themselves."""
    widths = water_fill(deviations[:p], n_bits)
    rotated = axes[:, :p].copy()
    for width in np.unique(widths):
        group = np.flatnonzero(widths == width)
        rotated[:, group] = rotated[:, group] @ orthogonal_directions(len(group), len(group), rng)
    return Candidate(rotated, widths)


def water_fill(deviations: NDArray[np.float64], n_bits: int) -> NDArray[np.int64]:
    """At least one bit per axis; every further bit halves the largest remaining step."""
    widths = np.ones(len(deviations), dtype=np.int64)
    steps = np.asarray(deviations, dtype=np.float64) / 2.0
    most = largest_width(len(widths))
    for _ in range(min(n_bits, most * len(widths)) - len(widths)):
        axis = int(np.argmax(np.where(widths < most, steps, -1.0)))
        widths[axis] += 1
        steps[axis] /= 2.0
    return widths


@dataclass(frozen=True, eq=False)
class Judge:
    """Rows of a sample and others that serve as queries, with their k nearest rows `true`.

    `against` says whether the queries are compared as codes or as vectors.
    """

    rows: NDArray[np.float64]
    queries: NDArray[np.float64]
    true: NDArray[np.intp]
    against: Against

    @classmethod
    def of(cls, sample: NDArray[np.float64], against: Against) -> Judge:
        """Hold out the first rows of a sample."""
        n_trials = min(TRIALS, max(1, len(sample) // 4))
        rows, queries = sample[n_trials:], sample[:n_trials]
        k = min(NEIGHBOUR, max(1, len(rows) // 10))
        return cls(rows, queries, _nearest(queries, rows, k), against)

    def score(self, candidate: Candidate | BlockCandidate) -> float:
        """Dice of the nearest rows by code against by distance."""
        u, queries = self.rows @ candidate.axes, self.queries @ candidate.axes
        if isinstance(candidate, BlockCandidate):
            stored, codes = candidate.nearest(u), candidate.nearest(queries)
        else:
            levels = fit_levels(u, candidate.widths)
            stored, codes = quantise(u, levels), quantise(queries, levels)
        asked = codes if self.against == "codes" else queries
        k = self.true.shape[1]
        pairs = zip(_nearest(asked, stored, k), self.true, strict=True)
        return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in pairs]))


def _nearest(a: NDArray[np.float64], b: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """Positions of the k rows of b nearest to each row of a."""
    return np.argpartition(squared_distances(a, b), min(k, len(b)) - 1, axis=1)[:, :k]


def quantise(u: NDArray[np.float64], levels: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Every coordinate replaced by its nearest level."""
    columns = [x[np.searchsorted(midpoints(x), u[:, j])] for j, x in enumerate(levels)]
    return np.column_stack(columns)


def fit_levels(u: NDArray[np.float64], widths: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Levels of each axis: Lloyd's where rows suffice, else equal steps over the range."""
    result: list[NDArray[np.float64]] = [np.empty(0)] * len(widths)
    for width in np.unique(widths):
        columns, n_levels = np.flatnonzero(widths == width), 1 << int(width)
        if len(u) >= ROWS_PER_LEVEL * n_levels:
            found = lloyd(u[:, columns].T, n_levels)
        else:
            found = np.array([_equal_steps(u[:, j], n_levels) for j in columns])
        for j, levels in zip(columns, found, strict=True):
            result[j] = levels
    return result


def lloyd(x: NDArray[np.float64], n_levels: int) -> NDArray[np.float64]:
    """Ascending levels (c, n_levels) that lower the mean squared error of each row of x (c, n).

    Lloyd's rule (1982), from the quantiles of the row.
    """
    x = np.sort(x, axis=1)
    sums = np.concatenate([np.zeros((len(x), 1)), np.cumsum(x, axis=1)], axis=1)
    levels = np.quantile(x, (np.arange(n_levels) + 0.5) / n_levels, axis=1).T
    if native.available():
        return np.sort(native.lloyd(x, sums, levels, LLOYD_ROUNDS), axis=1)
    parts = zip(x, sums, levels, strict=True)
    return np.sort([_moved_levels(*part) for part in parts], axis=1)


def _moved_levels(
    x: NDArray[np.float64], sums: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    levels = levels.copy()
    for _ in range(LLOYD_ROUNDS):
        edges = np.concatenate([[0], np.searchsorted(x, midpoints(levels)), [len(x)]])
        counts = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(counts, 1)
        levels[counts > 0] = means[counts > 0]
    return levels


def _equal_steps(x: NDArray[np.float64], n_levels: int) -> NDArray[np.float64]:
    low, high = float(x.min()), float(x.max())
    margin = MARGIN * (high - low) or 1e-12
    step = (high - low + 2.0 * margin) / n_levels
    return np.asarray(low - margin + step * (np.arange(n_levels) + 0.5), dtype=np.float64)


def midpoints(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the nearest level changes."""
    return np.asarray((levels[1:] + levels[:-1]) / 2.0, dtype=np.float64)


def assemble(
    candidate: Candidate,
    sample: NDArray[np.float64],
    center: NDArray[np.float32],
    notes: Mapping[str, Any],
) -> AdaptiveHash:
    """Fit the quantisers of a candidate and put their levels on the common integer scale."""
    axes = candidate.axes.astype(np.float32)
    u = sample @ axes.astype(np.float64)
    levels = fit_levels(u, candidate.widths)
    unit, whole = integer_levels(u[:TRIALS], levels)
    placed = [_placed(x, w, unit) for x, w in zip(levels, whole, strict=True)]
    thresholds = np.concatenate([midpoints(x) for x in placed]).astype(np.float32)
    values = np.concatenate(whole).astype(np.uint16)
    alphabets = Alphabets(candidate.widths.astype(np.uint8), values)
    return AdaptiveHash(axes, center, thresholds, alphabets, unit, notes)


def integer_levels(
    u: NDArray[np.float64], levels: list[NDArray[np.float64]]
) -> tuple[float, list[NDArray[np.float64]]]:
    """The levels as integers in a common unit, and that unit: no finer than the rows u need.

    Symbols up to 255 are searched fastest. A finer unit, up to what 32-bit distances allow, is
    taken only where rounding the levels would add `COST` to the mean squared error.
    """
    widest = max(float(x[-1] - x[0]) for x in levels)
    accepted = COST * np.mean((u - quantise(u, levels)) ** 2)
    most = largest_symbol(len(levels))
    for top in (min(BYTE, most), most):
        for shrink in (1.0, 1.2, 1.5, 2.0):
            unit = shrink * widest / top
            whole = [_whole(x, unit) for x in levels]
            if max(w[-1] for w in whole) <= top:
                break
        placed = [_placed(x, w, unit) for x, w in zip(levels, whole, strict=True)]
        if np.mean((u - quantise(u, placed)) ** 2) <= accepted:
            break
    return unit, whole


def _whole(levels: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Levels as distinct integers from 0 on; steps of one unit where they lie denser than that."""
    order = np.arange(len(levels), dtype=np.float64)
    rounded = np.rint((levels - levels[0]) / unit)
    if rounded[-1] < CROWDING * order[-1]:
        return order
    return np.asarray(np.maximum.accumulate(rounded - order) + order, dtype=np.float64)


def _placed(
    levels: NDArray[np.float64], whole: NDArray[np.float64], unit: float
) -> NDArray[np.float64]:
    """Where integer levels lie on the axis: their middle on the middle of the fitted ones."""
    middle = (levels[0] + levels[-1]) / 2.0
    return np.asarray(middle + unit * (whole - (whole[0] + whole[-1]) / 2.0), dtype=np.float64)


def largest_symbol(n_axes: int) -> int:
    """The largest level for which n_axes squared differences cannot overflow an index."""
    return int(np.sqrt(native.MAX_DISTANCE / n_axes) / CROWDING)


def largest_width(n_axes: int) -> int:
    """Bits per axis for which every level can be an integer of its own."""
    return min(MAX_WIDTH, int(np.log2(largest_symbol(n_axes))))
