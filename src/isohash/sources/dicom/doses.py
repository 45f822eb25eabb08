"""Which of several dose grids is the dose of a plan.

Planning systems export one sum, or one grid per beam or fraction group, physical dose and dose
weighted by biological effect, relative dose, and grids of statistical error; all look alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from isohash.errors import InputError
from isohash.sources.dicom.copies import Alike
from isohash.sources.dicom.parts import PARTS, named_parts
from isohash.sources.dicom.scan import Instance

SUMS = ("PLAN", "FRACTION", "BRACHY", "BEAM")  # DoseSummationType, in the order of preference
SEVERAL = "MULTI_PLAN"  # the sum of several plans: a case of its own
DOSE_TYPES = ("PHYSICAL", "EFFECTIVE")


def choose_doses(
    doses: Sequence[Instance], alike: Alike
) -> tuple[tuple[Instance, ...], list[str], dict[Instance, str]]:
    """The doses to add up for one plan, how that was decided, and why each other was left.

    One PLAN dose is taken as it is; else all FRACTION doses, else those of application setups, else
    all BEAM doses are added. A dose that was exported twice counts once. A physical dose is
    preferred to an effective one and the two are never added. Only absolute doses count.
    """
    warnings = []
    usable = _usable(doses)
    if {"PHYSICAL", "EFFECTIVE"} <= {dose.dose_type for dose in usable}:
        usable = [dose for dose in usable if dose.dose_type == "PHYSICAL"]
        warnings.append("physical dose taken; an effective dose is there as well")
    elif usable[0].dose_type == "EFFECTIVE":
        warnings.append("dose is effective (weighted by biological effect), not physical")
    summation = _summation(usable)
    same = [dose for dose in usable if dose.summation == summation]
    chosen, left = _once(same, alike)
    if left:
        warnings.append(f"{len(left)} dose(s) were exported again with equal values: counted once")
    warnings += _sum(chosen, summation)
    for dose in doses:
        if dose not in chosen:
            left.setdefault(dose, f"{dose.summation} dose beside the one that was taken")
    return tuple(chosen), warnings, left


def _summation(doses: Sequence[Instance]) -> str:
    kinds = {dose.summation for dose in doses}
    for summation in (SEVERAL, *SUMS):
        if summation in kinds:
            return summation
    listing = ", ".join(sorted(kind or "missing" for kind in kinds))
    raise InputError(f"DoseSummationType is {listing}, which is no dose of a whole plan")


def _once(doses: Sequence[Instance], alike: Alike) -> tuple[list[Instance], dict[Instance, str]]:
    """Doses of which no two are equal, and the equal ones with the reason.

    Parts are equal if they say that they are of the same part. Where they do not say it, nobody can
    tell a copy from a part with the same dose.
    """
    chosen: list[Instance] = []
    left: dict[Instance, str] = {}
    for dose in sorted(doses, key=lambda one: (not one.plan_uid, one.path.name, one.sop_uid)):
        twin = next((other for other in chosen if _may_be_one(other, dose, alike)), None)
        if twin is None:
            chosen.append(dose)
        elif dose.summation in PARTS and not named_parts(dose):
            kind = PARTS[dose.summation][0]
            raise InputError(
                f"two {dose.summation} doses are equal and name no {kind}: whether one is a copy "
                "of the other is not said"
            )
        else:
            left[dose] = f"the same dose as {twin.path.name}, exported again"
    return chosen, left


def _may_be_one(a: Instance, b: Instance, alike: Alike) -> bool:
    of_one_part = a.summation not in PARTS or named_parts(a) == named_parts(b)
    return of_one_part and alike(a, b)


def _sum(chosen: Sequence[Instance], summation: str) -> list[str]:
    """What is to be said of adding these doses; InputError if they must not be."""
    if summation == SEVERAL:
        return ["dose is the sum of several plans (MULTI_PLAN)"]
    if summation not in PARTS:
        if len(chosen) > 1:
            raise InputError(
                f"{len(chosen)} {summation} doses of one plan: which is valid is not said"
            )
        return []
    kind = PARTS[summation][0]
    named = [part for dose in chosen for part in named_parts(dose)]
    if len(named) > len(set(named)):
        raise InputError(f"two doses are of the same {kind}, and nothing says which is valid")
    if not all(dose.plan_uid for dose in chosen):
        raise InputError(f"a {summation} dose that names no plan: of what it is part is not said")
    return []


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
