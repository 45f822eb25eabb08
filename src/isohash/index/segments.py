"""Codes that belong together: the slices of a case, one after another among those of all cases.

An exact comparison of a sequence of queries with every stored sequence needs every distance. Most
sequences can be ruled out by less: the *least* distance of each query to each case is as many times
smaller as a case has slices, and whatever matches each query slice with some slice of a case costs
at least the sum of these. `least_per_case` finds them in one pass, without the distances between;
`distances_to_cases` then gives all distances to the few cases that are left.

Case c owns the rows `start[c]` to `start[c + 1] - 1`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.index import dispatch, numpy_scan
from isohash.index.flat import checked_mask, common_layout, distances
from isohash.records import Codes

# What the least distance to a case without (allowed) rows is.
NO_DISTANCE = numpy_scan.NONE

# Bytes of codes, as they lie while they are searched, that are unpacked at a time.
UNPACKED_BYTES = 8 << 20


def least_per_case(
    a: Codes,
    b: Codes,
    start: ArrayLike,
    allowed: ArrayLike | None = None,
    threads: int | None = None,
) -> NDArray[np.int32]:
    """The least distance of every code of `a` to the codes of each case, shape (n_a, n_cases).

    Beyond the result this takes some 16 MB of memory, however many codes `b` (such as a
    memory-mapped file) holds.

    Args:
        a: the queries, such as the slices of one case.
        b: the codes of all cases, case after case.
        start: (n_cases + 1,) integers from 0 to len(b), never falling: case c owns the rows
            start[c] to start[c + 1] - 1. A case may own none.
        allowed: a bool mask over the rows of `b`, (n_b,); others are left out.
        threads: how many share the work; None: the cores this process may use.

    Returns:
        Distances; NO_DISTANCE, the largest int32, where no row of a case is allowed.

    Raises:
        InputError: if the codes differ in kind, or `start` or `allowed` do not fit `b`.

    Example:
        >>> import numpy as np
        >>> from isohash import Codes
        >>> stored = Codes.from_symbols([[0, 0, 0], [0, 1, 1], [1, 1, 1]], 2)
        >>> least_per_case(stored[:2], stored, [0, 1, 1, 3]).tolist()
        [[0, 2147483647, 2], [2, 2147483647, 0]]
    """
    layout, bounds = common_layout(a, b), checked_start(start, len(b))
    mask, n_threads = checked_mask(allowed, len(b)), dispatch.checked_threads(threads)
    queries = layout.expand(a)
    least = np.full((len(a), len(bounds) - 1), NO_DISTANCE, dtype=np.int32)
    row_bytes = layout.width * queries.itemsize
    for rows, cases, inside in _blocks(bounds, max(1, UNPACKED_BYTES // row_bytes)):
        codes, kept = b[rows], None if mask is None else mask[rows]
        if kept is not None and not layout.searches_in_place(codes):  # unpack no row in vain
            codes, inside = codes[kept], np.concatenate([[0], np.cumsum(kept)])[inside]
            kept = None
        stored = layout.expand(codes, n_threads)
        part = dispatch.least(queries, stored, layout, inside, n_threads, kept)
        np.minimum(least[:, cases], part, out=least[:, cases])
    return least


def distances_to_cases(
    a: Codes, b: Codes, start: ArrayLike, cases: ArrayLike, threads: int | None = None
) -> NDArray[np.int32]:
    """Distances of every code of `a` to all codes of some cases, in the order of `cases`.

    The columns are those of case cases[0], then those of cases[1] and so on. Only the codes of
    these cases are read. `start` is as for `least_per_case`.
    """
    return distances(a, b[rows_of_cases(checked_start(start, len(b)), cases)], threads)


def rows_of_cases(start: NDArray[np.int64], cases: ArrayLike) -> NDArray[np.int64]:
    """The rows of some cases, case after case in the given order."""
    chosen, n_cases = np.asarray(cases), len(start) - 1
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise InputError(
            f"cases must be a list of integers, got {chosen.dtype} of shape {chosen.shape}"
        )
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < n_cases:
        raise InputError(f"cases must lie in 0..{n_cases - 1}, got {chosen.min()}..{chosen.max()}")
    chosen = chosen.astype(np.int64)
    lengths = start[chosen + 1] - start[chosen]
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(start[chosen] - before, lengths)


def checked_start(start: ArrayLike, n: int) -> NDArray[np.int64]:
    """`start` as (n_cases + 1,) int64 that rises from 0 to n."""
    bounds = np.asarray(start)
    if bounds.ndim != 1 or not len(bounds) or bounds.dtype.kind not in "iu":
        raise InputError(
            f"start must be a list of n_cases + 1 integers, got {bounds.dtype} of shape "
            f"{bounds.shape}"
        )
    bounds = np.ascontiguousarray(bounds, dtype=np.int64)
    if bounds[0] != 0 or bounds[-1] != n:
        raise InputError(
            f"start must lead from 0 to the number of codes, {n}; got {bounds[0]}..{bounds[-1]}"
        )
    falls = np.flatnonzero(np.diff(bounds) < 0)
    if len(falls):
        case = int(falls[0])
        raise InputError(
            f"start must not fall: case {case} begins at row {bounds[case]} and ends at "
            f"{bounds[case + 1]}"
        )
    return bounds


def _blocks(
    start: NDArray[np.int64], size: int
) -> Iterator[tuple[slice, slice, NDArray[np.int64]]]:
    """The rows in blocks of at most `size`: rows, cases they touch, `start` within the block."""
    for first in range(0, int(start[-1]), size):
        last = min(first + size, int(start[-1]))
        case = int(np.searchsorted(start, first, side="right")) - 1
        end = int(np.searchsorted(start, last, side="left"))
        inside = np.clip(start[case : end + 1], first, last) - first
        yield slice(first, last), slice(case, end), inside
