"""Whether doses that are parts make up a plan: of its fraction groups, beams or setups.

A part that is missing makes the sum of another plan, so it is refused, and so is a sum of which
nobody can tell. Each way of telling leaves a warning.
"""

from __future__ import annotations

from collections.abc import Sequence

from isohash.errors import InputError
from isohash.sources.dicom.plan import Plan
from isohash.sources.dicom.scan import Instance

# DoseSummationType -> what it is a part of, and the field of an Instance that numbers it.
PARTS = {
    "FRACTION": ("fraction group", "groups"),
    "BEAM": ("beam", "beams"),
    "BRACHY": ("application setup", "setups"),
}


def check_parts(plan: Plan | None, doses: Sequence[Instance]) -> list[str]:
    """Refuse doses that lack a part of the plan; warnings where that cannot be told."""
    if not doses:
        return []
    summation = doses[0].summation
    if summation not in PARTS:
        return _of_a_part(plan, doses[0])
    kind, numbered = PARTS[summation]
    warnings = [f"dose is the sum of {len(doses)} {summation} dose(s)"]
    named = [number for dose in doses for number in getattr(dose, numbered)]
    if plan is None:
        return [*warnings, "without the plan file nobody can tell whether all parts are there"]
    wanted = _wanted(plan, summation)
    if all(getattr(dose, numbered) for dose in doses):
        if missing := sorted(wanted - set(named)):
            listing = ", ".join(map(str, missing))
            raise InputError(f"the dose of {kind} {listing} is missing: the dose is incomplete")
        return warnings
    return [*warnings, *_unnamed(kind, summation, len(doses), len(wanted))]


def _wanted(plan: Plan, summation: str) -> frozenset[int]:
    """Numbers of all parts of a plan; parts without a number get one that nothing names."""
    if summation == "FRACTION":
        return frozenset(
            -at - 1 if group.number is None else group.number
            for at, group in enumerate(plan.groups)
        )
    return plan.beams if summation == "BEAM" else plan.setups


def _unnamed(kind: str, summation: str, n_doses: int, n_wanted: int) -> list[str]:
    """Doses that do not say of which part they are: as many as there are parts, or one of one."""
    if n_doses == 1 and (n_wanted <= 1 or summation == "BRACHY"):
        return [] if n_wanted == 1 else [f"the dose does not say of which {kind} it is"]
    if n_wanted and n_doses != n_wanted:
        raise InputError(
            f"{n_doses} {summation} dose(s) that name no {kind}, of a plan of {n_wanted}: "
            "the dose is incomplete or counted twice"
        )
    return [f"the doses name no {kind}: that all are there is told by their number only"]


def _of_a_part(plan: Plan | None, dose: Instance) -> list[str]:
    """A dose that is called that of a plan and names some of its fraction groups only."""
    groups = frozenset() if plan is None else _wanted(plan, "FRACTION")
    if dose.groups and dose.groups < groups:
        listing = ", ".join(map(str, sorted(dose.groups)))
        return [f"the dose names fraction group {listing} of {len(groups)} only"]
    return []
