"""One vector of a case's anatomy, in parts: where the organs lie about the targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from isohash.dosimetry.names import structures_by_name
from isohash.errors import InputError
from isohash.features.cases.geometry import (
    Vector,
    overlap_volume_histograms,
    shared_heights,
    target_signature,
)
from isohash.features.cases.geometry_settings import GEOMETRY_PARTS, GeometrySettings
from isohash.records import Case

SATURATION_MM = 20.0


@dataclass(frozen=True)
class Part:
    """One of the vectors: how it is made, its weight, and whether its entries share a unit."""

    make: Callable[[Case, GeometrySettings], Vector]
    weight: float
    one_unit: bool


def _saturated_overlap(case: Case, settings: GeometrySettings) -> Vector:
    distance = overlap_volume_histograms(case, settings)
    return SATURATION_MM * np.tanh(distance / SATURATION_MM)


def _presence(case: Case, settings: GeometrySettings) -> Vector:
    """1 for every target that is there: a set of dose levels is half of the plan's intent."""
    found = structures_by_name(case)
    return np.array([float(name in found) for name in settings.targets])


# The weights were chosen by leave-one-out rank correlation with plan distance on the 169
# OpenKBP training patients; within a factor of 2 they matter little.
PARTS: dict[str, Part] = {
    "overlap": Part(_saturated_overlap, 1.0, True),
    "heights": Part(shared_heights, 0.5, True),
    "presence": Part(_presence, 0.6, True),
    "signature": Part(target_signature, 0.5, False),
}


def case_vector(
    case: Case, settings: GeometrySettings, parts: Sequence[str] = GEOMETRY_PARTS
) -> Vector:
    """The parts' raw vectors one after another, NaN where a structure is absent."""
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        raise InputError(f"unknown parts {unknown}: choose from {', '.join(PARTS)}")
    return np.concatenate([PARTS[name].make(case, settings) for name in parts])
