"""A crude plan: the fluence of coplanar fields that treats the targets and spares as planners do.

Quadratic costs, in the way of inverse planning: too little and too much dose in the targets, dose
beyond a bound that falls with the distance from them, dose to organs. The bound is that of a
normal-tissue objective. Fluence is not negative; accelerated projected gradients with a diagonal
scale find it (Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009) 183-202, restarted where the cost
rises). No plan for a patient: it feeds the dose model, which learns where it errs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isohash.features.cases.anatomy import Anatomy, Field, Mask
from isohash.features.cases.fields import Fields

FEWEST_TREATED = 500  # treated cells that half of the cells must hold
# Organs that one hot spot harms; of the others the whole dose counts.
SERIAL = ("SpinalCord", "SpinalCanal", "Brainstem", "OpticChiasm", "OpticNrv", "BrachialPlex")


@dataclass(frozen=True)
class PlanningGoals:
    """Weights of squared Gy, against 1 for a target's lack of dose.

    Bounds are shares of a prescription. Tissue outside may get its nearest target's dose at
    `near_mm`, from where the bound falls over `fall_mm` to the share `far`.
    """

    too_much: float = 1.0
    most: float = 1.06  # of a target's prescription
    tissue: float = 0.03
    near_mm: float = 4.5  # the bound begins to fall so far from the target
    fall_mm: float = 20.0
    far: float = 0.15
    bath: float = 0.0005  # of all dose outside
    serial: float = 1.0
    serial_bound: float = 0.35
    parallel: float = 0.02
    iterations: int = 40


def every_other(fields: Fields, treated: Mask) -> Mask:
    """Cells (n,) that a plan is made on: in turns, of a small target (n,) all.

    Neighbours share their bixels, so half tell all.
    """
    z, y, x = fields.cells
    used: Mask = (z + y + x) % 2 == 0
    if used[treated].sum() < FEWEST_TREATED:
        used = np.ones_like(used)
    return used


def crude_fluence(
    anatomy: Anatomy, fields: Fields, near_gy: Field, distance_mm: Field,
    goals: PlanningGoals = PlanningGoals(),
) -> Field:  # fmt: skip
    """The fluence (n_bixels,) that gives the doses in Gy.

    `near_gy` and `distance_mm` (n,) of the fields' cells: what the nearest target is prescribed,
    and how far it is.
    """
    costs = _Costs.of(anatomy, fields, near_gy, distance_mm, goals)
    return _fluence(fields, costs, goals.iterations)


def _fluence(fields: Fields, costs: _Costs, iterations: int) -> Field:
    """The fluence (n_bixels,) of least cost that so many steps find."""
    fluence = np.ones(fields.n_bixels, np.float32)
    unit = fields.dose(fluence)
    fluence *= costs.least.sum() / unit[costs.least > 0].sum()
    scale = _scale(fields, costs, unit)
    ahead, momentum, last = fluence, 1.0, np.inf
    for _ in range(iterations):
        dose = fields.dose(ahead)
        cost, slope = costs.at(dose)
        if cost > last:  # overshot: from the best so far, without momentum
            ahead, momentum, last = fluence, 1.0, np.inf
            continue
        better = np.maximum(ahead - fields.back(slope) / scale, np.float32(0.0))
        grown = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
        push = np.float32((momentum - 1.0) / grown)
        ahead = np.maximum(better + push * (better - fluence), np.float32(0.0))
        fluence, momentum, last = better, grown, cost
    return fluence


@dataclass(frozen=True, eq=False)
class _Costs:
    """Per cell: least and most Gy, the weights of missing either, and that of all dose."""

    least: Field
    most: Field
    too_little: Field
    too_much: Field
    any_dose: Field

    @classmethod
    def of(
        cls, anatomy: Anatomy, fields: Fields, near_gy: Field, distance_mm: Field,
        goals: PlanningGoals,
    ) -> _Costs:  # fmt: skip
        least = anatomy.prescribed[fields.cells]
        treated = least > 0
        beyond = np.maximum(distance_mm - goals.near_mm, 0.0) / goals.fall_mm
        bound = near_gy * (goals.far + (1.0 - goals.far) * np.exp(-beyond))
        most = np.where(treated, goals.most * least, bound).astype(np.float32)
        too_much = np.where(treated, goals.too_much, goals.tissue).astype(np.float32)
        any_dose = np.where(treated, 0.0, goals.bath).astype(np.float32)
        for name, mask in anatomy.organs.items():
            own = mask[fields.cells] & ~treated
            if name.startswith(SERIAL):
                bound = np.float32(goals.serial_bound * anatomy.prescription_gy)
                most[own] = np.minimum(most[own], bound)
                too_much[own] += np.float32(goals.serial)
            else:
                any_dose[own] += np.float32(goals.parallel)
        return cls(least, most, treated.astype(np.float32), too_much, any_dose)

    def at(self, dose: Field) -> tuple[float, Field]:
        """The cost of a dose, and half its slope (n,)."""
        lack = np.maximum(self.least - dose, np.float32(0.0))
        excess = np.maximum(dose - self.most, np.float32(0.0))
        slope = self.too_much * excess - self.too_little * lack + self.any_dose * dose
        parts = (self.too_much * excess * excess, self.too_little * lack * lack)
        cost = sum(float(part.sum(dtype=np.float64)) for part in parts)
        return cost + float((self.any_dose * dose * dose).sum(dtype=np.float64)), slope


CURBED = 0.3  # the share of cells outside targets taken to be above their bound


def _scale(fields: Fields, costs: _Costs, unit: Field) -> Field:
    """The step of each bixel: the row sums of the costs' curvature, which bound it."""
    treated = costs.too_little > 0
    curvature = costs.too_little + costs.any_dose
    curvature += np.where(treated, costs.too_much, np.float32(CURBED) * costs.too_much)
    scale = fields.back(curvature * unit)
    return np.maximum(scale, np.float32(1e-3) * scale.max())
