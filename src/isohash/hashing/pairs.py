"""Pairs of rows with their code distance and their true distance, for calibration and figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.hashing.closed_forms import lee_table
from isohash.hashing.drawn import DrawnHash
from isohash.hashing.projection import as_rows
from isohash.records import Codes

Table = NDArray[np.float64]

ROWS = 4000
PARTNERS = 100  # of every sampled row, at most
FEWEST_PARTNERS = 20
WORK = 1e8  # bytes or symbols compared, roughly, at most
FEWEST_ROWS = 40
QUERIES = 2000  # rows that are asked for their neighbours, at most
NEIGHBOURS = 50  # of each: as many as an answer usually shows, and more
AT_ONCE = 256  # queries whose distances to all rows are in memory together


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Rows and what is nearest to each by code, best first: both arrays are (n_queries, k)."""

    code: Table
    true: Table

    def of(self, queries: NDArray[np.int64]) -> Neighbours:
        """Those of some of the queries."""
        return Neighbours(self.code[queries], self.true[queries])


def sample_pairs(
    hash_: DrawnHash, X: ArrayLike, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Code distances, ascending, and true distances of sampled pairs of rows of X, shape (m,).

    Every sampled row occurs in equally many pairs, so that no few rows shape the result.
    """
    sample, codes, _ = _sampled(hash_, X, rng, None)
    cost = codes.packed.shape[1] if codes.q == 2 else codes.length
    partners = int(np.clip(WORK / (len(sample) * cost), FEWEST_PARTNERS, PARTNERS))
    far_enough = (len(sample) - 1) // 2  # a longer shift would repeat pairs
    shifts = 1 + rng.permutation(far_enough)[:partners]
    x = sample.astype(np.float64)
    code, true = [], []
    for shift in shifts.tolist():
        other = np.roll(np.arange(len(sample)), shift)
        code.append(_row_distances(codes, codes[other]))
        true.append(np.sqrt(np.sum((x - x[other]) ** 2, axis=1)))
    distance = np.concatenate(code).astype(np.float64)
    order = np.argsort(distance, kind="stable")
    return distance[order], np.concatenate(true)[order]


def nearest_pairs(
    hash_: DrawnHash, X: ArrayLike, rng: np.random.Generator, groups: ArrayLike | None = None
) -> Neighbours:
    """What an answer would show: sampled rows of X, each with the rows nearest to it by code.

    Rows of one group (n,), such as slices of one patient, are not neighbours: an answer leaves
    the query's own patient out.
    """
    sample, codes, group = _sampled(hash_, X, rng, groups)
    wraps = codes.q > 2 and not (codes.metric == "squared_lee" and codes.alphabets is not None)
    affordable = int(WORK / (len(sample) * codes.length)) if wraps else QUERIES
    n = min(len(sample), QUERIES, max(FEWEST_ROWS, affordable))
    k = int(np.clip(min(len(sample) - np.bincount(group)[group[:n]]), 1, NEIGHBOURS))
    x, found = sample.astype(np.float64), []
    for first in range(0, n, AT_ONCE):
        own = np.arange(first, min(first + AT_ONCE, n))
        table = _table(codes, own)
        table[group[own][:, None] == group[None]] = np.inf
        near = np.argpartition(table, k - 1, axis=1)[:, :k]
        code = np.take_along_axis(table, near, axis=1)
        true = np.sqrt(np.sum((x[own][:, None] - x[near]) ** 2, axis=2))
        order = np.argsort(code, axis=1, kind="stable")
        found.append([np.take_along_axis(one, order, axis=1) for one in (code, true)])
    code, true = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Neighbours(code, true)


def _sampled(
    hash_: DrawnHash, X: ArrayLike, rng: np.random.Generator, groups: ArrayLike | None
) -> tuple[NDArray[np.float32], Codes, NDArray[np.int64]]:
    """Some rows, their codes, and the group of each: of its own, if there are fewer than two."""
    rows = as_rows(X, hash_.dim)
    if len(rows) < FEWEST_ROWS:
        raise InputError(f"n_samples = {len(rows)}: calibration needs at least {FEWEST_ROWS} rows")
    at = rng.permutation(len(rows))[:ROWS]
    group = np.arange(len(at))
    if groups is not None:
        named = np.asarray(groups)
        if named.shape != (len(rows),):
            raise InputError(f"groups have shape {named.shape}, and X has {len(rows)} rows")
        found = np.unique(named[at], return_inverse=True)[1]
        group = found if found.max() else group
    return rows[at], hash_.encode(rows[at]), group


def code_distances(a: Codes, b: Codes) -> NDArray[np.int64]:
    """Distances (n, m) between all codes of a and of b: plain NumPy, for samples."""
    return np.stack([_row_distances(a[i : i + 1], b) for i in range(len(a))])


def _table(codes: Codes, own: NDArray[np.int64]) -> Table:
    """Distances of some codes to all: by products, exact in float64, where nothing wraps."""
    if codes.q == 2 or (codes.metric == "squared_lee" and codes.alphabets is not None):
        symbols = codes.symbols().astype(np.float64)
    else:
        return code_distances(codes[own], codes).astype(np.float64)
    squares = np.sum(symbols * symbols, axis=1)
    return np.asarray(squares[own][:, None] + squares - 2.0 * symbols[own] @ symbols.T)


def _row_distances(a: Codes, b: Codes) -> NDArray[np.int64]:
    """Distances (n,) of corresponding codes; one code of a meets all of b."""
    if a.q == 2:
        return np.asarray(np.bitwise_count(a.packed ^ b.packed).sum(axis=1, dtype=np.int64))
    table = lee_table(a.q, squared=a.metric == "squared_lee").astype(np.int64)
    if a.metric == "hamming":
        table = np.minimum(np.arange(a.q), 1)
    return np.asarray(table[np.abs(a.symbols() - b.symbols())].sum(axis=1))
