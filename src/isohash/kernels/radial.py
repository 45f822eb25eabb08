"""Radial kernels by Schoenberg's representation, and draws from their spectral measure.

A radial kernel that is positive definite in every dimension is a mixture of Gaussians,
K(x, y) = integral exp(-xi |x - y|^2) mu(d xi) (Schoenberg 1938); here mu is an empirical measure
of particles. Since exp(-xi r^2) is the characteristic function of N(0, 2 xi I), its random
features need frequencies omega ~ N(0, 2 xi I), the factor 2 included.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.distances import distance_matrix
from isohash.errors import InputError
from isohash.whole_files import BY_UMASK, write_whole

FORMAT = "isohash radial kernel 1"


@dataclass(frozen=True, eq=False)
class RadialKernel:
    """K(x, y) = mean_i exp(-xi_i |x - y|^2) over the `particles` xi_i, shape (N,), xi_i >= 0.

    Example:
        >>> import isohash
        >>> kernel = isohash.RadialKernel([0.5, 2.0])
        >>> kernel([[0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]).round(3).tolist()
        [[1.0, 0.371]]
    """

    particles: NDArray[np.float64]

    def __init__(self, particles: ArrayLike) -> None:
        array = np.atleast_1d(np.asarray(particles, dtype=np.float64))
        if array.ndim != 1 or array.size == 0:
            raise InputError(f"particles must be a non-empty vector, got shape {array.shape}")
        if not np.isfinite(array).all() or array.min() < 0:
            raise InputError(f"particles must be finite and >= 0, got minimum {array.min()}")
        object.__setattr__(self, "particles", array)

    def __call__(self, X: ArrayLike, Y: ArrayLike) -> NDArray[np.float64]:
        """Kernel matrix (n, m) between the rows of X (n, d) and of Y (m, d)."""
        x, y = (np.atleast_2d(np.asarray(a, dtype=np.float64)) for a in (X, Y))
        return self.of_distance(distance_matrix(x, y))

    def of_distance(self, r: ArrayLike) -> NDArray[np.float64]:
        """K as a function of the Euclidean distance r, any shape."""
        squared = np.square(np.asarray(r, dtype=np.float64))
        total = np.zeros_like(squared)
        for xi in self.particles:
            total += np.exp(-xi * squared)
        return total / len(self.particles)

    def save(self, path: str | Path) -> None:
        """Write the particles to a JSON file; `load` gives back the same bits."""
        text = json.dumps({"format": FORMAT, "particles": self.particles.tolist()})
        write_whole(path, [f"{text}\n".encode()], BY_UMASK)

    @classmethod
    def load(cls, path: str | Path) -> RadialKernel:
        """Read a kernel written by `save`."""
        try:
            kept = json.loads(Path(path).read_text())
            if kept["format"] != FORMAT:
                raise InputError(f"{path} has kernel format {kept['format']}, not {FORMAT}")
            return cls(kept["particles"])
        except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{path} does not hold a kernel: {error}") from error

    def sample_frequencies(
        self, n: int, dim: int, rng: np.random.Generator, orthogonal: bool = False
    ) -> NDArray[np.float64]:
        """Draw n frequencies omega (n, dim): xi ~ mu, then omega ~ N(0, 2 xi I).

        Orthogonal: blocks of `dim` mutually orthogonal directions keep the drawn lengths, so that
        each frequency has its law unchanged but the set covers all directions evenly (Yu et al.
        2016, "Orthogonal Random Features").
        """
        xi = rng.choice(self.particles, size=n)
        omega = np.sqrt(2.0 * xi)[:, None] * rng.standard_normal((n, dim))
        if not orthogonal:
            return omega
        return orthogonal_directions(n, dim, rng) * np.linalg.norm(omega, axis=1)[:, None]


def orthogonal_directions(n: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Unit rows (n, dim), each uniform on the sphere, orthogonal within blocks of `dim` rows."""
    rows = np.empty((n, dim))
    for start in range(0, n, dim):
        matrix, triangle = np.linalg.qr(rng.standard_normal((dim, dim)))
        signs = np.where(np.diagonal(triangle) < 0, -1.0, 1.0)  # makes the law uniform (Haar)
        rows[start : start + dim] = (matrix * signs).T[: n - start]
    return rows
