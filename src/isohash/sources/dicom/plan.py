"""RTPLAN and RT Ion Plan: what was prescribed and how, and whether the beam doses are all there.

Only numbers and words of closed lists leave a plan: labels and comments may name a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydicom.dataset import Dataset

from isohash.errors import InputError
from isohash.sources.dicom.elements import numbers, only, read_dataset, value, whole_number
from isohash.sources.dicom.scan import Instance

PLAN_TAGS = [
    "DoseReferenceSequence", "FractionGroupSequence", "BeamSequence", "IonBeamSequence",
    "ApplicationSetupSequence", "ApprovalStatus", "PlanIntent",
]  # fmt: skip
APPROVALS = ("APPROVED", "UNAPPROVED", "REJECTED")
INTENTS = ("CURATIVE", "PALLIATIVE", "PROPHYLACTIC", "VERIFICATION", "MACHINE_QA", "RESEARCH",
           "SERVICE")  # fmt: skip
HIGHEST_GY = 200.0  # a prescription beyond it is in cGy or senseless
# A field in field has a few segments of two control points each, and is planned like a plain field.
FIELD_IN_FIELD = 10
STEADY = 0.01  # share by which the meterset per degree of an arc of constant rate may vary


@dataclass(frozen=True)
class Plan:
    """What a case needs of a plan; None and empty where the plan does not say."""

    prescription_gy: float | None = None
    n_fractions: int | None = None
    n_beams: int | None = None
    technique: str | None = None
    approval: str | None = None
    intent: str | None = None
    beams: frozenset[int] = frozenset()  # numbers of the beams that deliver dose
    warnings: tuple[str, ...] = field(default=())

    @property
    def facts(self) -> dict[str, str | int | float]:
        """What is known, by the names that filters use."""
        known: dict[str, str | int | float | None] = {
            "n_fractions": self.n_fractions,
            "n_beams": self.n_beams,
            "technique": self.technique,
            "approval": self.approval,
            "intent": self.intent,
        }
        return {name: fact for name, fact in known.items() if fact is not None}


def read_plan(file: Instance) -> Plan:
    """Prescription is the highest dose of a target; fractions are added over fraction groups."""
    dataset = read_dataset(file.path, only(PLAN_TAGS))
    groups = list(value(dataset, "FractionGroupSequence") or ())
    fractions = [whole_number(group, "NumberOfFractionsPlanned") for group in groups]
    planned = [number for number in fractions if number is not None]
    doses = list(_target_doses(dataset))
    likely = [dose for dose in doses if dose <= HIGHEST_GY]
    beams = frozenset(beam for group in groups for beam in _beams(group))
    return Plan(
        prescription_gy=max(likely, default=None),
        n_fractions=sum(planned) or None,
        n_beams=len(beams) or None,
        technique=technique(dataset, beams),
        approval=_one_of(APPROVALS, value(dataset, "ApprovalStatus")),
        intent=_one_of(INTENTS, value(dataset, "PlanIntent")),
        beams=beams,
        warnings=tuple(
            f"the plan prescribes {dose:g} Gy, which is passed over (in cGy?)"
            for dose in sorted(set(doses) - set(likely))
        ),
    )


def check_beams(plan: Plan, doses: Sequence[Instance]) -> None:
    """Refuse a sum of beam doses that leaves out a beam of the plan, where that can be told."""
    if not doses or doses[0].summation != "BEAM" or not all(dose.beams for dose in doses):
        return
    missing = plan.beams - frozenset().union(*(dose.beams for dose in doses))
    if missing:
        listing = ", ".join(map(str, sorted(missing)))
        raise InputError(f"the dose of beam {listing} is missing from the sum of beam doses")


def technique(dataset: Dataset, delivering: frozenset[int]) -> str | None:
    """How the dose is delivered, from the control points; several are joined by `+`.

    3DCRT (fixed gantry, also field in field), IMRT (fixed gantry, moving leaves), VMAT (turning
    gantry, moving leaves, varying meterset per degree), DCAT (the same, at a steady rate), ARC
    (turning gantry, fixed leaves), ELECTRON, PROTON, ION, BRACHY.
    """
    if value(dataset, "ApplicationSetupSequence") is not None:
        return "BRACHY"
    found = set()
    for keyword in ("BeamSequence", "IonBeamSequence"):
        for beam in value(dataset, keyword) or ():
            setup = value(beam, "TreatmentDeliveryType") in (
                "SETUP",
                "OPEN_PORTFILM",
                "TRMT_PORTFILM",
            )
            number = whole_number(beam, "BeamNumber")
            if not setup and (not delivering or number in delivering):
                found.add(_of_beam(beam))
    return "+".join(sorted(found)) or None


def _of_beam(beam: Dataset) -> str:
    kind = value(beam, "RadiationType")
    if kind in ("ELECTRON", "PROTON", "ION"):
        return str(kind)
    points = list(value(beam, "ControlPointSequence") or ())
    turning = any(value(point, "GantryRotationDirection") in ("CW", "CC") for point in points)
    shapes = {shape for point in points if (shape := _shape(point))}
    if turning:
        if len(shapes) < 2:
            return "ARC"
        return "DCAT" if _steady(points) else "VMAT"
    return "IMRT" if len(shapes) > 1 and len(points) > FIELD_IN_FIELD else "3DCRT"


def _shape(point: Dataset) -> tuple[float, ...]:
    """Positions of the leaves; empty where the point does not move them."""
    for device in value(point, "BeamLimitingDevicePositionSequence") or ():
        if str(value(device, "RTBeamLimitingDeviceType") or "").startswith("MLC"):
            try:
                return numbers(device, "LeafJawPositions")
            except InputError:
                return ()
    return ()


def _steady(points: Sequence[Dataset]) -> bool:
    """Whether an arc delivers the same meterset for every degree."""
    try:
        angle = np.unwrap([numbers(p, "GantryAngle", 1)[0] for p in points], period=360.0)
        weight = np.array([numbers(p, "CumulativeMetersetWeight", 1)[0] for p in points])
    except InputError:
        return False
    turn = np.abs(np.diff(angle))
    if (turn == 0).any():
        return False
    rate = np.diff(weight) / turn
    return bool(rate.max() - rate.min() <= STEADY * abs(rate.mean()))


def _one_of(words: Sequence[str], found: object) -> str | None:
    return str(found) if found in words else None


def _target_doses(dataset: Dataset) -> Iterator[float]:
    for reference in value(dataset, "DoseReferenceSequence") or ():
        if value(reference, "DoseReferenceType") != "TARGET":
            continue
        if value(reference, "TargetPrescriptionDose") is not None:
            (dose,) = numbers(reference, "TargetPrescriptionDose", 1)
            if dose > 0:
                yield dose


def _beams(group: Dataset) -> Iterator[int]:
    """Beams with a meterset or a dose; setup beams have none."""
    for beam in value(group, "ReferencedBeamSequence") or ():
        number = whole_number(beam, "ReferencedBeamNumber")
        if number is not None and (value(beam, "BeamMeterset") or value(beam, "BeamDose")):
            yield number
