"""One run of the particles: Langevin steps down an objective, held near where they started.

The pull towards the initial particles is the gradient of (h/2) W^2_{eps,2}, scaled like the rest
by N: h (xi - T(xi)), with T the transport's mean target. The step is shortened to
eta / (1 + h eta), so that a strong multiplier h cannot make it unstable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isohash.kernels.learning.langevin import Langevin
from isohash.kernels.target_alignment import Objective, Pairs
from isohash.kernels.transport import Potentials, transport

# What a step's transport plan may have as relative error of a marginal, and cost in iterations.
# It starts from the plan of the step before, so the plans follow the particles; records, which
# judge the ball, use the transport's own stricter defaults.
STEP_TOLERANCE = 1e-3
STEP_ITERATIONS = 20


class PairSource(Protocol):
    """Where mini-batches come from."""

    def draw(self, n: int, rng: np.random.Generator) -> Pairs:
        """`n` independent pairs."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What is learned from: an objective, a source of pairs, and fixed pairs to judge by."""

    objective: Objective
    source: PairSource
    evaluation: Pairs
    initial: NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """How long to run: mini-batch steps, pairs per step, steps between records."""

    n_steps: int
    batch_size: int
    record_every: int


@dataclass(frozen=True, eq=False)
class History:
    """What was recorded, row by row: step, objective on the fixed pairs, and so on.

    `wasserstein` is the distance to the initial particles, `boundary_hits` counts them since the
    previous record, `particles` (n_records, N) are the positions in the run's own coordinate.
    """

    steps: NDArray[np.int64]
    objective: NDArray[np.float64]
    wasserstein: NDArray[np.float64]
    boundary_hits: NDArray[np.int64]
    particles: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The columns by name, for a checkpoint."""
        return dict(vars(self))

    def with_row(self, *row: Any) -> History:
        """A copy with one more record."""
        columns = [
            np.concatenate([old, np.asarray(new, old.dtype)[None]])
            for old, new in zip(vars(self).values(), row, strict=True)
        ]
        return History(*columns)

    @classmethod
    def empty(cls, n_particles: int) -> History:
        """No record yet."""
        integers, reals = np.zeros(0, np.int64), np.zeros(0)
        return cls(integers, reals, reals, integers, np.zeros((0, n_particles)))


@dataclass(frozen=True, eq=False)
class State:
    """Everything a run needs to go on as if it had never stopped."""

    step: int
    xi: NDArray[np.float64]
    rng: np.random.Generator
    history: History
    potentials: Potentials | None = None
    hits: int = 0

    @classmethod
    def start(cls, problem: Problem, rng: np.random.Generator) -> State:
        """Step 0 at the initial particles."""
        return cls(0, problem.initial.copy(), rng, History.empty(len(problem.initial)))


@dataclass(frozen=True)
class Run:
    """The method: Langevin dynamics under a schedule, with multiplier h and epsilon."""

    langevin: Langevin
    schedule: Schedule
    multiplier: float = 0.0
    epsilon: float = 0.0
    after_record: Callable[[State], None] | None = field(default=None, compare=False)

    def __call__(self, problem: Problem, state: State) -> State:
        """Carry `state` on to the last step; `after_record` sees every recorded state."""
        if state.step == 0:
            state = self._recorded(problem, state)
        while state.step < self.schedule.n_steps:
            state = self._stepped(problem, state)
            done = state.step == self.schedule.n_steps
            if done or state.step % self.schedule.record_every == 0:
                state = self._recorded(problem, state)
        return state

    def _stepped(self, problem: Problem, state: State) -> State:
        pairs = problem.source.draw(self.schedule.batch_size, state.rng)
        gradient = problem.objective.gradient(state.xi, pairs)
        eta, potentials = self.langevin.eta(state.step), state.potentials
        if self.multiplier > 0:
            plan = transport(
                state.xi, problem.initial, self.epsilon, potentials, STEP_TOLERANCE, STEP_ITERATIONS
            )
            gradient = gradient + self.multiplier * (state.xi - plan.target)
            eta, potentials = eta / (1.0 + self.multiplier * eta), plan.potentials
        xi, hits = self.langevin.step(state.xi, gradient, eta, state.rng)
        return replace(
            state, step=state.step + 1, xi=xi, potentials=potentials, hits=state.hits + hits
        )

    def _recorded(self, problem: Problem, state: State) -> State:
        value = problem.objective.value(state.xi, problem.evaluation)
        plan = transport(state.xi, problem.initial, self.epsilon, state.potentials)
        history = state.history.with_row(state.step, value, plan.distance, state.hits, state.xi)
        state = replace(state, history=history, hits=0)
        if self.after_record is not None:
            self.after_record(state)
        return state
