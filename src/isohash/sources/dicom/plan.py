"""RTPLAN and RT Ion Plan: what was prescribed, in which fractions and beams, and how.

Only numbers and words of closed lists leave a plan: labels and comments may name a person.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydicom.dataset import Dataset

from isohash.errors import InputError
from isohash.sources.dicom.elements import numbers, only, read_dataset, text, value, whole_number
from isohash.sources.dicom.scan import Instance

LABELS = ["RTPlanLabel", "RTPlanName", "RTPlanDescription", "PrescriptionDescription"]
PLAN_TAGS = [
    "DoseReferenceSequence", "FractionGroupSequence", "BeamSequence", "IonBeamSequence",
    "ApplicationSetupSequence", "ApprovalStatus", "PlanIntent", *LABELS,
]  # fmt: skip
APPROVALS = ("APPROVED", "UNAPPROVED", "REJECTED")
INTENTS = ("CURATIVE", "PALLIATIVE", "PROPHYLACTIC", "VERIFICATION", "MACHINE_QA", "RESEARCH",
           "SERVICE")  # fmt: skip
QA = ("VERIFICATION", "MACHINE_QA", "SERVICE")  # intents of which doses lie in phantoms
HIGHEST_GY = 200.0  # a prescription beyond it is in cGy or senseless
# A field in field has a few segments of two control points each, and is planned like a plain field.
FIELD_IN_FIELD = 10
STEADY = 0.01  # share by which the meterset per degree of an arc of constant rate may vary


Point = tuple[float, float, float]


@dataclass(frozen=True)
class Reference:
    """A dose in Gy that the plan states, and the point in patient mm where it does, if any."""

    gy: float
    at: Point | None = None


@dataclass(frozen=True)
class FractionGroup:
    """Fractions that are all alike: `beams` and `setups` (of brachytherapy) by number.

    Each with the dose of one fraction, None where the plan does not state it.
    """

    number: int | None
    fractions: int | None
    beams: Mapping[int, float | None] = field(default_factory=dict)
    setups: Mapping[int, Reference | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a case needs of a plan; None and empty where the plan does not say.

    `target_gy` is the highest dose of a target, `references` are doses at points. `labels` is what
    somebody typed: it is searched for numbers and goes nowhere.
    """

    target_gy: float | None = None
    groups: tuple[FractionGroup, ...] = ()
    references: tuple[Reference, ...] = ()
    technique: str | None = None
    approval: str | None = None
    intent: str | None = None
    labels: tuple[str, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = field(default=())

    @property
    def n_fractions(self) -> int | None:
        """Fractions of all groups."""
        return sum(group.fractions or 0 for group in self.groups) or None

    @property
    def beams(self) -> frozenset[int]:
        """Numbers of the beams that deliver dose."""
        return frozenset(beam for group in self.groups for beam in group.beams)

    def parts(self, of: str) -> frozenset[tuple[int, int]]:
        """Group and number of all "beams" or "setups": one beam may be in several groups."""
        return frozenset(
            (_number(at, group), number)
            for at, group in enumerate(self.groups)
            for number in getattr(group, of)
        )

    @property
    def group_numbers(self) -> frozenset[int]:
        """Numbers of the fraction groups; those without one get one that nothing names."""
        return frozenset(_number(at, group) for at, group in enumerate(self.groups))

    @property
    def is_brachy(self) -> bool:
        """Whether sources are brought into the patient."""
        return self.technique == "BRACHY"

    @property
    def facts(self) -> dict[str, str | int | float]:
        """What is known, by the names that filters use."""
        known: dict[str, str | int | float | None] = {
            "n_fractions": self.n_fractions,
            "n_beams": len(self.beams) or None,
            "technique": self.technique,
            "approval": self.approval,
            "intent": self.intent,
        }
        return {name: fact for name, fact in known.items() if fact is not None}


def _number(at: int, group: FractionGroup) -> int:
    return -at - 2 if group.number is None else group.number


def read_plan(file: Instance) -> Plan:
    """What the plan says; doses of targets in cGy and plans that treat nobody leave a warning."""
    dataset = read_dataset(file.path, only(PLAN_TAGS))
    groups = tuple(_group(item) for item in value(dataset, "FractionGroupSequence") or ())
    targets = list(_target_doses(dataset))
    likely = [dose for dose in targets if dose <= HIGHEST_GY]
    intent = _one_of(INTENTS, value(dataset, "PlanIntent"))
    return Plan(
        target_gy=max(likely, default=None),
        groups=groups,
        references=tuple(_references(dataset)),
        technique=technique(dataset, frozenset(beam for group in groups for beam in group.beams)),
        approval=_one_of(APPROVALS, value(dataset, "ApprovalStatus")),
        intent=intent,
        labels=tuple(text(dataset, keyword) for keyword in LABELS),
        warnings=(
            *(
                f"the plan prescribes {dose:g} Gy, which is passed over (in cGy?)"
                for dose in sorted(set(targets) - set(likely))
            ),
            *([f"PlanIntent is {intent}: no plan to treat a patient by"] if intent in QA else ()),
        ),
    )


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
        dose = _positive(reference, "TargetPrescriptionDose")
        if dose is not None and value(reference, "DoseReferenceType") == "TARGET":
            yield dose


def _references(dataset: Dataset) -> Iterator[Reference]:
    """Doses that the plan states at points, whatever these points are."""
    for reference in value(dataset, "DoseReferenceSequence") or ():
        gy = _positive(reference, "TargetPrescriptionDose")
        at = _point(reference, "DoseReferencePointCoordinates")
        if gy is not None and at is not None:
            yield Reference(gy, at)


def _group(item: Dataset) -> FractionGroup:
    """Setup beams have neither meterset nor dose and are left out."""
    beams: dict[int, float | None] = {}
    for beam in value(item, "ReferencedBeamSequence") or ():
        number = whole_number(beam, "ReferencedBeamNumber")
        if number is not None and (_positive(beam, "BeamMeterset") or _positive(beam, "BeamDose")):
            beams[number] = _positive(beam, "BeamDose")
    setups: dict[int, Reference | None] = {}
    for setup in value(item, "ReferencedBrachyApplicationSetupSequence") or ():
        number = whole_number(setup, "ReferencedBrachyApplicationSetupNumber")
        if number is not None:
            gy = _positive(setup, "BrachyApplicationSetupDose")
            at = _point(setup, "BrachyApplicationSetupDoseSpecificationPoint")
            setups[number] = None if gy is None else Reference(gy, at)
    fractions = whole_number(item, "NumberOfFractionsPlanned")
    return FractionGroup(whole_number(item, "FractionGroupNumber"), fractions, beams, setups)


def _positive(item: Dataset, keyword: str) -> float | None:
    try:
        (found,) = numbers(item, keyword, 1)
    except InputError:
        return None
    return found if 0 < found < math.inf else None


def _point(item: Dataset, keyword: str) -> Point | None:
    try:
        x, y, z = numbers(item, keyword, 3)
    except InputError:
        return None
    return (x, y, z) if all(map(math.isfinite, (x, y, z))) else None
