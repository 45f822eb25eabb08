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
    """Frequencies (dim, n) in turns per unit of distance, from the kernel's spectral measure."""
    omega = kernel.sample_frequencies(n, dim, rng, orthogonal)
    return np.ascontiguousarray((omega / (2.0 * np.pi)).T, dtype=np.float32)


def draw_unit(n: int, rng: np.random.Generator, stratified: bool) -> NDArray[np.float64]:
    """N values uniform on [0, 1): independent, or one in each of n equal strata, shuffled."""
    if not stratified:
        return rng.random(n)
    return (rng.permutation(n) + rng.random(n)) / n
