"""Whether doses that are parts make up a plan: of its fraction groups, beams or setups.

A part that is missing makes the sum of another plan, so it is refused, and so is a sum of which
nobody can tell. Each way of telling leaves a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isohash.errors import InputError
from isohash.sources.dicom.plan import Plan
from isohash.sources.dicom.scan import UNKNOWN_GROUP, Instance

# DoseSummationType -> what it is a part of, and the field of an Instance that numbers it.
PARTS = {
    "FRACTION": ("fraction group", "groups"),
    "BEAM": ("beam", "beams"),
    "BRACHY": ("application setup", "setups"),
}


def named_parts(dose: Instance) -> frozenset[Any]:
    """What a dose says that it is a part of; empty if it says nothing."""
    parts: frozenset[Any] = getattr(dose, PARTS[dose.summation][1])
    return parts


def check_parts(plan: Plan | None, doses: Sequence[Instance]) -> list[str]:
    """Refuse doses that lack a part of the plan; warnings where that cannot be told."""
    if not doses:
        return []
    summation = doses[0].summation
    if summation not in PARTS:
        return _of_a_part(plan, doses[0])
    warnings = [f"dose is {_sum_of(len(doses), summation)}"]
    if plan is None:
        return [*warnings, "without the plan file nobody can tell whether all parts are there"]
    kind, numbered = PARTS[summation]
    wanted = plan.group_numbers if summation == "FRACTION" else plan.parts(numbered)
    if all(map(named_parts, doses)):
        _check_all_there(kind, wanted, frozenset().union(*map(named_parts, doses)))
        return warnings
    return [*warnings, *_unnamed(kind, summation, len(doses), len(wanted))]


def _sum_of(n: int, summation: str) -> str:
    return f"the sum of {n} {summation} doses" if n > 1 else f"the only {summation} dose"


def _check_all_there(kind: str, wanted: frozenset[Any], named: frozenset[Any]) -> None:
    """InputError that lists what is missing; a number without its group stands for it in each."""
    missing = [part for part in sorted(wanted) if not _is_in(named, part)]
    if missing:
        one_group = len({part[0] for part in wanted if isinstance(part, tuple)}) <= 1
        listing = ", ".join(_spelled(part, one_group) for part in missing)
        raise InputError(f"the dose of {kind} {listing} is missing: the dose is incomplete")


def _is_in(named: frozenset[Any], part: Any) -> bool:
    return part in named or (isinstance(part, tuple) and (UNKNOWN_GROUP, part[1]) in named)


def _spelled(part: Any, one_group: bool) -> str:
    if not isinstance(part, tuple):
        return str(part)
    return str(part[1]) if one_group else f"{part[1]} of fraction group {part[0]}"


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
    groups = frozenset[int]() if plan is None else plan.group_numbers
    if dose.groups and dose.groups < groups:
        listing = ", ".join(map(str, sorted(dose.groups)))
        return [f"the dose names fraction group {listing} of {len(groups)} only"]
    return []
