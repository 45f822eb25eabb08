"""Scans of codes: nearest ones, all distances, least ones by case, tables of a multi-index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.native.extension import LEVELS, METRICS, _native

ScanArgs = tuple[int, int, int, int, int, int, int, NDArray[Any], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Scan:
    """How rows are compared, and by which level.

    `metric` is a key of METRICS. Rows are uint64 words for `hamming`; otherwise symbols of
    `symbol_bits` 4 (two to the byte), 8 or 16. Distances are divided by `scale`.
    """

    metric: str
    q: int
    scale: int
    level: str
    threads: int
    symbol_bits: int = 1

    def args(self, queries: NDArray[Any], codes: NDArray[Any]) -> ScanArgs:
        """The arguments that every search of the extension begins with."""
        row_bytes = codes.shape[1] * codes.itemsize
        return (
            LEVELS[self.level],
            METRICS[self.metric],
            self.q,
            self.scale,
            self.threads,
            self.symbol_bits,
            row_bytes,
            queries,
            codes,
        )


def topk(
    scan: Scan,
    queries: NDArray[Any],
    codes: NDArray[Any],
    k: int,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Distances and positions of the k nearest allowed codes, by (distance, position)."""
    distances = np.empty((len(queries), k), dtype=np.int32)
    positions = np.empty((len(queries), k), dtype=np.int64)
    _native.topk(*scan.args(queries, codes), allowed, k, distances, positions)
    return distances, positions


def matrix(scan: Scan, queries: NDArray[Any], codes: NDArray[Any]) -> NDArray[np.int32]:
    """All distances, shape (n_queries, n_codes)."""
    distances = np.empty((len(queries), len(codes)), dtype=np.int32)
    _native.matrix(*scan.args(queries, codes), distances)
    return distances


def least(
    scan: Scan,
    queries: NDArray[Any],
    codes: NDArray[Any],
    start: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """The least distance to allowed codes start[c]:start[c + 1], (n_queries, n_cases).

    The largest int32 where a case has none. `start` never falls, from 0 to the number of codes.
    """
    distances = np.empty((len(queries), len(start) - 1), dtype=np.int32)
    _native.least(*scan.args(queries, codes), allowed, start, distances)
    return distances


def within(
    scan: Scan,
    queries: NDArray[Any],
    codes: NDArray[Any],
    radius: int,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Offsets (n_queries + 1,), distances and positions of allowed codes within `radius`."""
    offsets, distances, positions = _native.within(*scan.args(queries, codes), allowed, radius)
    return (
        np.frombuffer(offsets, dtype=np.int64),
        np.frombuffer(distances, dtype=np.int32),
        np.frombuffer(positions, dtype=np.int64),
    )


class Tables:
    """Multi-index tables over codes of one word each, `length` bits of which are used (4 to 64).

    They take about 48 bytes a code.
    """

    def __init__(self, words: NDArray[np.uint64], length: int) -> None:
        self._words = words
        self._tables = _native.tables_build(words, length)

    def topk(
        self, scan: Scan, queries: NDArray[np.uint64], k: int, most: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """Distances and positions of the k >= 1 nearest, and how many codes each query met.

        A query that would meet more than `most` codes and buckets is answered by the scan.
        """
        distances = np.empty((len(queries), k), dtype=np.int32)
        positions = np.empty((len(queries), k), dtype=np.int64)
        touched = np.empty(len(queries), dtype=np.int64)
        _native.tables_topk(
            *scan.args(queries, self._words), self._tables, k, most, distances, positions, touched
        )
        return distances, positions, touched
