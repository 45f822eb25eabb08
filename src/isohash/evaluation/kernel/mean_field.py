"""Particles against the equation that is their limit, on pairs drawn from real embeddings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.evaluation.kit.plotting import BLACK, BLUE, PAGE_WIDTH, SKY, figure, legend_below
from isohash.kernels.learning.langevin import Interval, Langevin
from isohash.kernels.learning.mean_field import (
    MeanFieldSolution,
    gibbs_density,
    solve_mean_field,
    wasserstein_to_particles,
)
from isohash.kernels.target_alignment import Alignment, Pairs

Row = dict[str, Any]


@dataclass(frozen=True)
class MeanFieldSettings:
    """Particles and equation share pairs, bounds, temperature and scaling.

    The step is small because its bias, unlike the sampling error, does not fall with N.
    """

    bounds: tuple[float, float] = (0.0, 5.0)
    beta: float = 50.0
    gamma: float = 1.0
    n_pairs: int = 50
    times: tuple[float, ...] = (0.0, 5.0, 50.0, 500.0)
    compared_at: float = 5.0
    step_size: float = 0.05
    n_particles: tuple[int, ...] = (50, 158, 500, 1581, 5000)
    n_repeats: int = 10
    n_shown: int = 2000


@dataclass(frozen=True, eq=False)
class LimitComparison:
    """What was measured: W_1 by N, and how far density and particles end from the Gibbs density.

    `shown` holds the positions of the particles at each of the settings' times.
    """

    rows: list[Row]
    slope: float
    slope_half_width: float
    gibbs_distance: float
    gibbs_distance_of_particles: float
    solution: MeanFieldSolution
    shown: list[NDArray[np.float64]]


def compare(pairs: Pairs, settings: MeanFieldSettings, seed: int) -> LimitComparison:
    """Solve the equation, run particles for every N, and regress log W_1 on log N.

    Particles are reflected, as the equation's boundary is: clipping would leave atoms at the ends
    of the order of the square root of the step. They see all pairs at every step.
    """
    rng = np.random.default_rng(seed)
    solution = solve_mean_field(
        pairs.squared_distances, pairs.agreements, initial=np.ones_like,
        times=sorted({*settings.times, settings.compared_at}), bounds=settings.bounds,
        beta=settings.beta, gamma=settings.gamma, n_cells=400, time_step=0.4 * settings.step_size,
    )  # fmt: skip
    row = int(np.flatnonzero(solution.times == settings.compared_at)[0])
    rows = []
    for n in settings.n_particles:
        for repeat in range(settings.n_repeats):
            (xi,) = _particles(pairs, n, (settings.compared_at,), settings, rng)
            distance = wasserstein_to_particles(solution, row, xi)
            rows.append({"n_particles": n, "repeat": repeat, "wasserstein": round(distance, 6)})
    slope, half_width = _regression(rows)
    rest, _ = gibbs_density(solution.potential, solution.grid, settings.beta)
    gap = np.cumsum(solution.density[-1] - rest) * solution.grid.width
    shown = _particles(pairs, settings.n_shown, settings.times, settings, rng)
    at_rest = replace(solution, density=rest[None, :])
    return LimitComparison(
        rows, slope, half_width,
        gibbs_distance=float(np.abs(gap).sum() * solution.grid.width),
        gibbs_distance_of_particles=wasserstein_to_particles(at_rest, 0, shown[-1]),
        solution=solution, shown=shown,
    )  # fmt: skip


def _particles(
    pairs: Pairs,
    n: int,
    times: tuple[float, ...],
    settings: MeanFieldSettings,
    rng: np.random.Generator,
) -> list[NDArray[np.float64]]:
    """Positions of n particles at each of the times."""
    eta, objective = settings.step_size, Alignment(settings.gamma)
    method = Langevin(Interval(*settings.bounds), eta, settings.beta, "reflect")
    xi, kept, done = rng.uniform(*settings.bounds, n), [], 0
    for time in times:
        for _ in range(round(time / eta) - done):
            xi, _ = method.step(xi, objective.gradient(xi, pairs), eta, rng)
        done = round(time / eta)
        kept.append(xi)
    return kept


def _regression(rows: list[Row]) -> tuple[float, float]:
    """Slope of log W_1 against log N and the half width of its 95 % interval."""
    x = np.log([row["n_particles"] for row in rows])
    y = np.log([row["wasserstein"] for row in rows])
    x = x - x.mean()
    slope = float(x @ y / (x @ x))
    residual = y - y.mean() - slope * x
    return slope, float(1.96 * np.sqrt(residual @ residual / (len(x) - 2) / (x @ x)))


def draw_evolution(found: LimitComparison, settings: MeanFieldSettings, path: Path) -> None:
    """Histograms of the particles at each time with the equation's density over them."""
    n = len(settings.times)
    with figure(path, PAGE_WIDTH, 2.6, ncols=n, sharex=True, sharey=True) as (drawing, axes):
        for axis, time, xi in zip(axes, settings.times, found.shown, strict=True):
            row = int(np.flatnonzero(found.solution.times == time)[0])
            axis.hist(
                xi, bins=50, range=settings.bounds, density=True, color=SKY,
                label=f"histogram of {settings.n_shown:,} particles",
            )  # fmt: skip
            axis.plot(
                found.solution.grid.centres, found.solution.density[row], color=BLACK,
                label="density of the mean-field equation",
            )  # fmt: skip
            axis.set_title(f"t = {time:g} ({round(time / settings.step_size):,} steps)")
            axis.set_xlim(*settings.bounds)
            axis.set_xlabel("ξ · (median distance)²")
        axes[0].set_ylabel("density")
        legend_below(drawing, axes[0], 2)


def draw_convergence(found: LimitComparison, path: Path) -> None:
    """W_1 between particles and density against N, with the slope -1/2 for comparison."""
    with figure(path, 4.6, 3.4) as (drawing, axis):
        n = np.array([row["n_particles"] for row in found.rows])
        w = np.array([row["wasserstein"] for row in found.rows])
        axis.loglog(n, w, ".", color=SKY, label="one run")
        numbers = np.unique(n)
        means = np.array([np.exp(np.log(w[n == k]).mean()) for k in numbers])
        slope = f"slope {found.slope:.2f} ± {found.slope_half_width:.2f}"
        axis.loglog(numbers, means, "o-", color=BLUE, label=f"geometric mean, {slope}")
        guide = means[0] * np.sqrt(numbers[0] / numbers)
        axis.loglog(numbers, guide, ":", color=BLACK, label="slope -1/2")
        axis.set_xticks(numbers, [f"{k:,}" for k in numbers])
        axis.minorticks_off()
        axis.set_xlabel("particles N")
        axis.set_ylabel("W₁ to the mean-field density")
        legend_below(drawing, axis, 3)
