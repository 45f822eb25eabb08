"""The distance at which a ranking must be sharp, measured on the data.

Bits tell distances apart best near one distance, set by the kernel's bandwidth. For finding the
k nearest, it is somewhat beyond the typical distance r0 of the k-th neighbour, not at the median of
all pairs, which is several times larger in clustered data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.distances import distance_matrix
from isohash.errors import InputError

BEYOND = 1.25  # aim so many times r0: what lies just outside must not be mistaken (docs/hashing.md)
NEIGHBOUR = 50  # the k of "k-th neighbour"
QUERIES = 256  # sampled rows whose neighbours are looked up
DATABASE = 8192  # sampled rows in which they are looked up
# Distances to which float32 frequencies and projections can be tuned, with room for tails and q.
SMALLEST, LARGEST = 1e-30, 1e30


def neighbour_distance(
    X: NDArray[np.float32], rng: np.random.Generator, k: int = NEIGHBOUR
) -> float:
    """Median distance of a row of X (n, d) to its k-th nearest other row, from a seeded sample.

    In a sample of m of n rows the k-th neighbour is about the (k m / n)-th, which scales the rank
    to the database. Small sets use the nearest tenth. Where even that neighbour is an
    exact duplicate, the nearest row that differs counts.
    """
    if len(X) < 2:
        raise InputError(
            f"n_samples = {len(X)}: choosing a bandwidth needs at least 2 rows; give it more"
        )
    chosen = rng.permutation(len(X))[:DATABASE]
    database = X[chosen].astype(np.float64)
    database -= database.mean(axis=0)
    distances = distance_matrix(database[:QUERIES], database)
    np.fill_diagonal(distances, np.inf)  # the queries are the database's first rows
    k = min(k, max(1, -(-len(X) // 10)))
    rank = min(max(1, round(k * len(database) / len(X))), len(database) - 1)
    nearest = np.partition(distances, rank - 1, axis=1)[:, rank - 1]
    typical = float(np.median(nearest))
    if typical > 0:
        return _usable(typical)
    nearest = np.where(distances > 0, distances, np.inf).min(axis=1)
    if not np.isfinite(nearest).any():
        raise InputError("all rows are equal: there is no distance to tune the hash to")
    return _usable(float(np.median(nearest[np.isfinite(nearest)])))


def _usable(typical: float) -> float:
    """A distance that frequencies in float32 can be tuned to."""
    if not SMALLEST <= typical <= LARGEST:
        raise InputError(
            f"rows lie {typical:.3g} apart, which float32 cannot turn into codes: multiply them by "
            "a factor, so that the distance is near 1"
        )
    return typical
