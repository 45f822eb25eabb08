"""What kernels are worth for retrieval: Dice of every kernel, for one draw of data and hash.

Codes are made with gamma = 1 (the literature's untrained kernel), the median heuristic, single
bandwidths from a grid, the closed rule of `KernelHasher`, and kernels learned for alignment (with
pseudo-labels from k-means) and for isometry; each is scored by the Dice of its nearest against the
Euclidean nearest, at equal bits. "Best of the grid" picks the bandwidth with the best mean score on
the very queries that it is scored on, separately for each code length: an oracle, not a method.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import t as student

from isohash.distances import nearest
from isohash.evaluation.kernel.data import EmbeddedSet, KernelSettings
from isohash.evaluation.kit.metrics import expected_overlap
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.index.flat import distances
from isohash.kernels.learning.learner import KernelLearner
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import median_kernel

Row = dict[str, Any]

# Grid of single bandwidths: gamma times the squared median distance to the k-th neighbour.
GRID = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.6, 3.2)
BEST = "best of the grid"
CONFIDENCE = 0.95


def kernels(
    vectors: EmbeddedSet, seed: int, settings: KernelSettings
) -> dict[str, tuple[RadialKernel | None, float]]:
    """Every kernel of the comparison with the seconds that it took; None is the hasher's rule."""
    base, rng = vectors.base.astype(np.float64), np.random.default_rng(seed)
    shared: dict[str, Any] = {
        "n_particles": settings.n_particles, "n_steps": settings.n_steps, "random_state": seed,
        "n_neighbours": settings.k,
    }  # fmt: skip
    makers: dict[str, Callable[[], RadialKernel]] = {
        "median": lambda: median_kernel(base, rng),
        "alignment": lambda: KernelLearner("alignment", **shared).fit(base).kernel,
        "isometry": lambda: KernelLearner("isometry", **shared).fit(base).kernel,
    }
    made: dict[str, tuple[RadialKernel | None, float]] = {
        "gamma = 1": (RadialKernel([1.0]), 0.0), "rule": (None, 0.0),
    }  # fmt: skip
    for name, make in makers.items():
        start = time.perf_counter()
        kernel = make()
        made[name] = kernel, time.perf_counter() - start
    rank = neighbour_distance(base, settings.k)
    for factor in GRID:
        made[f"grid {factor:g}"] = RadialKernel([factor / rank**2]), 0.0
    return made


def neighbour_distance(base: NDArray[np.floating], k: int) -> float:
    """Median distance from 256 rows to their k-th nearest other row."""
    return float(np.median(np.partition(cdist(base[:256], base), k, axis=1)[:, k]))


def retrieval(name: str, vectors: EmbeddedSet, seed: int, settings: KernelSettings) -> list[Row]:
    """Dice of every kernel at every code length, for one draw of data and hash."""
    truth = nearest(vectors.base, vectors.queries, settings.k)
    return [
        {
            "dataset": name, "method": method, "bits": bits, "seed": seed,
            "dice": dice(vectors, kernel, bits, seed, truth), "seconds": round(seconds, 3),
            "bandwidth": None if kernel is None else float(np.median(kernel.particles)),
        }
        for method, (kernel, seconds) in kernels(vectors, seed, settings).items()
        for bits in settings.bits
    ]  # fmt: skip


def dice(
    vectors: EmbeddedSet,
    kernel: RadialKernel | None,
    bits: int,
    seed: int,
    truth: NDArray[np.int64],
) -> float:
    """Mean Dice of the nearest by code against the `truth` (n_queries, k)."""
    found = code_distances(vectors, kernel, bits, seed)
    return round(float(expected_overlap(found, truth, truth.shape[1]).mean()), 6)


def code_distances(
    vectors: EmbeddedSet, kernel: RadialKernel | None, bits: int, seed: int
) -> NDArray[np.int32]:
    """Hamming distances (n_queries, n) of codes with random thresholds."""
    hasher = KernelHasher(bits, kernel, random_state=seed).fit(vectors.base)
    return distances(hasher.transform(vectors.queries), hasher.transform(vectors.base))


def summary(rows: list[Row]) -> list[Row]:
    """Mean Dice over seeds and its difference to the grid's best, each with a 95 % half width.

    The difference is paired: both were measured on the same data, queries and seed of the hash.
    """
    groups: dict[tuple[str, int], dict[str, NDArray[np.float64]]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        group = groups.setdefault((row["dataset"], row["bits"]), {})
        group[row["method"]] = np.append(group.get(row["method"], []), row["dice"])
    table = []
    for (dataset, bits), scores in groups.items():
        grid = {name: score for name, score in scores.items() if name.startswith("grid ")}
        best = max(grid.values(), key=np.mean)
        for method, score in {**scores, BEST: best}.items():
            mean, half_width = interval(score)
            difference, difference_half_width = interval(score - best)
            table.append({
                "dataset": dataset, "bits": bits, "method": method, "n_seeds": len(score),
                "dice": mean, "half_width": half_width,
                "minus_best": difference, "minus_best_half_width": difference_half_width,
            })  # fmt: skip
    return table


def interval(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and half width of its confidence interval by Student's t."""
    n = len(scores)
    half = 0.0
    if n > 1:
        quantile = student.ppf(0.5 + CONFIDENCE / 2.0, n - 1)
        half = float(quantile * np.std(scores, ddof=1) / np.sqrt(n))
    return round(float(np.mean(scores)), 4), round(half, 4)
