"""The kernel-learning experiment: what a learned kernel is worth for retrieval, and what it costs.

For each data set and seed, codes are made with gamma = 1 (the literature's untrained kernel), the
median heuristic, single bandwidths from a grid, the closed rule of `KernelHasher`, and kernels
learned for alignment (with pseudo-labels from k-means) and for isometry; each is scored by the
Dice of its nearest against the Euclidean nearest, at equal bits. "Best of the grid" picks the
bandwidth with the best mean score on the very queries it is scored on, separately for each code
length: it is an oracle, not a method.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from isohash.errors import InputError
from isohash.evaluation import kernel_figures, mean_field
from isohash.evaluation.encoders import as_float, read_slices
from isohash.evaluation.mean_field import MeanFieldSettings
from isohash.evaluation.metrics import expected_overlap
from isohash.evaluation.parts import Parts
from isohash.evaluation.results import digest, write_results
from isohash.features.pca import fit_pca
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.index.flat import distances
from isohash.kernels.alignment import Alignment, LabelledPairs, Pairs
from isohash.kernels.importance import ImportanceSampledSVM
from isohash.kernels.isometry import Isometry, bit_difference_probability
from isohash.kernels.learner import KernelLearner
from isohash.kernels.particle_sgd import descend
from isohash.kernels.pseudo_labels import cluster_labels
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import RandomFeatures, median_kernel

Progress = Callable[[int, int, str], None]
Row = dict[str, Any]

# Particle SGD takes one pair a step; so many are timed and the rest is in proportion.
TIMED_STEPS = 5000
# Grid of single bandwidths: gamma times the squared median distance to the k-th neighbour.
GRID = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.6, 3.2)


@dataclass(frozen=True)
class KernelSettings:
    """The experiment. Data sets: mnist (50 principal components) and ct (128 of OpenKBP slices)."""

    datasets: tuple[str, ...] = ("mnist", "ct")
    bits: tuple[int, ...] = (128, 512, 4096)
    n_seeds: int = 10
    n_database: int = 7000
    n_queries: int = 200
    k: int = 50
    n_particles: int = 500
    n_steps: int = 2000
    cost_particles: tuple[int, ...] = (100, 300, 1000)
    cost_pairs: tuple[int, ...] = (10_000, 100_000)
    mixture_bandwidths: int = 45
    mean_field: MeanFieldSettings = field(default_factory=MeanFieldSettings)


QUICK = KernelSettings(
    ("mnist",), (128, 512), n_seeds=2, n_database=1000, n_queries=50, n_particles=50, n_steps=200,
    cost_particles=(50,), cost_pairs=(1000,),
    mean_field=MeanFieldSettings(
        n_pairs=20, times=(0.0, 5.0), compared_at=5.0, n_particles=(50, 200), n_repeats=3,
        n_shown=500,
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Vectors:
    """Embeddings to search (n, d) and embeddings to ask with, from other patients or images."""

    base: NDArray[np.float32]
    queries: NDArray[np.float32]

    @property
    def digest(self) -> str:
        """SHA-256 of both."""
        return digest([self.base, self.queries])

    def drawn(self, settings: KernelSettings, seed: int) -> Vectors:
        """A random part of both."""
        rng = np.random.default_rng(seed)
        return Vectors(
            self.base[rng.permutation(len(self.base))[: settings.n_database]],
            self.queries[rng.permutation(len(self.queries))[: settings.n_queries]],
        )


def run(
    out_dir: str | Path,
    data_dir: str | Path,
    quick: bool = False,
    progress: Progress | None = None,
    settings: KernelSettings | None = None,
) -> list[Row]:
    """Run or resume the experiment; writes kernel*.csv, .json and .png to `out_dir`."""
    settings = settings or (QUICK if quick else KernelSettings())
    out, total = Path(out_dir), len(settings.datasets) * settings.n_seeds + 2
    told = progress or (lambda done, total, message: None)
    rows: list[Row] = []
    digests: dict[str, str] = {}
    for d, name in enumerate(settings.datasets):
        vectors = read_vectors(name, data_dir)
        digests[name] = vectors.digest
        shared = asdict(replace(settings, datasets=(), n_seeds=0)) | {"data": vectors.digest}
        parts = Parts(out / "kernel-parts", shared)
        for seed in range(settings.n_seeds):
            told(d * settings.n_seeds + seed, total, f"retrieval, {name}, seed {seed}")
            measure = partial(retrieval, name, vectors.drawn(settings, seed), seed, settings)
            rows += parts.get(f"{name}-{seed}", measure)
    about = {"settings": asdict(settings), "data_digests": digests}
    write_results(out, "kernel", rows, about | {"summary": summary(rows)})
    kernel_figures.draw_dice(summary(rows), out / "kernel-dice.png")
    first = read_vectors(settings.datasets[0], data_dir).drawn(settings, 0)
    told(total - 2, total, "the mean-field limit")
    _mean_field(first, settings, out, about)
    told(total - 1, total, "figures and costs")
    kernel_figures.draw_codes(first, settings, out)
    write_results(out, "kernel-cost", costs(first, settings), about)
    write_results(out, "kernel-mixture", mixtures(settings.mixture_bandwidths), about)
    told(total, total, "done")
    return rows


@cache
def read_vectors(name: str, data_dir: str | Path) -> Vectors:
    """The embeddings of a data set below `data_dir`."""
    folder = Path(data_dir)
    if name == "mnist":
        return _mnist(folder / "mnist" / "mnist.npz")
    if name == "ct":
        return _ct(folder / "openkbp")
    raise InputError(f"data set must be mnist or ct, got {name!r}")


def _mnist(path: Path) -> Vectors:
    try:
        with np.load(path, allow_pickle=False) as file:
            images = [file[part].reshape(-1, 784) for part in ("x_train", "x_test")]
    except OSError as error:
        raise InputError(f"MNIST cannot be read: {error}") from error
    train, test = (image.astype(np.float32) / np.float32(255) for image in images)
    mean = train.mean(axis=0)
    centred = train[:5000].astype(np.float64) - mean
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-51:-1].astype(np.float32)
    return Vectors((train - mean) @ axes, (test - mean) @ axes)


def _ct(folder: Path) -> Vectors:
    """Queries are slices of other patients than the database."""
    base, queries = (
        as_float(read_slices(folder / part).images["ct"]) for part in ("train", "validation")
    )
    encoder = fit_pca(base[:: max(1, len(base) // 2048)], 128)
    return Vectors(encoder.encode(base), encoder.encode(queries))


def kernels(
    vectors: Vectors, seed: int, settings: KernelSettings
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
    rank = float(
        np.median(np.partition(cdist(base[:256], base), settings.k, axis=1)[:, settings.k])
    )
    for factor in GRID:
        made[f"grid {factor:g}"] = RadialKernel([factor / rank**2]), 0.0
    return made


def retrieval(name: str, vectors: Vectors, seed: int, settings: KernelSettings) -> list[Row]:
    """Dice of every kernel at every code length, for one draw of data and hash."""
    true_distances = cdist(vectors.queries, vectors.base)
    truth = np.argsort(true_distances, axis=1, kind="stable")[:, : settings.k]
    rows = []
    for method, (kernel, seconds) in kernels(vectors, seed, settings).items():
        for bits in settings.bits:
            found = code_distances(vectors, kernel, bits, seed)
            scores = expected_overlap(found, truth, settings.k)
            rows.append({
                "dataset": name, "method": method, "bits": bits, "seed": seed,
                "dice": round(float(scores.mean()), 6), "seconds": round(seconds, 3),
                "bandwidth": None if kernel is None else float(np.median(kernel.particles)),
            })  # fmt: skip
    return rows


def code_distances(
    vectors: Vectors, kernel: RadialKernel | None, bits: int, seed: int
) -> NDArray[np.int32]:
    """Hamming distances (n_queries, n) of codes with random thresholds."""
    hasher = KernelHasher(bits, kernel, random_state=seed).fit(vectors.base)
    return distances(hasher.transform(vectors.queries), hasher.transform(vectors.base))


def summary(rows: list[Row]) -> list[Row]:
    """Mean Dice and half width of its 95 % interval over seeds; the grid's best added."""
    groups: dict[tuple[str, int, str], list[float]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["bits"], row["method"]), []).append(row["dice"])
    best: dict[tuple[str, int], tuple[float, str]] = {}
    for (dataset, bits, method), scores in groups.items():
        if method.startswith("grid "):
            entry = (float(np.mean(scores)), method)
            best[dataset, bits] = max(best.get((dataset, bits), entry), entry)
    table = []
    for (dataset, bits, method), scores in groups.items():
        table.append(_line(dataset, bits, method, scores))
        if best[dataset, bits][1] == method:
            table.append(_line(dataset, bits, "best of the grid", scores))
    return table


def _line(dataset: str, bits: int, method: str, scores: list[float]) -> Row:
    spread = np.std(scores, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.0
    return {
        "dataset": dataset, "bits": bits, "method": method,
        "dice": round(float(np.mean(scores)), 4), "half_width": round(float(1.96 * spread), 4),
    }  # fmt: skip


def labelled(vectors: Vectors, n: int = 2000) -> LabelledPairs:
    """Pairs with pseudo-labels from one cluster against the rest."""
    points = vectors.base[:n].astype(np.float64)
    return LabelledPairs(points, cluster_labels(points, 10, 0, 0))


def _mean_field(vectors: Vectors, settings: KernelSettings, out: Path, about: Row) -> None:
    pairs = labelled(vectors).draw(settings.mean_field.n_pairs, np.random.default_rng(0))
    unit = float(np.median(pairs.squared_distances))
    scaled = Pairs(pairs.squared_distances / unit, pairs.agreements)
    found = mean_field.compare(scaled, settings.mean_field, seed=0)
    mean_field.draw_evolution(found, settings.mean_field, out / "kernel-evolution.png")
    mean_field.draw_convergence(found, out / "kernel-mean-field.png")
    measured = {
        "slope": found.slope, "slope_half_width": found.slope_half_width,
        "gibbs_distance_of_density": found.gibbs_distance,
        "gibbs_distance_of_particles": found.gibbs_distance_of_particles,
        "largest_mass_error": float(np.abs(found.solution.mass - 1.0).max()),
    }  # fmt: skip
    write_results(out, "kernel-mean-field", found.rows, about | measured)


def costs(vectors: Vectors, settings: KernelSettings) -> list[Row]:
    """Seconds to draw so many pairs and descend them once, by each method; no SVM is fitted."""
    points = vectors.base[:2000].astype(np.float64)
    labels = cluster_labels(points, 10, 0, 0)
    source = LabelledPairs(points, labels)
    scale = float(np.sqrt(median_kernel(points, np.random.default_rng(0)).particles[0]))
    scaled = LabelledPairs(points * scale, labels)
    rows = []
    for n in settings.cost_particles:
        first = RandomFeatures.draw(
            RadialKernel([1.0]), n, points.shape[1], np.random.default_rng(1)
        )
        for n_pairs in settings.cost_pairs:
            for method, objective in (("alignment", Alignment(1.0)), ("isometry", Isometry())):
                seconds = _fastest(partial(_pass, objective, scaled, n, n_pairs))
                rows.append(_cost(method, n, n_pairs, seconds))
            steps = min(n_pairs, TIMED_STEPS)
            seconds = _fastest(
                partial(descend, first, scaled, steps, 10.0, 1.0, np.random.default_rng(3)), 1
            )
            rows.append(_cost("particle SGD", n, n_pairs, seconds * n_pairs / steps))
        sampler = ImportanceSampledSVM(n, n_candidates=20 * n)
        seconds = _fastest(partial(sampler.learn_features, source.points, labels))
        rows.append(_cost("importance sampling", n, None, seconds))
    return rows


def mixtures(n_bandwidths: int, n_distances: int = 81) -> list[Row]:
    """Bits that a relative distance error takes, for the best one and the best two bandwidths.

    `single` and `mixture` are the geometric mean of the variance V over distances spread evenly
    on a logarithmic scale over a factor of `span`; the mixture's two bandwidths and its weights
    come from a grid.
    """
    rows = []
    bandwidths = np.geomspace(math.exp(-6.0), math.exp(5.0), n_bandwidths)
    weights = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95])[:, None, None]
    for dither in (True, False):
        for span in (7.0, 20.0, 55.0, 400.0):
            squared = np.geomspace(1.0 / span, span, n_distances)
            s = np.multiply.outer(bandwidths, squared)  # (bandwidths, distances)
            p = bit_difference_probability(s, dither)
            h = 1e-4
            up, down = (bit_difference_probability(s * math.exp(t), dither) for t in (h, -h))
            slope = (up - down) / h  # r dP/dr = 2 dP/dlog s
            double = [
                _mean_log_variance(
                    weights * p[i] + (1.0 - weights) * p, weights * slope[i]
                    + (1.0 - weights) * slope,
                ).min()
                for i in range(n_bandwidths)
            ]  # fmt: skip
            single = _mean_log_variance(p, slope).min()
            rows.append({
                "dither": dither, "span": span, "single": round(math.exp(single), 3),
                "mixture": round(math.exp(min(single, *double)), 3),
            })  # fmt: skip
    return rows


def _mean_log_variance(p: NDArray[np.float64], slope: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(p * (1.0 - p) / np.maximum(slope, 1e-150) ** 2).mean(axis=-1)


def _pass(objective: Alignment | Isometry, source: LabelledPairs, n: int, n_pairs: int) -> None:
    """Mini-batches of 100 pairs, as the learner takes them."""
    rng = np.random.default_rng(2)
    xi = rng.uniform(0.1, 5.0, n)
    for _ in range(n_pairs // 100):
        objective.gradient(xi, source.draw(100, rng))


def _cost(method: str, n: int, n_pairs: int | None, seconds: float) -> Row:
    return {"method": method, "n_particles": n, "n_pairs": n_pairs, "seconds": round(seconds, 4)}


def _fastest(work: Callable[[], Any], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
