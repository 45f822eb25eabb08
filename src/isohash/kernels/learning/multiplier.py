"""The smallest multiplier h that keeps the particles in the Wasserstein ball of a given radius."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from isohash.errors import InputError

Outcome = TypeVar("Outcome")

FIRST = 1.0
LARGEST = 2.0**30
# Bisection ends when the bracket is this narrow, relatively; the feasible end is returned.
RELATIVE_WIDTH = 0.1


def smallest_feasible(
    run: Callable[[float], Outcome], distance: Callable[[Outcome], float], radius: float
) -> tuple[float, Outcome]:
    """Double h until distance(run(h)) <= radius, then bisect; returns h and its outcome.

    h = 0 is tried first. The outcome returned always satisfies the constraint.
    """
    outcome = run(0.0)
    if distance(outcome) <= radius:
        return 0.0, outcome
    low, high = 0.0, FIRST
    while distance(outcome := run(high)) > radius:
        low, high = high, 2.0 * high
        if high > LARGEST:
            raise InputError(
                f"no multiplier keeps the particles within radius {radius}: with h = {low:g} the "
                f"Wasserstein distance is {distance(outcome):.3g}; raise radius or lower epsilon"
            )
    while high - low > RELATIVE_WIDTH * high:
        middle = 0.5 * (low + high)
        trial = run(middle)
        if distance(trial) <= radius:
            high, outcome = middle, trial
        else:
            low = middle
    return high, outcome
