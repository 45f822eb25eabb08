"""The q-ary hash: a dithered uniform quantiser of random projections, symbols modulo q.

h(x) = floor(<w, y(x)> + t) mod q with w ~ N(0, s^2 I), t uniform on one step, and y(x) either the
embedding itself or random Fourier features of a kernel, y_k = cos(<omega_k, x> + b_k). Codes are
compared by Lee distance, the shorter way round the circle of symbols, or by its square.

The scale s is part of the hash: with s = 1, as usually printed, 500 features make projections
differ by about 22 steps, so that every symbol wraps and all distances look alike (q/4 each).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash import native
from isohash.errors import InputError
from isohash.hashing.closed_forms import dithered_table_mean, lee_table
from isohash.hashing.directions import draw_frequencies
from isohash.hashing.projection import BLOCK_VALUES, Block, Projection, as_rows
from isohash.hashing.saving import Kept, pack
from isohash.kernels.radial import RadialKernel, orthogonal_directions
from isohash.records import Codes, Metric

LEE_METRICS: tuple[Metric, ...] = ("lee", "squared_lee")
MAX_Q = 4096
LARGE_ALPHABET = 128
COSINE_DEGREE = 22  # of the Taylor polynomial of cos on half a turn: error below 2e-12


@dataclass(frozen=True, eq=False)
class Features:
    """cos(2 pi (x @ frequencies + phases)): frequencies (d, N) and phases (N,), both in turns.

    Every operation rounds on its own and in a fixed order, cosines are a polynomial, and the
    result is float32: the features are the same bits on every machine.
    """

    frequencies: NDArray[np.float32]
    phases: NDArray[np.float32]
    kernel: RadialKernel

    def __call__(self, X: ArrayLike, center: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (n, N) of the rows of X (n, d) after subtracting `center`."""
        rows = as_rows(X, len(self.frequencies))
        result = np.empty((len(rows), len(self.phases)), dtype=np.float32)
        step = max(1, BLOCK_VALUES // (8 * len(self.phases)))
        for start in range(0, len(rows), step):
            block = np.asarray(rows[start : start + step] - center, dtype=np.float32)
            result[start : start + step] = _cosine_of_turns(self._turns(block.astype(np.float64)))
        return result

    def _turns(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """X @ frequencies + phases, summed in the order of the dimensions; products are exact."""
        frequencies = self.frequencies.astype(np.float64)
        total = np.repeat(self.phases.astype(np.float64)[None], len(x), axis=0)
        for i in range(x.shape[1]):
            total += x[:, i, None] * frequencies[i]
        return total


def _cosine_of_turns(turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """cos(2 pi turns) by additions and multiplications only, which IEEE 754 fixes to the bit."""
    angle = turns - np.rint(turns)
    angle *= 2.0 * math.pi
    squared = angle * angle
    value = np.full_like(squared, (-1) ** (COSINE_DEGREE // 2) / math.factorial(COSINE_DEGREE))
    for power in range(COSINE_DEGREE - 2, -1, -2):
        value *= squared
        value += (-1) ** (power // 2) / math.factorial(power)
    return value


@dataclass(frozen=True, eq=False)
class LeeHash(Kept):
    """A drawn q-ary hash; codes of the same hash, and only those, can be compared.

    `weights` (m, n_symbols) in quantiser steps, m = d or the number of features; `dither`
    (n_symbols,) in steps; `scale` is s; `center` (d,) is subtracted from every row.
    """

    family: ClassVar[str] = "lee"

    weights: NDArray[np.float32]
    dither: NDArray[np.float32]
    center: NDArray[np.float32]
    q: int
    scale: float
    metric: Metric = "lee"
    features: Features | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def draw(
        cls,
        dim: int,
        n_symbols: int,
        q: int,
        scale: float,
        seed: int,
        *,
        kernel: RadialKernel | None = None,
        n_features: int | None = None,
        metric: Metric = "lee",
        orthogonal: bool = True,
        center: ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> LeeHash:
        """Draw the hash for embeddings of `dim` dimensions; `n_features` needs a kernel."""
        check_alphabet(n_symbols, q, metric)
        rng = np.random.default_rng(seed)
        features = None
        if n_features is not None and kernel is not None:
            frequencies = draw_frequencies(kernel, n_features, dim, rng, orthogonal)
            features = Features(frequencies, rng.random(n_features).astype(np.float32), kernel)
        m = n_features if features is not None and n_features is not None else dim
        weights = rng.standard_normal((n_symbols, m))
        if orthogonal:
            lengths = np.linalg.norm(weights, axis=1)
            weights = orthogonal_directions(n_symbols, m, rng) * lengths[:, None]
        return cls(
            np.ascontiguousarray(scale * weights.T, dtype=np.float32),
            rng.random(n_symbols).astype(np.float32),
            np.zeros(dim, np.float32) if center is None else np.asarray(center, np.float32),
            q,
            scale,
            metric,
            features,
            {**(metadata or {}), "seed": seed, "orthogonal": orthogonal},
        )

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that the hash takes."""
        return len(self.center)

    @property
    def n_symbols(self) -> int:
        """Symbols of one code."""
        return int(self.weights.shape[1])

    @cached_property
    def projection(self) -> Projection:
        """The hash's affine part, of the embedding or of its features."""
        center = self.center if self.features is None else np.zeros(len(self.weights), np.float32)
        return Projection(self.weights, self.dither, center)

    def encode(self, X: ArrayLike) -> Codes:
        """Codes of the rows of X (n, d): the same bits on every machine and in every batch."""
        y = X if self.features is None else self.features(X, self.center)
        parts = [self._encode_block(block) for block in self.projection.blocks(y)]
        empty = self._packed(np.empty((0, self.n_symbols), np.uint16))
        return self.codes(np.concatenate([empty, *parts]))

    def codes(self, packed: NDArray[np.uint8]) -> Codes:
        """Stored bytes of this hash as codes again."""
        return Codes(packed, self.n_symbols, self.q, self.metric, hash_digest=self.digest)

    def _packed(self, symbols: NDArray[np.uint16]) -> NDArray[np.uint8]:
        return Codes.from_symbols(symbols, self.q, self.metric).packed

    def _encode_block(self, block: Block) -> NDArray[np.uint8]:
        symbols, rows, columns = floor_modulo(block, self.q)
        if len(rows):
            symbols[rows, columns] = self._settle(block, rows, columns)
        return self._packed(symbols)

    def _settle(
        self, block: Block, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> NDArray[np.uint16]:
        """The symbols of the pairs (rows, columns), from u to full accuracy."""
        symbols = np.empty(len(rows), dtype=np.uint16)
        for part, u, bounds in block.exact(rows, columns):
            symbols[part] = np.mod(np.floor(u), self.q)
            for i in np.flatnonzero(np.abs(u - np.rint(u)) <= bounds):
                exact = block.fsum(int(rows[part][i]), int(columns[part][i]))
                symbols[part.start + i] = math.floor(exact) % self.q
        return symbols

    def expected_distance(self, r: ArrayLike) -> NDArray[np.float64]:
        """Expected distance of two codes whose embeddings are r apart, any shape.

        For features the projections differ by s sqrt(N (1 - K(r))), which holds on average over
        the features drawn; it levels off where the kernel does.
        """
        table = lee_table(self.q, squared=self.metric == "squared_lee")
        return self.n_symbols * dithered_table_mean(self.deviation(r), table)

    def deviation(self, r: ArrayLike) -> NDArray[np.float64]:
        """Standard deviation, in steps, of a projection's difference at distance r."""
        distance = np.asarray(r, dtype=np.float64)
        if self.features is not None:
            share = 1.0 - self.features.kernel.of_distance(distance)
            distance = np.sqrt(len(self.features.phases) * share)
        return self.scale * distance

    def to_bytes(self) -> bytes:
        """The whole hash, without pickle; `load_hash` reads it."""
        tensors: dict[str, NDArray[Any]] = {
            "weights": self.weights,
            "dither": self.dither,
            "center": self.center,
        }
        if self.features is not None:
            tensors["frequencies"] = self.features.frequencies
            tensors["phases"] = self.features.phases
            tensors["particles"] = self.features.kernel.particles
        header = {"q": self.q, "scale": self.scale, "metric": self.metric}
        return pack(self.family, tensors, {**header, "metadata": dict(self.metadata)})

    @classmethod
    def from_parts(cls, tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> LeeHash:
        """Rebuild what `to_bytes` wrote."""
        features = None
        if "frequencies" in tensors:
            kernel = RadialKernel(tensors["particles"])
            features = Features(tensors["frequencies"], tensors["phases"], kernel)
        return cls(
            tensors["weights"],
            tensors["dither"],
            tensors["center"],
            int(header["q"]),
            float(header["scale"]),
            header["metric"],
            features,
            header["metadata"],
        )


def floor_modulo(
    block: Block, q: int
) -> tuple[NDArray[np.uint16], NDArray[np.intp], NDArray[np.intp]]:
    """Symbols floor(u) mod q (n, m), and the rows and columns too close to an integer."""
    if native.available() and q <= native.LARGEST_WRAPPED_Q:
        symbols, (rows, columns) = native.wrap_symbols(
            block.products, block.projection.offsets, q, block.bounds
        )
        return symbols.astype(np.uint16), rows, columns
    with np.errstate(invalid="ignore"):  # an overflowed projection is settled exactly afterwards
        u = block.u
        near = ~(np.abs(u - np.rint(u)) > block.bounds[:, None])
        whole = np.where(near, 0.0, np.floor(u))
    rows, columns = np.nonzero(near)
    return np.mod(whole, q).astype(np.uint16), rows, columns


def best_deviation(q: int, metric: Metric = "lee") -> float:
    """The deviation, in steps, at which q-ary symbols tell a relative change of distance best.

    Maximises (d mean / d ln u)^2 / variance, the inverse of the squared relative error of one
    symbol (research table: 0.43 for q = 2, 0.80 for 4, 1.43 for 8, 1.69 for 10, 6.5 for 50).
    """
    if q > LARGE_ALPHABET:  # from here on it hardly changes as a share of q
        return best_deviation(LARGE_ALPHABET, metric) * q / LARGE_ALPHABET
    table = lee_table(q, squared=metric == "squared_lee")
    u = np.geomspace(0.05, 0.6 * q, 600)
    mean = dithered_table_mean(u, table)
    variance = dithered_table_mean(u, table * table) - mean * mean
    efficiency = np.gradient(mean, np.log(u)) ** 2 / variance
    return float(u[np.argmax(efficiency)])


def check_alphabet(n_symbols: int, q: int, metric: str) -> None:
    """Refuse what no q-ary hash can be."""
    if n_symbols < 1:
        raise InputError(f"n_symbols must be at least 1, got {n_symbols}")
    if not 2 <= q <= MAX_Q:
        raise InputError(f"q must be 2 to {MAX_Q} symbols, got {q}")
    if metric not in LEE_METRICS:
        raise InputError(f"metric must be one of {', '.join(LEE_METRICS)}, got {metric!r}")
