"""Fitting codes to data: the nearest points of blocks of axes, and levels of single axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.native.extension import _native, default_threads


def nearest_points(
    rows: NDArray[np.float32],
    spans: NDArray[np.uint8],
    points: NDArray[np.float32],
    offsets: NDArray[np.float32],
    threads: int | None = None,
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """The first of each block's points with the largest score <x, point> - offset, and its lead.

    Both are (n, blocks); the lead is by how much it exceeds the score of every other point.

    Args:
        rows: shape (n, sum of spans), block after block.
        spans: axes of each block.
        points: the coordinates (span, m) of each block's points, block after block.
        offsets: shape (blocks, m); m is a multiple of 8.
        threads: how many share the rows; the result is the same.
    """
    out = np.empty((len(rows), len(spans)), dtype=np.uint16)
    leads = np.empty(out.shape, dtype=np.float32)
    x, p, o = (np.ascontiguousarray(one, dtype=np.float32) for one in (rows, points, offsets))
    n_threads = threads or default_threads()
    _native.nearest_points(x, spans, p, o, offsets.shape[1], n_threads, out, leads)
    return out, leads


def lloyd(
    x: NDArray[np.float64],
    sums: NDArray[np.float64],
    levels: NDArray[np.float64],
    rounds: int,
) -> NDArray[np.float64]:
    """Levels (c, k) moved by Lloyd's rule, each row of x (c, n) by itself.

    Rows of `x` ascend, `sums` (c, n + 1) are the sums of their first 0, 1, ... values. Stops early
    where no value changes its level.
    """
    moved = np.array(levels, dtype=np.float64, order="C")
    ascending, summed = (np.ascontiguousarray(one, dtype=np.float64) for one in (x, sums))
    _native.lloyd(ascending, summed, x.shape[1], moved.shape[1], rounds, moved)
    return moved
