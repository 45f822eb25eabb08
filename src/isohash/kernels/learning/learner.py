"""Learn a radial kernel from data: the particles of its spectral measure, moved by Langevin steps.

Distances are measured in units of a reference distance of the data (the median of the pairs for
alignment, the k-th neighbour's for isometry), so that step sizes, bounds and temperatures mean
the same for every data set; the learned kernel is in the units of the data again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from isohash.errors import InputError
from isohash.kernels.learning.checkpoint import SavedRuns
from isohash.kernels.learning.coordinates import InLogarithm, ScaledPairs, interval_of
from isohash.kernels.learning.diagnostics import Diagnostics
from isohash.kernels.learning.isometry import Isometry, NeighbourPairs
from isohash.kernels.learning.langevin import Boundary, Interval, Langevin
from isohash.kernels.learning.multiplier import smallest_feasible
from isohash.kernels.learning.particles import History, PairSource, Problem, Run, Schedule, State
from isohash.kernels.learning.pseudo_labels import ClusterChoice, cluster_labels
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import dense_rows
from isohash.kernels.target_alignment import Alignment, LabelledPairs, Objective, Pairs
from isohash.progress import Progress, tell
from isohash.whole_files import digest

Coordinate = Literal["auto", "linear", "log"]

# In units of the reference distance the alignment's curvature by xi is below 0.1 and that of the
# isometry by log xi about 1: these steps are a fraction of what would be unstable.
LINEAR_STEP_SIZE = 5.0
LOG_STEP_SIZE = 1.0

ALIGNMENT_BOUNDS = (0.01, 5.0)
# A bandwidth serves a distance r best at xi r^2 = 0.65 (0.9 without threshold): below the first of
# these nearly no bit differs, and above the second nearly all have lost r.
SMALLEST_USE, LARGEST_USE = 0.1, 3.0


class KernelLearner(BaseEstimator):
    """Learns K(x, y) = mean_i exp(-xi_i |x - y|^2) by projected particle Langevin optimisation.

    Args:
        objective: "alignment" (Badiei Khuzani et al., arXiv 2006.13330 and 1909.11820) or
            "isometry" (for retrieval: tell distances near the k-th neighbour's apart).
        n_particles: N, the number of bandwidths.
        random_state: seed of everything random; the same seed gives the same bytes.
        gamma: scaling of the squared alignment risk; inf is pure alignment.
        beta: inverse temperature; inf means no noise.
        n_steps, batch_size: mini-batch steps and pairs per step.
        step_size, half_life, power: eta(m) = step_size / (1 + m / half_life)^power; None is 5 in
            the linear coordinate and 1 in the logarithmic one.
        bounds: the interval of xi, in units of the inverse squared reference distance; None is
            (0.01, 5) for alignment, and for isometry what the distances that it serves can use.
        boundary: "project" (clip) or "reflect".
        coordinate: "linear" moves xi itself, "log" its logarithm; "auto" is linear for alignment
            and log for isometry, whose gradient by xi has no bound near 0.
        initial: "uniform" draws the first particles evenly in the coordinate over the bounds; a
            vector gives them outright, in the same units as `bounds`.
        radius: of the Wasserstein ball around the first particles, in the run's coordinate; None
            is no ball. The multiplier h is then found by doubling and bisection, one run each.
        epsilon: entropic regularisation of the transport; 0 is exact.
        n_clusters, cluster, label_subset: pseudo-labels for y=None; see `cluster_labels`. K-means
            and the pairs see a random subset of at most `label_subset` points.
        n_neighbours, dither, n_bits: the rank whose distance the isometry serves (a tenth of n
            points where there are no more), and the hash that it is for: distances that no code of
            n_bits can read count for nothing.
        record_every, n_evaluation_pairs: how often and on how many fixed pairs to record.

    Example:
        >>> import isohash, numpy as np
        >>> X = np.random.default_rng(0).standard_normal((200, 4))
        >>> y = (np.linalg.norm(X, axis=1) > 1.9).astype(int)
        >>> learner = isohash.KernelLearner(n_particles=50, n_steps=200).fit(X, y)
        >>> learner.kernel.particles.shape, bool((learner.kernel.particles > 0).all())
        ((50,), True)
    """

    def __init__(
        self,
        objective: Literal["alignment", "isometry"] = "alignment",
        n_particles: int = 500,
        random_state: int = 0,
        *,
        gamma: float = math.inf,
        beta: float = math.inf,
        n_steps: int = 2000,
        batch_size: int = 100,
        step_size: float | None = None,
        half_life: float = 500.0,
        power: float = 0.5,
        bounds: tuple[float, float] | None = None,
        boundary: Boundary = "project",
        coordinate: Coordinate = "auto",
        initial: Literal["uniform"] | ArrayLike = "uniform",
        radius: float | None = None,
        epsilon: float = 0.05,
        n_clusters: int = 10,
        cluster: ClusterChoice = 0,
        label_subset: int = 2000,
        n_neighbours: int = 50,
        dither: bool = True,
        n_bits: float = 1024,
        record_every: int = 50,
        n_evaluation_pairs: int = 4096,
    ) -> None:
        self.objective = objective
        self.n_particles = n_particles
        self.random_state = random_state
        self.gamma = gamma
        self.beta = beta
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.step_size = step_size
        self.half_life = half_life
        self.power = power
        self.bounds = bounds
        self.boundary = boundary
        self.coordinate = coordinate
        self.initial = initial
        self.radius = radius
        self.epsilon = epsilon
        self.n_clusters = n_clusters
        self.cluster = cluster
        self.label_subset = label_subset
        self.n_neighbours = n_neighbours
        self.dither = dither
        self.n_bits = n_bits
        self.record_every = record_every
        self.n_evaluation_pairs = n_evaluation_pairs

    @property
    def kernel(self) -> RadialKernel:
        """The learned kernel."""
        return self.kernel_

    @property
    def history(self) -> History:
        """What was recorded; particles are in the run's coordinate and units."""
        return self.history_

    @property
    def converged(self) -> bool:
        """Whether the objective had settled by the end."""
        return self.diagnostics_.converged

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        progress: Progress | None = None,
        checkpoint: str | Path | None = None,
    ) -> KernelLearner:
        """Learn from the rows of X (n, d) and, for alignment, their labels y.

        `checkpoint` names a folder, where the run is saved at every record; when it is there, the
        run goes on from it, and ends with the same bytes as one that was never interrupted.
        """
        points = dense_rows(self, X, reset=True, dtype=[np.float64, np.float32], fewest=2)
        labels = None if y is None else _checked_labels(y, len(points))
        self._check_settings()
        rng = np.random.default_rng(self.random_state)
        source, reference = self._source(points, labels, rng)
        problem = self._problem(source, reference, rng)
        saver = None
        if checkpoint is not None:
            settings = self.get_params() | {"initial": np.asarray(self.initial).tolist()}
            key = digest(points, labels, settings=settings)
            saver = SavedRuns(Path(checkpoint), key)
        run = partial(self._run, problem, rng.bit_generator.state, saver, progress)
        if self.radius is None:
            multiplier, final = 0.0, run(0.0)
        else:
            multiplier, final = smallest_feasible(run, _last_distance, self.radius)
        self.history_ = final.history
        self.multiplier_ = multiplier
        self.reference_distance_ = reference
        self.kernel_ = RadialKernel(self.bandwidths(final.xi))
        self.diagnostics_ = Diagnostics.of(final.history, multiplier, reference)
        return self

    def bandwidths(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Particle positions of the history as bandwidths xi in the units of the data."""
        xi = np.exp(positions) if self._in_logarithm() else positions
        return xi / self.reference_distance_**2

    def _in_logarithm(self) -> bool:
        if self.coordinate == "auto":
            return self.objective == "isometry"
        return self.coordinate == "log"

    def _check_settings(self) -> None:
        if self.objective not in ("alignment", "isometry"):
            raise InputError(f"objective must be alignment or isometry, got {self.objective!r}")
        if self.coordinate not in ("auto", "linear", "log"):
            raise InputError(f"coordinate must be auto, linear or log, got {self.coordinate!r}")
        for name in ("n_particles", "n_steps", "batch_size", "record_every", "n_evaluation_pairs"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.radius is not None and not self.radius > 0:
            raise InputError(f"radius must be positive or None, got {self.radius}")
        lower = Interval(*(self.bounds or ALIGNMENT_BOUNDS)).lower
        if lower < 0:
            raise InputError(f"the lower bound of xi must be >= 0, got {lower}")
        if lower == 0 and (self._in_logarithm() or self.objective == "isometry"):
            raise InputError("the lower bound must be > 0 for a logarithmic coordinate or isometry")

    def _source(
        self,
        points: NDArray[np.floating],
        labels: NDArray[np.int64] | None,
        rng: np.random.Generator,
    ) -> tuple[PairSource, float]:
        """Where pairs come from, and the reference distance."""
        if self.objective == "isometry":
            near = NeighbourPairs(points, self._rank(len(points)), rng)
            return near, near.reference
        if labels is None:
            size = min(self.label_subset, len(points))
            points = points[np.sort(rng.choice(len(points), size, replace=False))]
            labels = cluster_labels(points, self.n_clusters, self.cluster, self.random_state)
        source = LabelledPairs(points, labels)
        squared = source.draw(self.n_evaluation_pairs, rng).squared_distances
        reference = float(np.sqrt(np.median(squared)))
        if not reference > 0:
            raise InputError("most points are duplicates of each other: nothing can be learned")
        return source, reference

    def _rank(self, n: int) -> int:
        """The neighbour that is served: in sets of no more points, the nearest tenth's last."""
        return self.n_neighbours if self.n_neighbours < n else max(1, -(-n // 10))

    def _problem(self, source: PairSource, reference: float, rng: np.random.Generator) -> Problem:
        self.reference_distance_ = reference
        scaled = ScaledPairs(source, reference)
        evaluation = scaled.draw(self.n_evaluation_pairs, rng)
        self.bounds_ = self.bounds or self._default_bounds(evaluation)
        objective: Objective = Isometry(self.dither, self.n_bits)
        if self.objective == "alignment":
            objective = Alignment(self.gamma)
        if self._in_logarithm():
            objective = InLogarithm(objective)
        return Problem(objective, scaled, evaluation, self._first_particles(rng))

    def _default_bounds(self, evaluation: Pairs) -> tuple[float, float]:
        if self.objective == "alignment":
            return ALIGNMENT_BOUNDS
        near, far = np.quantile(evaluation.squared_distances, [0.01, 0.99])
        return SMALLEST_USE / float(far), LARGEST_USE / float(near)

    def _interval(self) -> Interval:
        return interval_of(self.bounds_, self._in_logarithm())

    def _first_particles(self, rng: np.random.Generator) -> NDArray[np.float64]:
        interval = self._interval()
        if isinstance(self.initial, str):
            if self.initial != "uniform":
                raise InputError(f"initial must be 'uniform' or a vector, got {self.initial!r}")
            return rng.uniform(interval.lower, interval.upper, self.n_particles)
        first = np.asarray(self.initial, dtype=np.float64)
        lower, upper = self.bounds_
        if first.shape != (self.n_particles,) or not ((first >= lower) & (first <= upper)).all():
            raise InputError(
                f"initial must hold n_particles = {self.n_particles} values within bounds "
                f"{self.bounds_}, got shape {first.shape}"
            )
        return np.log(first) if self._in_logarithm() else first.copy()

    def _run(
        self,
        problem: Problem,
        rng_state: Mapping[str, Any],
        saver: SavedRuns | None,
        progress: Progress | None,
        multiplier: float,
    ) -> State:
        """One training run; every multiplier sees the same pairs and the same noise."""
        step_size = self.step_size
        if step_size is None:
            step_size = LOG_STEP_SIZE if self._in_logarithm() else LINEAR_STEP_SIZE
        langevin = Langevin(
            self._interval(), step_size, self.beta, self.boundary, self.half_life, self.power
        )
        rng = np.random.default_rng()
        rng.bit_generator.state = rng_state
        state = State.start(problem, rng)
        if saver is not None:
            state = saver.resume(multiplier, state)

        def after_record(now: State) -> None:
            if saver is not None:
                saver.save(multiplier, now)
            tell(progress, now.step, self.n_steps, self._message(multiplier, now))

        schedule = Schedule(self.n_steps, self.batch_size, self.record_every)
        # Without a ball the distance is only reported, and the exact one costs nothing.
        epsilon = 0.0 if self.radius is None else self.epsilon
        return Run(langevin, schedule, multiplier, epsilon, after_record)(problem, state)

    def _message(self, multiplier: float, state: State) -> str:
        text = f"{self.objective} {state.history.objective[-1]:.4f}"
        return text if self.radius is None else f"h = {multiplier:.4g}, {text}"


def _last_distance(state: State) -> float:
    return float(state.history.wasserstein[-1])


def _checked_labels(y: ArrayLike, n: int) -> NDArray[np.int64]:
    labels = np.asarray(y)
    if labels.shape != (n,):
        raise InputError(f"y must hold one label for each of the {n} points, got {labels.shape}")
    if any(one is None or one != one for one in labels.ravel().tolist()):
        raise InputError("y holds None or NaN: leave those rows out, or label them")
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
