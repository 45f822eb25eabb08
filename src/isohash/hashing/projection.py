"""Affine projections whose quantised values are the same bit for bit on every machine.

A float32 matrix product depends on the BLAS, its threads and the batch, in its last bits. A code
must not. So every hash quantises u = (x - center) W + offset in two steps:

1. u in float32, with a rigorous bound on its error whatever the order of summation;
2. where a quantiser's threshold lies within that bound, u again as the correctly rounded sum of
   its exact terms (a product of two float32 is exact in float64, and `math.fsum` rounds the sum
   once), which is the definition of u.

Outside the bound step 1 decides as step 2 would, so the codes do not depend on how step 1 was
computed, as long as each of its sums of d products uses d float32 (or better) multiplications and
additions; bfloat16, TF32 and Strassen-like products break that promise and must not be used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash import native
from isohash.errors import InputError

BLOCK_VALUES = 1 << 20  # projections per block: 4 MB of float32, which stay in a core's caches
PAIRS = 1 << 14  # (row, column) pairs settled at once in float64
UNIT32 = 2.0**-24  # unit roundoff of float32
UNIT64 = 2.0**-53
SLACK = 1.001  # covers the rounding of the bounds themselves, about 1e-7 relative


@dataclass(frozen=True, eq=False)
class Projection:
    """u = (x - center) @ weights + offsets, all float32: shapes (d,), (d, m) and (m,).

    `slack` is the absolute rounding error of what the quantiser does with u before it compares:
    2^-22 covers the distance of u to an integer against a threshold of size at most 1.
    """

    weights: NDArray[np.float32]
    offsets: NDArray[np.float32]
    center: NDArray[np.float32]
    slack: float = 2.0**-22

    def blocks(self, X: ArrayLike, values: int = 0) -> Iterator[Block]:
        """Centred rows, their float32 projections and error bounds, block by block.

        `values` is how many numbers are held of each row, by default all its projections.
        """
        rows = as_rows(X, len(self.weights))
        step = max(16, BLOCK_VALUES // max(1, values or self.weights.shape[1]))
        for start in range(0, len(rows), step):
            with np.errstate(over="ignore", invalid="ignore"):
                x = np.asarray(rows[start : start + step] - self.center, dtype=np.float32)
            yield Block(self, slice(start, start + len(x)), x)

    @cached_property
    def directions(self) -> NDArray[np.float32]:
        """The columns of the weights as rows (m, d), so that each is one stretch of memory."""
        return np.ascontiguousarray(self.weights.T)

    @cached_property
    def largest_weight(self) -> float:
        """Largest Euclidean norm of a column of the weights."""
        squares = np.einsum("ij,ij->j", self.weights, self.weights, dtype=np.float64)
        return float(np.sqrt(squares.max(initial=0.0)))

    @cached_property
    def largest_offset(self) -> float:
        """Largest absolute offset."""
        return float(np.abs(self.offsets).max(initial=0.0))


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of one projection: `x` (n, d), centred."""

    projection: Projection
    rows: slice
    x: NDArray[np.float32]

    @cached_property
    def products(self) -> NDArray[np.float32]:
        """X @ weights (n, m) in float32."""
        with np.errstate(over="ignore", invalid="ignore"):
            return product(self.x, self.projection.weights)

    @cached_property
    def u(self) -> NDArray[np.float32]:
        """The float32 projections (n, m)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self.products + self.projection.offsets)

    @cached_property
    def norms(self) -> NDArray[np.float64]:
        """The Euclidean length of each row."""
        x = self.x.astype(np.float64)
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", x, x)))

    @cached_property
    def sizes(self) -> NDArray[np.float64]:
        """Bound on sum_i |x_i w_i| + |offset| of each row, by Cauchy and Schwarz."""
        projection = self.projection
        return np.asarray(self.norms * projection.largest_weight + projection.largest_offset)

    @cached_property
    def bounds(self) -> NDArray[np.float32]:
        """Bound on the error of each row's `u` as the quantiser sees it, shape (n,).

        With gamma_m = m v / (1 - m v) and v = 2^-24, a sum of d products has an error of at most
        gamma_d times the sum of their absolute values, in any order, with or without fused
        multiply-add (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); adding
        the offset makes it gamma_(d+1), and one more rounding of u +- bound gamma_(d+2). The
        last term covers products lost to underflow.
        """
        m = (self.x.shape[1] + 2) * UNIT32
        gamma = m / (1.0 - m) if m < 0.5 else math.inf
        underflow = self.x.shape[1] * 2.0**-126
        bounds = SLACK * gamma * self.sizes + self.projection.slack + underflow
        return np.minimum(bounds, np.finfo(np.float32).max).astype(np.float32)

    def exact(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
        """The projections of the pairs (rows, columns) in float64, with their error bounds.

        Yields (which of the pairs, values, bounds); `fsum` settles what the bounds leave open.
        """
        unit = SLACK * (self.x.shape[1] + 2) * UNIT64
        for start in range(0, len(rows), PAIRS):
            part = slice(start, start + PAIRS)
            values = self._dots(rows[part], columns[part])
            values += self.projection.offsets[columns[part]]
            yield part, values, unit * self.sizes[rows[part]] + np.finfo(np.float64).tiny

    def _dots(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
        """Sums of the exact products of the pairs, in float64, summed in any order."""
        if native.available():
            return native.dots(self.x, self.projection.directions, rows, columns)
        w = self.projection.directions[columns].astype(np.float64)
        return np.asarray(np.einsum("ij,ij->i", self.x[rows].astype(np.float64), w))

    def fsum(self, row: int, column: int) -> float:
        """The correctly rounded projection of one row on one column: the definition of u."""
        w = self.projection.weights[:, column].astype(np.float64)
        terms = self.x[row].astype(np.float64) * w
        return math.fsum([*terms.tolist(), float(self.projection.offsets[column])])


def product(x: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """X @ weights in float32: the one place where a BLAS decides about last bits."""
    result: NDArray[np.float32] = x @ weights
    return result


def as_rows(X: ArrayLike, dim: int | None = None) -> NDArray[np.float32]:
    """X as a float32 matrix (n, d); float64 values are rounded, anything unusable is refused."""
    array: NDArray[Any] = np.asarray(X)
    if np.iscomplexobj(array):
        raise InputError("Complex data not supported: pass real embeddings")
    try:
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(array, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"embeddings must be numbers, got {array.dtype}: {error}") from error
    if rows.ndim != 2:
        raise InputError(f"embeddings are a matrix (n, d), got shape {rows.shape}; use reshape")
    if dim is not None and rows.shape[1] != dim:
        raise InputError(f"this hash was drawn for {dim} dimensions, got {rows.shape[1]}")
    finite = np.isfinite(rows)
    if not finite.all():
        n_bad = int((~finite.all(axis=1)).sum())
        raise InputError(
            f"{n_bad} of {len(rows)} rows hold NaN, infinity or values too large for float32; "
            "leave those rows out"
        )
    return rows
