"""The binary kernel hash: one bit is the sign of a random cosine feature plus a threshold.

bit(x) = [cos(<omega, x> + b) + t > 0], omega from the spectral measure of a radial kernel, b
uniform; t uniform on [-1, 1] is Raginsky and Lazebnik's hash (NIPS 2009), t = 0 the sign-cosine
hash. In turns, u = <omega, x>/2 pi + b/2 pi, the bit says whether u lies within arccos(-t)/2 pi
of an integer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash import native
from isohash.errors import InputError
from isohash.hashing.closed_forms import disagreement
from isohash.hashing.directions import draw_frequencies, draw_unit
from isohash.hashing.projection import Block, Projection
from isohash.hashing.saving import Kept, pack
from isohash.kernels.radial import RadialKernel
from isohash.records import Codes


@dataclass(frozen=True, eq=False)
class CosineHash(Kept):
    """A drawn binary hash; codes of the same hash, and only those, can be compared.

    `frequencies` (d, n_bits) in turns per unit, `phases` (n_bits,) in turns, `thresholds`
    (n_bits,) the half width of the arc whose bit is 1, in turns (1/4 for t = 0). `center` (d,) is
    subtracted from every row, which changes no distance and keeps the projections small. `dither`
    says whether thresholds are random, `kernel` is the one the frequencies were drawn from.
    """

    family: ClassVar[str] = "cosine"

    frequencies: NDArray[np.float32]
    phases: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    center: NDArray[np.float32]
    kernel: RadialKernel
    dither: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def draw(
        cls,
        kernel: RadialKernel,
        dim: int,
        n_bits: int,
        seed: int,
        *,
        dither: bool = True,
        orthogonal: bool = True,
        stratified: bool = False,
        center: ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> CosineHash:
        """Draw the hash of a kernel for embeddings of `dim` dimensions."""
        if n_bits < 1:
            raise InputError(f"n_bits must be at least 1, got {n_bits}")
        rng = np.random.default_rng(seed)
        frequencies = draw_frequencies(kernel, n_bits, dim, rng, orthogonal)
        phases = draw_unit(n_bits, rng, stratified)
        t = 2.0 * draw_unit(n_bits, rng, stratified) - 1.0 if dither else np.zeros(n_bits)
        return cls(
            frequencies,
            phases.astype(np.float32),
            (np.arccos(-t) / (2.0 * np.pi)).astype(np.float32),
            np.zeros(dim, np.float32) if center is None else np.asarray(center, np.float32),
            kernel,
            dither,
            {**(metadata or {}), "seed": seed, "orthogonal": orthogonal, "stratified": stratified},
        )

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that the hash takes."""
        return int(self.frequencies.shape[0])

    @property
    def n_bits(self) -> int:
        """Bits of one code."""
        return int(self.frequencies.shape[1])

    @cached_property
    def projection(self) -> Projection:
        """The hash's affine part."""
        return Projection(self.frequencies, self.phases, self.center)

    def encode(self, X: ArrayLike) -> Codes:
        """Codes of the rows of X (n, d): the same bits on every machine and in every batch."""
        parts = [self._encode_block(block) for block in self.projection.blocks(X)]
        n_bytes = -(-self.n_bits // 8)
        packed = np.concatenate(parts) if parts else np.empty((0, n_bytes), np.uint8)
        return self.codes(packed)

    def codes(self, packed: NDArray[np.uint8]) -> Codes:
        """Stored bytes of this hash as codes again."""
        return Codes(packed, self.n_bits, 2, "hamming", hash_digest=self.digest)

    def _encode_block(self, block: Block) -> NDArray[np.uint8]:
        packed, rows, columns = wrap_threshold_pack(block, self.thresholds)
        if len(rows):
            _write_bits(packed, rows, columns, self._settle(block, rows, columns))
        return packed

    def _settle(
        self, block: Block, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> NDArray[np.bool_]:
        """The bits of the pairs (rows, columns), from u to full accuracy."""
        bits = np.empty(len(rows), dtype=bool)
        for part, u, bounds in block.exact(rows, columns):
            thresholds = self.thresholds[columns[part]].astype(np.float64)
            gap = np.abs(u - np.rint(u)) - thresholds
            for i in np.flatnonzero(~(np.abs(gap) > bounds)):
                exact = block.fsum(int(rows[part][i]), int(columns[part][i]))
                gap[i] = abs(exact - np.rint(exact)) - thresholds[i]
            bits[part] = gap < 0
        return bits

    def expected_distance(self, r: ArrayLike) -> NDArray[np.float64]:
        """Expected Hamming distance of two codes whose embeddings are r apart, any shape."""
        return self.n_bits * self.disagreement(r)

    def collision_probability(self, r: ArrayLike) -> NDArray[np.float64]:
        """P[one bit is equal] for embeddings r apart (Raginsky and Lazebnik, Lemma 1)."""
        return 1.0 - self.disagreement(r)

    def disagreement(self, r: ArrayLike) -> NDArray[np.float64]:
        """P[one bit differs] for embeddings r apart: at most 4/pi^2, or 1/2 for t = 0."""
        return disagreement(self.kernel, r, self.dither)

    def to_bytes(self) -> bytes:
        """The whole hash, without pickle; `load_hash` reads it."""
        tensors: dict[str, NDArray[Any]] = {
            "frequencies": self.frequencies,
            "phases": self.phases,
            "thresholds": self.thresholds,
            "center": self.center,
            "particles": self.kernel.particles,
        }
        return pack(self.family, tensors, {"dither": self.dither, "metadata": dict(self.metadata)})

    @classmethod
    def from_parts(
        cls, tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any]
    ) -> CosineHash:
        """Rebuild what `to_bytes` wrote."""
        return cls(
            tensors["frequencies"],
            tensors["phases"],
            tensors["thresholds"],
            tensors["center"],
            RadialKernel(tensors["particles"]),
            bool(header["dither"]),
            header["metadata"],
        )


def wrap_threshold_pack(
    block: Block, thresholds: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.intp], NDArray[np.intp]]:
    """Bits |u - nearest integer| < threshold, packed, and the pairs too close to call.

    Returns packed (n, ceil(m/8)) in the layout of `numpy.packbits` and the rows and columns where
    the comparison is within the block's bounds of a tie.
    """
    if native.available():
        packed, (rows, columns) = native.threshold_turns(
            block.products, block.projection.offsets, thresholds, block.bounds
        )
        return packed, rows, columns
    with np.errstate(invalid="ignore"):  # an overflowed projection is NaN here: too close to call
        u = block.u - np.rint(block.u)
    np.abs(u, out=u)
    u -= thresholds
    packed = np.packbits(u < 0, axis=1)
    np.abs(u, out=u)
    rows, columns = np.nonzero(~(u > block.bounds[:, None]))
    return packed, rows, columns


def _write_bits(
    packed: NDArray[np.uint8],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    bits: NDArray[np.bool_],
) -> None:
    """Overwrite single bits of packed codes in place."""
    masks = (128 >> (columns % 8)).astype(np.uint8)
    np.bitwise_and.at(packed, (rows, columns // 8), ~masks)
    np.bitwise_or.at(packed, (rows, columns // 8), np.where(bits, masks, 0).astype(np.uint8))
