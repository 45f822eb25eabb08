"""When a mixture of bandwidths helps: over wide ranges of distance, and on data of two scales.

First by the closed form: the bits that a relative error takes at every distance of a range, for
gamma = 1, the best single bandwidth, sixteen scales evenly spread, and the mixture that the
particles of the isometry find. Then by measurement: distances read off drawn codes. Last by
retrieval: vectors whose clusters have two widths.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from isohash.distances import nearest
from isohash.evaluation.kernel.data import MixtureSettings, two_scales
from isohash.evaluation.kernel.retrieval import BEST, dice, interval
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.hashing.resolution import response
from isohash.kernels.learning.coordinates import InLogarithm, interval_of
from isohash.kernels.learning.isometry import Isometry, bit_variance
from isohash.kernels.learning.langevin import Langevin
from isohash.kernels.learning.learner import LARGEST_USE, SMALLEST_USE, KernelLearner
from isohash.kernels.radial import RadialKernel
from isohash.kernels.target_alignment import Pairs

Row = dict[str, Any]

N_DISTANCES = 81  # of a range, evenly on a logarithmic scale
N_SINGLE = 400  # single bandwidths that are tried
DIM = 64  # of the vectors whose distances are read off codes
# Beyond this relative error a reading is no longer linear in the code distance.
READABLE = 0.1
# Single bandwidths tried on data of two scales, in units of both scales' neighbour distances.
N_GRID = 16
MOST_BITS = 1e12


def bits_needed(settings: MixtureSettings) -> list[Row]:
    """Bits for a relative `error`, a panel per range, threshold and kernel.

    `worst` and `mean` (geometric) are over the distances `r`; None is more than can be had.
    """
    panels = []
    for near, far in settings.ranges:
        r = np.geomspace(near, far, N_DISTANCES)
        for dither in (True, False):
            for name, kernel in range_kernels(r, dither, settings).items():
                variance = bit_variance(kernel.particles, r, dither)
                bits = [_bits(v, settings) for v in variance]
                panels.append({
                    "near": near, "far": far, "dither": dither, "kernel": name,
                    "worst": _bits(variance.max(), settings),
                    "mean": None if None in bits else _bits(_geometric_mean(variance), settings),
                    "r": np.round(r, 5).tolist(), "bits": bits,
                })  # fmt: skip
    return panels


def _geometric_mean(values: NDArray[np.float64]) -> float:
    return float(np.exp(np.log(values).mean()))


def _bits(variance: float, settings: MixtureSettings) -> float | None:
    """Bits to three digits; None where more than `MOST_BITS` would be needed."""
    needed = variance / settings.error**2
    return float(f"{needed:.3g}") if needed < MOST_BITS else None


def range_kernels(
    r: NDArray[np.float64], dither: bool, settings: MixtureSettings
) -> dict[str, RadialKernel]:
    """The kernels that are compared over distances r (n,)."""
    objective, pairs = Isometry(dither), Pairs(r * r, np.zeros_like(r))
    bounds = (SMALLEST_USE / r[-1] ** 2, LARGEST_USE / r[0] ** 2)
    singles = np.geomspace(*bounds, N_SINGLE)
    best = min(singles, key=lambda xi: objective.value(np.array([xi]), pairs))
    return {
        "gamma = 1": RadialKernel([1.0]),
        "16 scales, 0.001 to 1": RadialKernel(np.geomspace(1e-3, 1.0, 16)),
        "best single bandwidth": RadialKernel([best]),
        "learned mixture": RadialKernel(_descended(objective, pairs, bounds, settings)),
    }


def _descended(
    objective: Isometry, pairs: Pairs, bounds: tuple[float, float], settings: MixtureSettings
) -> NDArray[np.float64]:
    """Particles that descended the isometry on all of the distances, as `KernelLearner` does."""
    method = Langevin(interval_of(bounds, logarithmic=True), half_life=500.0)
    rng = np.random.default_rng(0)
    u = rng.uniform(method.interval.lower, method.interval.upper, settings.n_particles)
    for m in range(settings.n_steps):
        u, _ = method.step(u, InLogarithm(objective).gradient(u, pairs), method.eta(m), rng)
    return np.exp(u)


def readings(settings: MixtureSettings) -> list[Row]:
    """The same numbers measured: the spread of distances read off codes, as bits for `error`."""
    rows = []
    for near, far in settings.ranges:
        r = np.geomspace(near, far, N_DISTANCES)
        some = np.geomspace(near, far, settings.read_at)
        for name, kernel in range_kernels(r, True, settings).items():
            expected = bit_variance(kernel.particles, some, True)
            for at, variance in zip(some, expected, strict=True):
                if variance / settings.read_bits > READABLE**2:
                    continue
                error = _spread(_log_ratios(kernel, at, settings))
                rows.append({
                    "near": near, "far": far, "kernel": name, "r": round(float(at), 5),
                    "bits": _bits(error**2 * settings.read_bits, settings),
                    "expected": _bits(variance, settings),
                })  # fmt: skip
    return rows


def _spread(values: NDArray[np.float64]) -> float:
    """Half of the central 68 %: the deviation of a normal law, whatever a few outliers read."""
    low, high = np.quantile(values, [0.1587, 0.8413])
    return float(high - low) / 2.0


def _log_ratios(kernel: RadialKernel, r: float, settings: MixtureSettings) -> NDArray[np.float64]:
    """Logarithm of distance read off codes over true distance, for all pairs and draws."""
    ratios = []
    for seed in range(settings.read_repeats):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((settings.read_pairs, DIM))
        away = rng.standard_normal(x.shape)
        y = x + r * away / np.linalg.norm(away, axis=1, keepdims=True)
        hasher = KernelHasher(settings.read_bits, kernel, orthogonal=False, random_state=seed)
        hasher.fit(x.astype(np.float32))
        a, b = (hasher.transform(rows.astype(np.float32)).symbols() for rows in (x, y))
        ratios.append(np.log(response(hasher.hash_).invert((a != b).mean(axis=1)) / r))
    return np.concatenate(ratios)


def two_widths(seed: int, settings: MixtureSettings, n_queries: int, k: int) -> list[Row]:
    """Dice on clusters of two widths: the learned kernel, and single bandwidths from a grid."""
    rows = []
    for factor in settings.factors:
        vectors = two_scales(factor, settings.n_points, n_queries, seed)
        truth = nearest(vectors.base, vectors.queries, k)
        learner = KernelLearner(
            "isometry", settings.n_particles, seed, n_steps=settings.n_steps, n_neighbours=k
        )
        tried: dict[str, RadialKernel] = {"isometry": learner.fit(vectors.base).kernel}
        for number, xi in enumerate(_grid(vectors.base, k)):
            tried[f"grid {number}"] = RadialKernel([xi])
        rows += [
            {
                "dataset": f"widths {factor:g} apart", "factor": factor, "method": method,
                "bits": bits, "seed": seed, "dice": dice(vectors, kernel, bits, seed, truth),
            }
            for method, kernel in tried.items()
            for bits in settings.bits
        ]  # fmt: skip
    return rows


def _grid(base: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """Bandwidths from the widest cluster's best to the narrowest one's, and a little beyond."""
    x = base[:256].astype(np.float64)
    ranks = np.partition(cdist(x, base), k, axis=1)[:, k]
    near, far = np.quantile(ranks, [0.1, 0.9])
    return np.geomspace(0.2 / far**2, 2.0 / near**2, N_GRID)


def widths_table(rows: list[Row]) -> list[Row]:
    """Mean Dice and half widths over seeds, per ratio of the widths and code length."""
    table = []
    for factor, bits in dict.fromkeys((row["factor"], row["bits"]) for row in rows):
        scores: dict[str, list[float]] = {}
        for row in sorted(rows, key=lambda row: row["seed"]):
            if (row["factor"], row["bits"]) == (factor, bits):
                scores.setdefault(row["method"], []).append(row["dice"])
        grid = [np.array(score) for name, score in scores.items() if name.startswith("grid ")]
        best, learned = max(grid, key=np.mean), np.array(scores["isometry"])
        line: Row = {"factor": factor, "bits": bits}
        pairs = {BEST: best, "isometry": learned, "difference": learned - best}
        for name, score in pairs.items():
            line[name], line[f"{name} ±"] = interval(score)
        table.append(line)
    return table
