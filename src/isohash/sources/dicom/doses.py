"""Which of several dose grids is the dose of a plan.

Planning systems export one sum, or one grid per beam or fraction group, physical dose and dose
weighted by biological effect, relative dose, and grids of statistical error; all look alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from isohash.errors import InputError
from isohash.sources.dicom.scan import Instance

SUMS = ("PLAN", "FRACTION", "BEAM")  # DoseSummationType, in the order of preference
PARTS = ("FRACTION", "BEAM")  # that make a plan only together
SEVERAL = "MULTI_PLAN"  # the sum of several plans: a case of its own
DOSE_TYPES = ("PHYSICAL", "EFFECTIVE")


def choose_doses(doses: Sequence[Instance]) -> tuple[tuple[Instance, ...], list[str]]:
    """The doses to add up for one plan, and how that was decided.

    One PLAN dose is taken as it is; else all FRACTION doses, else all BEAM doses are added. A
    physical dose is preferred to an effective one and the two are never added. Only absolute doses
    count.
    """
    warnings = []
    doses = _usable(doses)
    if {"PHYSICAL", "EFFECTIVE"} <= {dose.dose_type for dose in doses}:
        doses = [dose for dose in doses if dose.dose_type == "PHYSICAL"]
        warnings.append("physical dose taken; an effective dose is there as well")
    elif doses[0].dose_type == "EFFECTIVE":
        warnings.append("dose is effective (weighted by biological effect), not physical")
    if doses[0].summation == SEVERAL:
        return (doses[0],), [*warnings, "dose is the sum of several plans (MULTI_PLAN)"]
    for summation in SUMS:
        chosen = tuple(dose for dose in doses if dose.summation == summation)
        if chosen and summation == "PLAN" and len(chosen) > 1:
            raise InputError(f"{len(chosen)} PLAN doses of one plan: which is valid is not said")
        if chosen:
            beams = [beam for dose in chosen for beam in dose.beams]
            if summation == "BEAM" and len(beams) > len(set(beams)):
                raise InputError("two doses are of the same beam, and nothing says which is valid")
            if summation in PARTS and not all(dose.plan_uid for dose in chosen):
                raise InputError(
                    f"a {summation} dose that names no plan: of what it is part is not said"
                )
            if summation in PARTS:
                warnings.append(f"dose is the sum of {len(chosen)} {summation} dose(s)")
            return chosen, warnings
    kinds_seen = ", ".join(sorted({dose.summation or "none" for dose in doses}))
    raise InputError(f"DoseSummationType {kinds_seen} is no dose of a whole plan")


def _usable(doses: Sequence[Instance]) -> list[Instance]:
    """The absolute doses; InputError if there is none."""
    absolute = [dose for dose in doses if dose.units == "GY"]
    if not absolute:
        raise InputError(
            f"DoseUnits is {doses[0].units or 'missing'}; only GY can be compared, "
            "export absolute dose"
        )
    usable = [dose for dose in absolute if dose.dose_type in DOSE_TYPES]
    if not usable:
        raise InputError(
            f"DoseType is {absolute[0].dose_type or 'missing'}, not PHYSICAL or EFFECTIVE"
        )
    return usable
