"""What dose was prescribed, where a plan does not plainly say so.

Many plans have no DoseReference of a target. `RULES` are asked in their order, and the first that
finds a dose is taken; all but the first leave a warning that says where it was found.

1. The highest dose of a target among the plan's DoseReferences. In brachytherapy, where it equals
   the dose of one fraction, it is that of one fraction.
2. In brachytherapy the dose of the application setups, times the fractions, added over groups.
3. The doses of the beams, times the fractions, added over groups; all beams must state theirs.
4. A structure (often a point) called "rx: 70Gy" or "rx1: nodes: 180 cGy x 25".
5. The highest level of a target's name: "PTV_70", "H&N PTV_70Gy", "ptv 7000".
6. The highest dose with a unit in what the plan is called: "Prostate 78Gy", "35 x 2 Gy".

Names and labels are searched for numbers only; nothing else of them is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from isohash.sources.dicom.plan import FractionGroup, Plan

HIGHEST_GY = 200.0  # beyond it a dose is in cGy or senseless
LEAST_LEVEL = 10.0  # Gy: a smaller number behind a target counts targets, as in PTV1
SAME = 0.02  # share by which two doses may differ that are one
MOST_PER_FRACTION = 30.0  # Gy: of more "times n" is not added up
MOST_IN_ALL = 90.0  # Gy: what "20 Gy x 5" would exceed means 20 Gy in 5 fractions

_WITH_UNIT = re.compile(
    r"(?:(?P<before>\d{1,2})\s*[x*]\s*)?(?P<dose>\d+(?:[.,]\d+)?)\s*(?P<unit>c?gy)\b"
    r"(?!\s*(?:/\s*f|per\b))(?:\s*[x*]\s*(?P<after>\d{1,2})\b)?"
)
_RX = re.compile(r"(?<![a-z])(?:rx|prescription|prescribed|presc)(?![a-z])")
_BARE_RX = re.compile(r"rx\d?\s*[:=_]?\s*(?P<dose>\d{2,4}(?:[.,]\d+)?)(?![\d.,]*\s*(?:mm|cm|%))")
_TARGET = re.compile(r"[pcgi]tv")
_BARE = re.compile(
    r"(?<![\d.,])(?P<dose>\d{1,4}(?:[.,]\d{1,2})?)(?![\d.,])(?!\s*(?:mm|cm|%|ml|cc|x|\*))"
)


def prescribe(plan: Plan, names: Sequence[str]) -> tuple[float | None, list[str]]:
    """The prescription in Gy, None if nothing tells it, and warnings; `names` as they are typed."""
    for rule, source in RULES:
        gy = rule(plan, names)
        if gy is not None and 0 < gy <= HIGHEST_GY:
            return gy, [f"prescription {gy:g} Gy is {source}"] if source else []
    return None, []


def per_fraction_gy(plan: Plan) -> float | None:
    """The dose of one fraction of a brachytherapy plan; None where groups differ or are silent."""
    doses = {_of_setups(group) for group in plan.groups} if plan.is_brachy else set()
    only = next(iter(doses)) if len(doses) == 1 else None
    return only or None


def _targets(plan: Plan, names: Sequence[str]) -> float | None:
    return None if _states_one_fraction(plan) else plan.target_gy


def _states_one_fraction(plan: Plan) -> bool:
    """Whether a brachytherapy plan gives the dose of one fraction as that of its target."""
    one, n = per_fraction_gy(plan), plan.n_fractions or 1
    return bool(plan.target_gy and one and n > 1 and abs(plan.target_gy - one) <= SAME * one)


def _setups(plan: Plan, names: Sequence[str]) -> float | None:
    parts = [_of_setups(group) * (group.fractions or 1) for group in plan.groups]
    return sum(parts) or None if plan.is_brachy else None


def _of_setups(group: FractionGroup) -> float:
    """Gy of one fraction: setups that state their dose at one point add up, others do not."""
    stated = [reference for reference in group.setups.values() if reference is not None]
    doses = [reference.gy for reference in stated]
    one_point = len({reference.at for reference in stated}) == 1
    return (sum(doses) if one_point else max(doses)) if doses else 0.0


def _beams(plan: Plan, names: Sequence[str]) -> float | None:
    total = 0.0
    for group in plan.groups:
        doses = list(group.beams.values())
        if not doses or not group.fractions or any(dose is None for dose in doses):
            return None
        total += group.fractions * sum(dose for dose in doses if dose is not None)
    return round(total, 2) or None


def _rx_names(plan: Plan, names: Sequence[str]) -> float | None:
    found: list[float] = []
    for name in map(str.lower, names):
        if (start := _RX.search(name)) is not None:
            found += amounts(name[start.start() :]) or _bare(name[start.start() :])
    return max(found, default=None)


def _bare(text: str) -> list[float]:
    found = _BARE_RX.match(text)
    return [_gy(found["dose"], None)] if found else []


def _target_names(plan: Plan, names: Sequence[str]) -> float | None:
    return max(target_levels(names), default=None)


def _labels(plan: Plan, names: Sequence[str]) -> float | None:
    return max((gy for label in plan.labels for gy in amounts(label.lower())), default=None)


def amounts(text: str) -> list[float]:
    """Doses in Gy that stand with their unit in a lower-case text, fractions multiplied out."""
    found = []
    for match in _WITH_UNIT.finditer(text):
        gy, n = _gy(match["dose"], match["unit"]), match["before"] or match["after"]
        total = gy * int(n or 1)
        found.append(total if gy <= MOST_PER_FRACTION and total <= MOST_IN_ALL else gy)
    return found


def target_levels(names: Sequence[str]) -> list[float]:
    """Levels in Gy of targets by their names; of planning targets, if they have any."""
    by_kind: dict[bool, list[float]] = {True: [], False: []}
    bare: dict[bool, list[float]] = {True: [], False: []}
    for name in map(str.lower, names):
        if (target := _TARGET.search(name)) is not None:
            planning, rest = target[0] == "ptv", name[target.end() :]
            if stated := amounts(rest):
                by_kind[planning] += stated
            else:
                bare[planning] += [_gy(found["dose"], None) for found in _BARE.finditer(rest)]
    return next(filter(None, (by_kind[k] + _no_counts(bare[k]) for k in (True, False))), [])


def _no_counts(numbers: Sequence[float]) -> list[float]:
    """Numbers that are levels: those below 10 count targets, and so do all of PTV1 to PTV12."""
    counted = 1
    while float(counted) in numbers:
        counted += 1
    return [gy for gy in numbers if gy >= max(LEAST_LEVEL, counted) and gy <= HIGHEST_GY]


def _gy(number: str, unit: str | None) -> float:
    value = float(number.replace(",", "."))
    return value / 100.0 if unit == "cgy" or (unit is None and value >= 1000.0) else value


Rule = Callable[[Plan, Sequence[str]], float | None]
RULES: tuple[tuple[Rule, str], ...] = (
    (_targets, ""),
    (_setups, "the dose of the application setups times the fractions"),
    (_beams, "the doses of the beams times the fractions"),
    (_rx_names, "read from a structure named as the prescription"),
    (_target_names, "read from the names of targets"),
    (_labels, "read from what the plan is called"),
)
