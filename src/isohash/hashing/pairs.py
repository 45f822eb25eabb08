"""Pairs of rows with their code distance and their true distance, for calibration and figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.hashing.closed_forms import lee_table
from isohash.hashing.drawn import DrawnHash
from isohash.hashing.projection import as_rows
from isohash.records import Codes

ROWS = 4000
PARTNERS = 100  # of every sampled row, at most
FEWEST_PARTNERS = 20
WORK = 1e8  # bytes or symbols compared, roughly, at most
FEWEST_ROWS = 40


def sample_pairs(
    hash_: DrawnHash, X: ArrayLike, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Code distances, ascending, and true distances of sampled pairs of rows of X, shape (m,).

    Every sampled row occurs in equally many pairs, so that no few rows shape the result.
    """
    rows = as_rows(X, hash_.dim)
    if len(rows) < FEWEST_ROWS:
        raise InputError(f"n_samples = {len(rows)}: calibration needs at least {FEWEST_ROWS} rows")
    sample = rows[rng.permutation(len(rows))[:ROWS]]
    codes = hash_.encode(sample)
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


def code_distances(a: Codes, b: Codes) -> NDArray[np.int64]:
    """Distances (n, m) between all codes of a and of b: plain NumPy, for samples."""
    return np.stack([_row_distances(a[i : i + 1], b) for i in range(len(a))])


def _row_distances(a: Codes, b: Codes) -> NDArray[np.int64]:
    """Distances (n,) of corresponding codes; one code of a meets all of b."""
    if a.q == 2:
        return np.asarray(np.bitwise_count(a.packed ^ b.packed).sum(axis=1, dtype=np.int64))
    table = lee_table(a.q, squared=a.metric == "squared_lee").astype(np.int64)
    if a.metric == "hamming":
        table = np.minimum(np.arange(a.q), 1)
    return np.asarray(table[np.abs(a.symbols() - b.symbols())].sum(axis=1))
