"""Random directions, phases and thresholds of a hash, drawn once from a seed.

Orthogonal directions come from LAPACK's QR, whose last bits differ between BLAS builds: the same
seed gives the same law everywhere, the same bytes only on one build. That is why a hash is drawn
once and saved: everything encoded with the saved hash agrees on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.kernels.radial import RadialKernel


def draw_frequencies(
    kernel: RadialKernel, n: int, dim: int, rng: np.random.Generator, orthogonal: bool
) -> NDArray[np.float32]:
    """Frequencies (dim, n) in turns per unit of distance, from the kernel's spectral measure.

    Orthogonal: blocks of `dim` mutually orthogonal directions keep the drawn lengths, so that each
    frequency has its law unchanged but the set covers all directions evenly (Yu et al. 2016,
    "Orthogonal Random Features").
    """
    omega = kernel.sample_frequencies(n, dim, rng)
    if orthogonal:
        lengths = np.linalg.norm(omega, axis=1)
        omega = orthogonal_directions(n, dim, rng) * lengths[:, None]
    return np.ascontiguousarray((omega / (2.0 * np.pi)).T, dtype=np.float32)


def orthogonal_directions(n: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Unit rows (n, dim), each uniform on the sphere, orthogonal within blocks of `dim` rows."""
    rows = np.empty((n, dim))
    for start in range(0, n, dim):
        matrix, triangle = np.linalg.qr(rng.standard_normal((dim, dim)))
        signs = np.where(np.diagonal(triangle) < 0, -1.0, 1.0)  # makes the law uniform (Haar)
        rows[start : start + dim] = (matrix * signs).T[: n - start]
    return rows


def draw_unit(n: int, rng: np.random.Generator, stratified: bool) -> NDArray[np.float64]:
    """N values uniform on [0, 1): independent, or one in each of n equal strata, shuffled."""
    if not stratified:
        return rng.random(n)
    return (rng.permutation(n) + rng.random(n)) / n
