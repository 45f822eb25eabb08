"""The limit of infinitely many particles: a McKean-Vlasov equation on the interval of bandwidths.

The density p(t, xi) of Langevin particles with mean-field gradients obeys

    dp/dt = d/dxi ( p dJ/dxi ) + (1/beta) d^2p/dxi^2,
    J(xi, p) = -E[y y' exp(-xi r^2)] + (1/gamma) int E[exp(-(xi + xi') r^2)] p(xi') dxi',

with zero flux, p dJ/dxi + (1/beta) dp/dxi = 0, at both ends (Robin conditions) and t = steps times
step size. The label term is negative, as expanding the squared risk gives it; with a plus sign the
flow would minimise the alignment. Its rest is the Gibbs density p ~ exp(-beta J(xi, p)). A
multiplier h adds the pull of the Wasserstein ball to dJ/dxi: h (xi - T(xi)), where T is the
monotone map that carries p to the initial density (exact transport, epsilon = 0).

Finite volumes with Scharfetter-Gummel fluxes and implicit Euler steps (potential from the step
before): each step solves an M-matrix whose columns sum to 1, so the density stays non-negative for
any time step, mass is kept to rounding, and the discrete rest is the discrete Gibbs density.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_banded

from isohash.errors import InputError
from isohash.kernels.learning.langevin import Interval
from isohash.kernels.target_alignment import Pairs


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells of equal width on an interval."""

    interval: Interval
    n_cells: int

    def __post_init__(self) -> None:
        if self.n_cells < 2:
            raise InputError(f"n_cells must be at least 2, got {self.n_cells}")

    @property
    def width(self) -> float:
        """Width of a cell."""
        return (self.interval.upper - self.interval.lower) / self.n_cells

    @property
    def faces(self) -> NDArray[np.float64]:
        """Ends of the cells (n_cells + 1,)."""
        return np.linspace(self.interval.lower, self.interval.upper, self.n_cells + 1)

    @property
    def centres(self) -> NDArray[np.float64]:
        """Midpoints of the cells (n_cells,)."""
        faces = self.faces
        return 0.5 * (faces[1:] + faces[:-1])


@dataclass(frozen=True, eq=False)
class MeanFieldPotential:
    """J at the cell centres: `label` (n,) plus `interaction` (n, n) applied to cell masses."""

    label: NDArray[np.float64]
    interaction: NDArray[np.float64]

    @classmethod
    def of_pairs(cls, pairs: Pairs, gamma: float, grid: Grid) -> MeanFieldPotential:
        """The potential of the squared alignment risk, its expectations taken over `pairs`."""
        n = len(grid.centres)
        label, interaction = np.zeros(n), np.zeros((n, n))
        for block in pairs.blocks(n):
            terms = np.exp(-np.multiply.outer(block.squared_distances, grid.centres))
            label -= block.agreements @ terms
            interaction += terms.T @ terms
        return cls(label / len(pairs), interaction / (gamma * len(pairs)))

    def __call__(self, masses: NDArray[np.float64]) -> NDArray[np.float64]:
        """J at the cell centres, given the mass of each cell."""
        return self.label + self.interaction @ masses


@dataclass(frozen=True, eq=False)
class MeanFieldSolution:
    """Densities (n_times, n_cells) at `times` on the cells of `grid`."""

    grid: Grid
    times: NDArray[np.float64]
    density: NDArray[np.float64]
    potential: MeanFieldPotential

    @property
    def mass(self) -> NDArray[np.float64]:
        """Total mass at each time: 1 up to rounding."""
        return self.density.sum(axis=1) * self.grid.width

    def cumulative(self) -> NDArray[np.float64]:
        """Distribution function at the faces, (n_times, n_cells + 1)."""
        sums = np.cumsum(self.density, axis=1) * self.grid.width
        return np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)


def solve_mean_field(
    squared_distances: ArrayLike,
    agreements: ArrayLike,
    *,
    initial: ArrayLike | Callable[[NDArray[np.float64]], NDArray[np.float64]],
    times: ArrayLike,
    bounds: tuple[float, float],
    beta: float = math.inf,
    gamma: float = math.inf,
    multiplier: float = 0.0,
    n_cells: int = 200,
    time_step: float = 0.01,
) -> MeanFieldSolution:
    """Solve the equation for the pairs given by r^2 and y y', both of shape (n_pairs,).

    Args:
        squared_distances: r^2 of the sample of pairs over which J takes expectations.
        agreements: their y y'.
        initial: the density at time 0, up to a factor: a function of the cell centres, or its
            values there (n_cells,).
        times: increasing times >= 0 at which the density is wanted.
        bounds: the interval of xi.
        beta: inverse temperature; may be infinite.
        gamma: scaling of the squared risk; may be infinite.
        multiplier: h >= 0 of the Wasserstein term; keep multiplier times time_step below 1.
        n_cells: the error falls like n_cells^-2 (n_cells^-1 where upwinding takes over, that is
            for infinite beta).
        time_step: largest step; the error falls like its first power.

    Example:
        >>> import isohash
        >>> found = isohash.solve_mean_field(
        ...     [1.0, 4.0], [1.0, -1.0], initial=[1.0] * 200, times=[0.0, 1.0], bounds=(0.1, 2.0)
        ... )
        >>> found.density.shape, found.mass.round(6).tolist()
        ((2, 200), [1.0, 1.0])
    """
    pairs = _checked_pairs(squared_distances, agreements)
    grid = Grid(Interval(*bounds), n_cells)
    if not (beta > 0 and gamma > 0 and time_step > 0):
        raise InputError(
            f"beta, gamma and time_step must be positive, got {beta}, {gamma}, {time_step}"
        )
    if not 0 <= multiplier * time_step < 1:
        raise InputError(
            f"multiplier must be >= 0 and below 1 / time_step = {1 / time_step:g}, got {multiplier}"
        )
    moments = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if not np.isfinite(moments).all() or (np.diff(moments, prepend=0.0) < 0).any():
        raise InputError("times must be finite, >= 0 and in increasing order")
    potential = MeanFieldPotential.of_pairs(pairs, gamma, grid)
    masses = _initial_masses(initial, grid)
    pull = _Pull(multiplier, masses, grid)
    rows, now = [], 0.0
    for moment in moments:
        masses = _advance(masses, potential, pull, grid, beta, moment - now, time_step)
        now = moment
        rows.append(masses / grid.width)
    return MeanFieldSolution(grid, moments, np.array(rows), potential)


def gibbs_density(
    potential: MeanFieldPotential,
    grid: Grid,
    beta: float,
    tolerance: float = 1e-12,
    max_iterations: int = 10_000,
) -> tuple[NDArray[np.float64], bool]:
    """The rest p ~ exp(-beta J(xi, p)) by damped fixed-point iteration, and whether it converged.

    J is the first variation of a convex functional of p, so with finite beta there is one rest.
    The damping halves whenever the residual grows.
    """
    if not (math.isfinite(beta) and beta > 0):
        raise InputError(f"the Gibbs density needs a finite positive beta, got {beta}")
    masses = np.full(grid.n_cells, 1.0 / grid.n_cells)
    damping, last = 1.0, math.inf
    for _ in range(max_iterations):
        image = _softmax(-beta * potential(masses))
        residual = float(np.abs(image - masses).sum())
        if residual <= tolerance:
            return masses / grid.width, True
        if residual > last:
            damping *= 0.5
        last = residual
        masses = masses + damping * (image - masses)
    return masses / grid.width, False


def wasserstein_to_particles(
    solution: MeanFieldSolution, row: int, particles: NDArray[np.float64]
) -> float:
    """W_1 between the density at time number `row` and the empirical measure of `particles`."""
    faces = solution.grid.faces
    places = np.union1d(faces, particles)
    of_density = np.interp(places, faces, solution.cumulative()[row])
    count = np.searchsorted(np.sort(particles), places, side="right") / len(particles)
    gap_left, gap_right = count[:-1] - of_density[:-1], count[:-1] - of_density[1:]
    return float(np.sum(_mean_absolute(gap_left, gap_right) * np.diff(places)))


def _mean_absolute(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of |v| for v linear from a to b."""
    crossing = a * b < 0
    total = np.abs(a) + np.abs(b)
    split = (a * a + b * b) / np.where(crossing, total, 1.0)
    return 0.5 * np.where(crossing, split, total)


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(values - values.max())
    return weights / weights.sum()


@dataclass(frozen=True, eq=False)
class _Pull:
    """First variation of (h/2) W_2^2 to the initial masses: its slope is h (xi - T(xi))."""

    multiplier: float
    initial: NDArray[np.float64]
    grid: Grid

    def __call__(self, masses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its values at the cell centres, up to a constant."""
        if self.multiplier == 0:
            return np.zeros_like(masses)
        faces = self.grid.faces
        quantiles = np.concatenate([[0.0], np.cumsum(self.initial)])
        target = np.interp(np.cumsum(masses)[:-1], quantiles, faces)
        slopes = self.multiplier * (faces[1:-1] - target)
        return np.concatenate([[0.0], np.cumsum(slopes) * self.grid.width])


def _advance(
    masses: NDArray[np.float64],
    potential: MeanFieldPotential,
    pull: _Pull,
    grid: Grid,
    beta: float,
    duration: float,
    time_step: float,
) -> NDArray[np.float64]:
    """Implicit Euler steps of equal length over `duration`."""
    n_steps = math.ceil(duration / time_step - 1e-9)
    for _ in range(n_steps):
        now = potential(masses) + pull(masses)
        masses = _implicit_step(masses, now, grid.width, beta, duration / n_steps)
        masses = masses / masses.sum()  # so that rounding cannot add up over many steps
    return masses


def _implicit_step(
    masses: NDArray[np.float64],
    potential: NDArray[np.float64],
    width: float,
    beta: float,
    dt: float,
) -> NDArray[np.float64]:
    rises = np.diff(potential)  # across the inner faces
    right = dt / width**2 * _rate(rises, beta)  # mass moving from cell i to i + 1
    left = dt / width**2 * _rate(-rises, beta)  # and back
    bands = np.zeros((3, len(masses)))
    bands[0, 1:] = -left
    bands[2, :-1] = -right
    bands[1] = 1.0
    bands[1, :-1] += right
    bands[1, 1:] += left
    return solve_banded((1, 1), bands, masses)


def _rate(rise: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
    """B(beta rise) / beta with Bernoulli's B(z) = z / (e^z - 1); its limit is upwinding."""
    if math.isinf(beta):
        return np.maximum(-rise, 0.0)
    z = beta * rise
    small = np.abs(z) < 1e-6
    safe = np.where(small, 1.0, np.clip(z, -700.0, 700.0))
    return np.where(small, 1.0 - 0.5 * z, np.where(z < -700.0, -z, safe / np.expm1(safe))) / beta


def _checked_pairs(squared_distances: ArrayLike, agreements: ArrayLike) -> Pairs:
    squared = np.asarray(squared_distances, dtype=np.float64)
    signs = np.asarray(agreements, dtype=np.float64)
    if squared.ndim != 1 or squared.shape != signs.shape or len(squared) == 0:
        raise InputError(
            "squared_distances and agreements must be vectors of equal length >= 1, got shapes "
            f"{squared.shape} and {signs.shape}"
        )
    if not (np.isfinite(squared).all() and np.isfinite(signs).all()) or squared.min() < 0:
        raise InputError("squared distances must be finite and >= 0, agreements finite")
    return Pairs(squared, signs)


def _initial_masses(
    initial: ArrayLike | Callable[[NDArray[np.float64]], NDArray[np.float64]], grid: Grid
) -> NDArray[np.float64]:
    values = initial(grid.centres) if callable(initial) else initial
    density = np.asarray(values, dtype=np.float64)
    if density.shape != (grid.n_cells,) or not np.isfinite(density).all():
        raise InputError(
            f"initial must give {grid.n_cells} finite values, one per cell, got shape "
            f"{density.shape}"
        )
    if density.min() < 0 or not density.sum() > 0:
        raise InputError("the initial density must be >= 0 and not all zero")
    return density / density.sum()
