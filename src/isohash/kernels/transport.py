"""Optimal transport between two sets of particles on the line, exact or entropic.

Particles are numbers and all weigh 1/N, so the exact squared Wasserstein distance only sorts
them. The entropic one (Cuturi 2013; Peyre and Cuturi 2019, section 4) is

    OT_eps(x, y) = min_pi  sum pi_ij (x_i - y_j)^2 + eps KL(pi | a b^T),

solved by Sinkhorn's iteration on dual potentials, so that no eps underflows: the plan
exp((f_i + g_j - C_ij)/eps) is formed around the current potentials, and the scalings that the
cheap matrix-vector iterations find are absorbed into them. By the envelope theorem its gradient
is 2 sum_j pi_ij (x_i - y_j), which tends to the sorted gradient as eps -> 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError

# Scalings beyond exp(+-30) are absorbed into the potentials before they lose digits.
ABSORB_BEYOND = 30.0
# The regularisation starts at the largest cost and shrinks by this factor down to epsilon.
ANNEALING = 0.25

Potentials = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Transport:
    """Transport of N particles x to M particles y.

    `squared_distance` is W_2^2 for epsilon = 0, else OT_eps; `target` (N,) is where the plan sends
    each x_i on average. `residual` is the largest relative error of a marginal.
    """

    squared_distance: float
    target: NDArray[np.float64]
    gradient: NDArray[np.float64]
    potentials: Potentials | None = None
    n_iterations: int = 0
    residual: float = 0.0
    converged: bool = True

    @property
    def distance(self) -> float:
        """The square root of the squared distance (0 where rounding made it negative)."""
        return math.sqrt(max(self.squared_distance, 0.0))


def transport(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    epsilon: float = 0.0,
    potentials: Potentials | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 2000,
) -> Transport:
    """Optimal transport from x to y: exact for epsilon = 0, otherwise entropic."""
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise InputError(f"epsilon must be finite and >= 0, got {epsilon}")
    if epsilon == 0:
        return sorted_transport(x, y)
    return sinkhorn(x, y, epsilon, potentials, tolerance, max_iterations)


def sorted_transport(x: NDArray[np.float64], y: NDArray[np.float64]) -> Transport:
    """Exact W_2^2 = (1/N) sum (x_(i) - y_(i))^2 for equally many particles on both sides."""
    if len(x) != len(y):
        raise InputError(f"exact transport sorts equally many particles, got {len(x)} and {len(y)}")
    target = np.empty_like(x, dtype=np.float64)
    target[np.argsort(x, kind="stable")] = np.sort(y)
    shift = x - target
    return Transport(float(np.mean(shift * shift)), target, 2.0 * shift / len(x))


def sinkhorn(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    epsilon: float,
    potentials: Potentials | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 2000,
) -> Transport:
    """Entropic transport; `potentials` of a similar problem make a warm start.

    Stops when the column sums are within `tolerance` of 1/M, relatively; the row sums are exact.
    """
    if not epsilon > 0:
        raise InputError(f"epsilon must be positive for Sinkhorn's iteration, got {epsilon}")
    cost = np.square(np.subtract.outer(x, y))  # (N, M)
    g = potentials[1] if potentials is not None else _annealed(cost, epsilon)
    f = _row_potential(cost, g, epsilon)
    plan, v = _plan(cost, f, g, epsilon), np.ones(len(y))
    iteration, residual = 0, math.inf
    while True:
        u = 1.0 / (len(x) * (plan @ v))  # the row sums are now 1/N
        columns = len(y) * v * (u @ plan)
        residual = float(np.abs(columns - 1.0).max())
        if residual <= tolerance or iteration == max_iterations:
            break
        iteration += 1
        v = v / columns
        if max(np.abs(np.log(u)).max(), np.abs(np.log(v)).max()) > ABSORB_BEYOND:
            g = g + epsilon * np.log(v)
            f = _row_potential(cost, g, epsilon)
            plan, v = _plan(cost, f, g, epsilon), np.ones(len(y))
    f, g = f + epsilon * np.log(u), g + epsilon * np.log(v)
    target = len(x) * (u * (plan @ (v * y)))
    value = float(f.mean() + g.mean())
    converged = residual <= tolerance
    gradient = 2.0 * (x - target) / len(x)
    return Transport(value, target, gradient, (f, g), iteration, residual, converged)


def _row_potential(
    cost: NDArray[np.float64], g: NDArray[np.float64], epsilon: float
) -> NDArray[np.float64]:
    """The f that gives the plan its row sums 1/N, in the log domain."""
    exponents = (g - cost) / epsilon
    largest = exponents.max(axis=1)
    mean = np.exp(exponents - largest[:, None]).mean(axis=1)
    return -epsilon * (largest + np.log(mean))


def _plan(
    cost: NDArray[np.float64], f: NDArray[np.float64], g: NDArray[np.float64], epsilon: float
) -> NDArray[np.float64]:
    """exp((f_i + g_j - C_ij) / epsilon) / (N M)."""
    return np.exp((f[:, None] + g - cost) / epsilon) / cost.size


def _annealed(cost: NDArray[np.float64], epsilon: float) -> NDArray[np.float64]:
    """Column potentials after a few iterations at each of a falling sequence of epsilons."""
    g = np.zeros(cost.shape[1])
    level = float(cost.max())
    while level > epsilon:
        for _ in range(3):
            g = _row_potential(cost.T, _row_potential(cost, g, level), level)
        level *= ANNEALING
    return g
