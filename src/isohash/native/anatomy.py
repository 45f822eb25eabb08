"""What the features of an anatomy take: boosted trees, bins of values, distances in a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.native.extension import _native, default_threads


def sum_trees(
    starts: NDArray[np.int64],
    nodes: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint16], NDArray[np.int32]],
    base: int,
    bins: NDArray[np.uint8],
    threads: int | None = None,
) -> NDArray[np.int32]:
    """`base` and the values of the leaves that every row of bins (n, features) reaches, (n,).

    `nodes` are feature, cut, left child and value, the nodes of tree t beginning at `starts[t]`;
    see `features.encoders.trees`.
    """
    out = np.empty(len(bins), dtype=np.int32)
    rows = np.ascontiguousarray(bins, dtype=np.uint8)
    n_threads = threads or default_threads()
    _native.sum_trees(starts, *nodes, base, rows.shape[1], rows, n_threads, out)
    return out


def bins(
    values: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    offsets: NDArray[np.int64],
    stride: int,
) -> NDArray[np.uint8]:
    """How many of its column's rising thresholds each value (n, m) lies above, 255 for NaN.

    Column j has `thresholds[offsets[j] : offsets[j + 1]]`. The result is (n, stride); its columns
    from m on are not set.
    """
    out = np.empty((len(values), stride), dtype=np.uint8)
    _native.bins(np.ascontiguousarray(values, np.float32), thresholds, offsets, stride, out)
    return out


def distances(
    marked: NDArray[np.bool_], steps: NDArray[np.float64], flat: bool = False
) -> NDArray[np.float64]:
    """Distance of each cell of a grid (z, y, x) to the nearest marked one; infinite without one.

    Cells are `steps` (3,) apart. With `flat` every slice is a grid of its own.
    """
    out = np.empty(marked.shape, dtype=np.float64)
    shape = np.array(marked.shape, dtype=np.int64)
    _native.distances(np.ascontiguousarray(marked), shape, steps, int(flat), out)
    return out
