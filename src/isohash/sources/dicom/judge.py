"""Whether a dose is that of the whole course of its plan, and as high as a dose can be.

Nothing is changed here: what does not fit is told, and what cannot be a dose is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from isohash.dosimetry.dose import peak_gy, sampled
from isohash.errors import InputError
from isohash.records import Volume
from isohash.sources.dicom.plan import Plan, Reference
from isohash.sources.dicom.prescription import per_fraction_gy

LEAST_MAXIMUM, GREATEST_MAXIMUM = 0.9, 2.5  # of a plan's dose maximum over its prescription
AT_A_POINT = 0.2  # share by which the dose at a point may differ from what the plan states there
HIGHEST_GY = 1000.0  # beyond it are the surroundings of sources, or the scaling is wrong
SENSELESS_GY = 1e5  # beyond what any source gives
AROUND_SOURCES = 5.0  # times the lowest level: half of what exceeds a level lies below, at sources


@dataclass(frozen=True)
class Judged:
    """What is to be said of a dose, and facts for filters."""

    warnings: tuple[str, ...] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)


def check_height(doses: Sequence[Volume], plan: Plan, warnings: list[str]) -> None:
    """Refuse doses that are too high for a dose; warn of those that only sources give.

    Around sources the dose falls off so steeply that of the voxels above a level most lie just
    above it. Where the scaling is wrong, most of a target lies far above.
    """
    for dose in doses:
        peak = float(dose.array.max())
        if peak <= HIGHEST_GY:
            continue
        level = plan.target_gy or 0.1 * HIGHEST_GY
        above = dose.array[dose.array > level]
        spread = float(np.median(above)) > AROUND_SOURCES * level and not plan.is_brachy
        if peak > SENSELESS_GY or spread:
            raise InputError(f"dose reaches {peak:.0f} Gy; check DoseGridScaling")
        warnings.append(f"dose reaches {peak:.0f} Gy, as at sources (else check DoseGridScaling)")


def judge(dose: Volume | None, prescription_gy: float | None, plan: Plan) -> Judged:
    """Whether the dose is that of all fractions, by the prescription or at the plan's points."""
    if dose is None:
        return Judged()
    n = plan.n_fractions or 1
    one = per_fraction_gy(plan)
    if one is not None and n > 1:
        return _at_points(dose, one, n, list(_points(plan, one, n)))
    if plan.is_brachy and n > 1:
        return Judged((f"{_not_said(n)}: the plan states no one dose of a fraction",))
    peak = peak_gy(dose)
    if prescription_gy is None or peak > HIGHEST_GY or plan.is_brachy:
        return Judged()
    ratio = peak / prescription_gy
    if LEAST_MAXIMUM <= ratio <= GREATEST_MAXIMUM:
        return Judged()
    told = f"the dose reaches {peak:.3g} Gy where {prescription_gy:g} Gy are prescribed"
    if n > 1 and LEAST_MAXIMUM <= ratio * n <= GREATEST_MAXIMUM:
        return Judged((f"{told}: {_seems(n)}",), {"dose_fractions": 1})
    return Judged((told,))


def _points(plan: Plan, one_gy: float, n: int) -> Iterator[tuple[float, float, float]]:
    """Where the plan states its dose, of one fraction or of all.

    Setups that state parts of it at one point do so together.
    """
    setups = [setup for group in plan.groups for setup in group.setups.values() if setup]
    if len({setup.at for setup in setups}) == 1 and setups[0].at is not None:
        yield setups[0].at
    for reference in (*setups, *plan.references):
        if reference.at is not None and _states(reference, one_gy, n):
            yield reference.at


def _states(reference: Reference, one_gy: float, n: int) -> bool:
    return any(abs(reference.gy - gy) <= AT_A_POINT * gy for gy in (one_gy, n * one_gy))


def _at_points(
    dose: Volume, one_gy: float, n: int, points: Sequence[tuple[float, float, float]]
) -> Judged:
    """Compare the dose with one fraction and with all where the plan states them."""
    at = np.array([_dose_at(dose, point) for point in dict.fromkeys(points)])
    known = at[np.isfinite(at)]
    if not known.size:
        return Judged(
            (
                f"{_not_said(n)}: the plan states {one_gy:g} Gy a fraction, and no point where it "
                "does so within the dose grid",
            )
        )
    found = float(np.median(known))
    told = f"the dose is {found:.3g} Gy where the plan states {one_gy:g} Gy a fraction"
    if abs(found - one_gy) <= AT_A_POINT * one_gy:
        return Judged((f"{told}: {_seems(n)}",), {"dose_fractions": 1})
    if abs(found - n * one_gy) <= AT_A_POINT * n * one_gy:
        return Judged()
    return Judged((f"{told} of {n}",))


def _not_said(n: int) -> str:
    return f"whether the dose is that of one of {n} fractions or of all is not said"


def _seems(n: int) -> str:
    return f"it seems to be the dose of one of {n} fractions"


def _dose_at(dose: Volume, point: tuple[float, float, float]) -> float:
    affine = np.eye(4)
    affine[:3, 3] = point
    return float(sampled(dose, affine, (1, 1, 1))[0, 0, 0])
