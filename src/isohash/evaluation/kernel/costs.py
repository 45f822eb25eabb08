"""What learning a kernel costs, beside the two methods that it is compared with, in one run.

Seconds are of the processor, one thread, so that a busy machine does not change them; the wall
clock's are kept beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from isohash.evaluation.kernel.data import EmbeddedSet, KernelSettings
from isohash.kernels.learning.learner import KernelLearner
from isohash.kernels.learning.pseudo_labels import cluster_labels
from isohash.kernels.machines.importance import ImportanceSampledSVM
from isohash.kernels.machines.particle_sgd import descend
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import RandomFeatures, median_kernel
from isohash.kernels.target_alignment import Alignment, LabelledPairs

Row = dict[str, Any]

N_POINTS = 2000
BATCH = 100
GAMMA = 1.0
# Particle SGD takes one pair a step; so many are timed and the rest is in proportion.
TIMED_STEPS = 5000
SGD_STEP = 10.0  # as its authors have it
# Sinkhorn's iterations take N^2 operations at every step: beyond this many they are not timed.
MOST_SINKHORN = 1.1e10
# Pairs between two points of the trace of particle SGD, and their number.
SGD_CHUNK, SGD_CHUNKS = 1000, 25


class Problem:
    """Points with pseudo-labels, one cluster against the rest, at a median distance of 1."""

    def __init__(self, vectors: EmbeddedSet) -> None:
        points = vectors.base[:N_POINTS].astype(np.float64)
        scale = np.sqrt(median_kernel(points, np.random.default_rng(0)).particles[0])
        self.points = points * scale
        self.labels = cluster_labels(points, 10, 0, 0)
        self.pairs = LabelledPairs(self.points, self.labels)

    def learner(self, objective: str, n: int, n_pairs: int, **settings: Any) -> KernelLearner:
        """A learner that sees so many pairs."""
        steps = max(1, n_pairs // BATCH)
        return KernelLearner(
            objective,  # type: ignore[arg-type]
            n, gamma=GAMMA, n_steps=steps, batch_size=BATCH, n_neighbours=20, **settings,
        )  # fmt: skip

    def features(self, n: int) -> RandomFeatures:
        """The first particles of particle SGD."""
        kernel = RadialKernel([1.0])
        return RandomFeatures.draw(kernel, n, self.points.shape[1], np.random.default_rng(1))


def costs(vectors: EmbeddedSet, settings: KernelSettings) -> list[Row]:
    """Seconds of each method by particles and pairs; no SVM is fitted, no search made."""
    problem, rows = Problem(vectors), []
    with threadpool_limits(1):
        for n in settings.cost_particles:
            for n_pairs in settings.cost_pairs:
                for method, work in _methods(problem, n, n_pairs).items():
                    rows.append(_cost(method, n, n_pairs, work))
                steps = min(n_pairs, TIMED_STEPS)
                rng = np.random.default_rng(3)
                work = partial(
                    descend, problem.features(n), problem.pairs, steps, SGD_STEP, GAMMA, rng
                )
                rows.append(_cost("particle SGD", n, n_pairs, work, n_pairs / steps))
            sampler = ImportanceSampledSVM(n, n_candidates=20 * n)
            work = partial(sampler.learn_features, problem.points, problem.labels)
            rows.append(_cost("importance sampling", n, None, work))
    return rows


def _methods(problem: Problem, n: int, n_pairs: int) -> dict[str, Callable[[], Any]]:
    """Whole fits of the learner: drawing pairs, steps, records, and the search for h."""
    x, y = problem.points, problem.labels
    radius = 0.5  # about half the way that the free particles go
    alignment, isometry = (problem.learner(name, n, n_pairs) for name in ("alignment", "isometry"))
    exact = problem.learner("alignment", n, n_pairs, radius=radius, epsilon=0.0)
    entropic = problem.learner("alignment", n, n_pairs, radius=radius, epsilon=0.05)
    methods: dict[str, Callable[[], Any]] = {
        "alignment": partial(alignment.fit, x, y),
        "isometry": partial(isometry.fit, x),
        "alignment in a ball, exact transport": partial(exact.fit, x, y),
    }
    if float(n) * n * n_pairs <= MOST_SINKHORN:
        methods["alignment in a ball, Sinkhorn"] = partial(entropic.fit, x, y)
    return methods


def _cost(
    method: str, n: int, n_pairs: int | None, work: Callable[[], Any], times: float = 1.0
) -> Row:
    """One measurement; `times` is how much more the whole is than what was timed."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {
        "method": method, "n_particles": n, "n_pairs": n_pairs,
        "processor_seconds": round(processor * times, 3), "wall_seconds": round(wall * times, 3),
        "timed_share": round(1.0 / times, 4),
    }  # fmt: skip


def traces(vectors: EmbeddedSet, settings: KernelSettings) -> list[Row]:
    """The objective on fixed pairs against processor seconds, for the most particles timed."""
    problem, n = Problem(vectors), max(settings.cost_particles)
    with threadpool_limits(1):
        return [
            *_learned(problem, "alignment", n, max(settings.cost_pairs)),
            *_learned(problem, "isometry", n, max(settings.cost_pairs)),
            *_sgd(problem, n),
        ]


def _learned(problem: Problem, objective: str, n: int, n_pairs: int) -> list[Row]:
    learner = problem.learner(objective, n, n_pairs, record_every=5)
    seconds: list[float] = []
    start = time.process_time()
    learner.fit(
        problem.points, problem.labels,
        progress=lambda *_: seconds.append(time.process_time() - start),
    )  # fmt: skip
    values = learner.history.objective
    if objective == "alignment":  # on the same pairs as particle SGD, whose units are the data's
        judge = problem.pairs.draw(4096, np.random.default_rng(9))
        places = [learner.bandwidths(row) for row in learner.history.particles]
        values = np.array([Alignment(GAMMA).value(xi, judge) for xi in places])
    return [
        _point("particles in Ξ", objective, n, int(step) * BATCH, at, value)
        for step, at, value in zip(learner.history.steps, seconds, values, strict=True)
    ]


def _sgd(problem: Problem, n: int) -> list[Row]:
    i, j, agreements = problem.pairs.indices(4096, np.random.default_rng(9))
    features, rng = problem.features(n), np.random.default_rng(3)
    rows, seconds = [], 0.0
    for chunk in range(SGD_CHUNKS + 1):
        k = np.einsum("ij,ij->i", features(problem.points[i]), features(problem.points[j]))
        value = float(np.mean(k * k / (2.0 * GAMMA) - agreements * k))
        name = "particle SGD, frequencies in R^d"
        rows.append(_point(name, "alignment", n, chunk * SGD_CHUNK, seconds, value))
        start = time.process_time()
        features = descend(features, problem.pairs, SGD_CHUNK, SGD_STEP, GAMMA, rng)
        seconds += time.process_time() - start
    return rows


def _point(method: str, objective: str, n: int, n_pairs: int, seconds: float, value: float) -> Row:
    return {
        "method": method, "objective": objective, "n_particles": n, "n_pairs": n_pairs,
        "processor_seconds": round(seconds, 4), "value": round(float(value), 6),
    }  # fmt: skip
