"""RTPLAN and RT Ion Plan: what was prescribed, and whether the beam doses are all there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from isohash.errors import InputError
from isohash.sources.dicom_scan import Instance, numbers, read_dataset, value, whole_number

PLAN_TAGS = ["DoseReferenceSequence", "FractionGroupSequence"]


@dataclass(frozen=True)
class Plan:
    """What a case needs of a plan; None and empty where the plan does not say."""

    prescription_gy: float | None
    n_fractions: int | None
    beams: frozenset[int]  # numbers of the beams that deliver dose


def read_plan(file: Instance) -> Plan:
    """Prescription is the highest dose of a target; fractions are added over fraction groups."""
    dataset = read_dataset(file.path, specific_tags=PLAN_TAGS)
    groups = list(value(dataset, "FractionGroupSequence") or ())
    fractions = [whole_number(group, "NumberOfFractionsPlanned") for group in groups]
    planned = [number for number in fractions if number is not None]
    return Plan(
        prescription_gy=max(_target_doses(dataset), default=None),
        n_fractions=sum(planned) if planned else None,
        beams=frozenset(beam for group in groups for beam in _beams(group)),
    )


def check_beams(plan: Plan, doses: Sequence[Instance]) -> None:
    """Refuse a sum of beam doses that leaves out a beam of the plan, where that can be told."""
    if not doses or doses[0].summation != "BEAM" or not all(dose.beams for dose in doses):
        return
    missing = plan.beams - frozenset().union(*(dose.beams for dose in doses))
    if missing:
        listing = ", ".join(map(str, sorted(missing)))
        raise InputError(
            f"{doses[0].path.parent}: dose of beam {listing} is missing from the sum of beam doses"
        )


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
