"""The rigid transfer: the mean of the nearest past doses, laid on a patient by their structures.

It stands in where an archive has too few plans for a dose model. It misses targets by many Gy
(docs/planning.md), so whoever is told of it is told that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.bands import LEAST_SPREAD_GY
from isohash.dosimetry.rigid import dose_at, rigid_between
from isohash.errors import InputError
from isohash.retrieval.dose_arrays import GRID, PLAN_BYTES, KeptDose
from isohash.retrieval.entry import Entry
from isohash.retrieval.items import Items
from isohash.retrieval.planning.past import Neighbour, alike, planned_plans

MOST, FEWEST = 5, 3  # plans that are laid together
WIDTHS = (1.0, 1.645)  # standard deviations that hold 68 and 90 % of a normal distribution

Doses = NDArray[np.float64]
Field = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Transfer:
    """The mean of `plans` laid on a patient: Gy and half widths (2, z, y, x) on a grid.

    `histograms` and `metrics`: mean of the plans' own, and half widths, of each structure.
    """

    gy: Field
    half_widths: Field
    affine: NDArray[np.float64]
    plans: tuple[Neighbour, ...]
    histograms: Mapping[str, tuple[Doses, Doses]]
    metrics: Mapping[str, tuple[Doses, Doses]]


def transfer(items: Items, query: Entry, kept: KeptDose, nearest: Sequence[Neighbour]) -> Transfer:
    """From the nearest plans of like patients; InputError where there are fewer than `FEWEST`."""
    known = nearest or _by_layout(kept, planned_plans(items, query))
    dosed = [one for one in known if PLAN_BYTES in one.kept.arrays and alike(kept, one.kept)]
    plans = tuple(dosed[:MOST])
    if len(plans) < FEWEST:
        raise InputError(
            f"no dose can be proposed for {query.id}: {len(plans)} past plans have a dose and "
            f"organs like its own, {FEWEST} are needed"
        )
    inside = kept.places > 0
    affine = np.asarray(kept.arrays[GRID][3:], dtype=np.float64).reshape(4, 4)
    points = np.argwhere(inside) @ affine[:3, :3].T + affine[:3, 3]
    laid = np.array([laid_on(kept, one.kept, points) for one in plans])
    gy, half = np.zeros(inside.shape, np.float32), np.zeros((2, *inside.shape), np.float32)
    gy[inside] = laid.mean(axis=0)
    spread = laid.std(axis=0, ddof=1) + LEAST_SPREAD_GY
    for at, width in enumerate(WIDTHS):
        half[at][inside] = width * spread
    histograms, metrics = _own_of(kept, plans)
    return Transfer(gy, half, affine, plans, histograms, metrics)


def laid_on(query: KeptDose, past: KeptDose, points: NDArray[np.float64]) -> Field:
    """The dose of a past plan at points (n, 3) of a patient, after the rigid motion."""
    planned = past.planned
    assert planned is not None  # only such plans are asked for
    return dose_at(planned, rigid_between(query.centres, past.centres)(points))


def _by_layout(kept: KeptDose, plans: Sequence[Neighbour]) -> list[Neighbour]:
    """The plans in the order of how well their structures' centres come upon the query's."""
    return sorted(plans, key=lambda one: _misfit(kept, one.kept))


def _misfit(query: KeptDose, past: KeptDose) -> float:
    """Root mean square distance in mm of the shared centres after the rigid motion."""
    mine, theirs = query.centres, past.centres
    shared = sorted(set(mine) & set(theirs))
    moved = rigid_between(mine, theirs)(np.array([mine[name] for name in shared]))
    apart = moved - np.array([theirs[name] for name in shared])
    return float(np.sqrt((apart**2).sum(axis=1).mean()))


def _own_of(
    kept: KeptDose, plans: Sequence[Neighbour]
) -> tuple[dict[str, tuple[Doses, Doses]], dict[str, tuple[Doses, Doses]]]:
    """Histograms and objectives of the query's structures that at least two plans have."""
    found: tuple[dict[str, tuple[Doses, Doses]], ...] = ({}, {})
    for name in kept.structures:
        having = [one.kept for one in plans if name in one.kept.structures]
        if len(having) < 2:
            continue
        rows = [_planned_rows(one, name) for one in having]
        for told, values in zip(found, zip(*rows, strict=True), strict=True):
            several = np.array(values)
            spread = several.std(axis=0, ddof=1) + LEAST_SPREAD_GY
            told[name] = (several.mean(axis=0), np.outer(WIDTHS, spread))
    return found[0], found[1]


def _planned_rows(kept: KeptDose, structure: str) -> tuple[Doses, Doses]:
    own = kept.own(planned=True)
    assert own is not None  # there is a planned dose
    at = kept.structures.index(structure)
    return own[0][at], own[1][at]
