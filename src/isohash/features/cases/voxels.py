"""What is measured of every cell of an anatomy: numbers that say what dose it may get.

| feature | unit | meaning |
|---|---|---|
| `distance LEVEL` | mm | to the surface of a dose level, negative inside |
| `distance target` | mm | to that of all targets |
| `distance ORGAN` | mm | the same of an organ |
| `flat target`, `flat highest` | mm | to the targets, to the highest level within the slice |
| `above`, `below` | mm | below the first, above the last slice of the targets |
| `above highest`, `below highest` | mm | the same of the highest level |
| `left`, `back`, `down` | mm | from the middle of all targets |
| `aside` | mm | from the patient's midline |
| `skin` | mm | below the body's surface, within the slice; negative in the air around |
| `density` | of water | |
| `prescribed`, `prescribed near` | of the prescription | of the cell, of the nearest target |
| `treated area` | cm2 | of the targets in the cell's slice |
| `volume LEVEL` | cc | of each dose level; 0 where the case has none |
| `open LEVEL` | of the level's mean | dose of fields open to each level |
| `plan` | of the prescription | dose of the crude plan |

Levels are dose levels as shares of the highest prescription: 0.8 takes whatever target is nearest
to 80 %. What a case lacks is NaN. Doses are relative, so that a plan of 60 Gy is like one of 70.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.anatomy import Anatomy, Field, Mask
from isohash.features.cases.beams import BeamSettings
from isohash.features.cases.crude_plan import PlanningGoals, crude_fluence, every_other
from isohash.features.cases.distance import distance_in_slice, signed_distance
from isohash.features.cases.fields import Fields, fields_of

MIDLINE = ("SpinalCord", "Brainstem", "Bone_Mandible")


@dataclass(frozen=True)
class VoxelSettings:
    """Which dose levels (shares of the prescription, falling) and organs have features."""

    levels: tuple[float, ...]
    organs: tuple[str, ...]
    beams: BeamSettings = field(default_factory=BeamSettings)
    goals: PlanningGoals = field(default_factory=PlanningGoals)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features in order."""
        levels = [f"{level:g}" for level in self.levels]
        return (
            *(f"distance {level}" for level in levels),
            "distance target",
            *(f"distance {organ}" for organ in self.organs),
            "flat target", "flat highest", "above", "below", "above highest", "below highest",
            "left", "back", "down", "aside", "skin", "density", "prescribed", "prescribed near",
            "treated area",
            *(f"volume {level}" for level in levels),
            *(f"open {level}" for level in levels),
            "plan",
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Voxels:
    """The features `values` (n, features) of the cells that get dose; `cells` are their indices.

    Half precision is enough, and the same whether they are fresh or were kept.
    """

    anatomy: Anatomy
    cells: tuple[NDArray[np.int64], ...]
    values: NDArray[np.float16]

    def filled(self, doses: Field) -> Field:
        """Values of the cells on the anatomy's grid, 0 elsewhere."""
        grid = np.zeros(self.anatomy.body.shape, np.float32)
        grid[self.cells] = doses
        return grid


def voxels_of(anatomy: Anatomy, settings: VoxelSettings) -> Voxels:
    """The features of all cells of `Anatomy.reached`."""
    fields = fields_of(anatomy, settings.beams)
    levels = by_share(anatomy, settings.levels)
    row = {name: at for at, name in enumerate(settings.names)}
    values = np.empty((len(row), len(fields.cells[0])), np.float16)
    for name, column in _measured(anatomy, fields, levels, settings):
        values[row[name]] = column  # one at a time: all in full precision take as much as a CT
    return Voxels(anatomy, fields.cells, values.T)


def by_share(anatomy: Anatomy, levels: Sequence[float]) -> dict[float, Mask | None]:
    """The anatomy's targets by the nearest of `levels`, None where it has none there."""
    found: dict[float, Mask | None] = dict.fromkeys(levels)
    for level in anatomy.levels:
        share = level.gy / anatomy.prescription_gy
        nearest = min(levels, key=lambda own: abs(own - share))
        before = found[nearest]
        found[nearest] = level.mask if before is None else before | level.mask
    return found


def _measured(
    anatomy: Anatomy,
    fields: Fields,
    levels: Mapping[float, Mask | None],
    settings: VoxelSettings,
) -> Iterator[tuple[str, Field]]:
    cells = fields.cells
    to_target = _distance(anatomy.target, anatomy)[cells]
    yield "distance target", to_target
    for level, mask in levels.items():
        yield f"distance {level:g}", _to(mask, anatomy, cells)
        yield f"volume {level:g}", _same(0.0 if mask is None else _cc(mask, anatomy), cells)
    for organ in settings.organs:
        yield f"distance {organ}", _to(anatomy.organs.get(organ), anatomy, cells)
    yield from _places(anatomy, cells)
    near_gy = _nearest_gy(anatomy, cells)
    whole = np.float32(anatomy.prescription_gy)
    yield "prescribed near", near_gy / whole
    yield "prescribed", anatomy.prescribed[cells] / whole
    yield "density", anatomy.density[cells]
    used = every_other(fields, to_target < 0)
    some = fields.on(used)
    plan = crude_fluence(anatomy, some, near_gy[used], to_target[used], settings.goals)
    inside = {level: mask[cells] for level, mask in levels.items() if mask is not None}
    inside = {level: own for level, own in inside.items() if own.any()}
    fluences = [*map(fields.aimed_at, inside.values()), plan]
    *opened, planned = _doses(fields, fluences, used, some)
    found = dict(zip(inside, opened, strict=True))
    for level in levels:  # relative to their mean in the level
        dose = found.get(level)
        known = _same(np.nan, cells) if dose is None else dose / dose[inside[level]].mean()
        yield f"open {level:g}", known
    yield "plan", planned / whole


def _in_slice(mask: Mask, mm: Sequence[float]) -> Field:
    """Distance within the slice, NaN in slices that the mask does not reach."""
    distance = distance_in_slice(mask, mm).astype(np.float32)
    distance[np.isinf(distance)] = np.nan
    return distance


def _nearest_gy(anatomy: Anatomy, cells: Any) -> Field:
    """What the target nearest to each cell is prescribed, the higher of two as near."""
    apart = [_distance(level.mask, anatomy)[cells] for level in anatomy.levels]
    doses = np.array([level.gy for level in anatomy.levels], np.float32)
    return doses[np.argmin(apart, axis=0)]


def _to(mask: Mask | None, anatomy: Anatomy, cells: Any) -> Field:
    if mask is None or not mask.any():
        return _same(np.nan, cells)
    return _distance(mask, anatomy)[cells]


def _distance(mask: Mask, anatomy: Anatomy) -> Field:
    return signed_distance(mask, anatomy.spacing_mm).astype(np.float32)


def _same(value: float, cells: Sequence[NDArray[np.int64]]) -> Field:
    return np.full(len(cells[0]), value, np.float32)


def _cc(mask: Mask, anatomy: Anatomy) -> float:
    return float(mask.sum()) * float(np.prod(anatomy.spacing_mm)) / 1000.0


def _doses(
    fields: Fields, fluences: Sequence[Field], used: Mask, some: Fields
) -> NDArray[np.float32]:
    """The doses (fluences, n), those of the cells `used` by `some` fields that know their rays."""
    doses = np.empty((len(fluences), len(used)), np.float32)
    doses[:, used] = [some.dose(fluence) for fluence in fluences]
    doses[:, ~used] = fields.on(~used).doses(fluences)
    return doses


def _places(anatomy: Anatomy, cells: Sequence[NDArray[np.int64]]) -> Iterator[tuple[str, Field]]:
    """Where each cell lies about the targets, the midline and the skin."""
    mm, target, highest = anatomy.spacing_mm, anatomy.target, anatomy.levels[0].mask
    place = [(at * own).astype(np.float32) for at, own in zip(cells, mm, strict=True)]
    centre = [float(at.mean()) * own for at, own in zip(np.nonzero(target), mm, strict=True)]
    for name, at, middle in zip(("down", "back", "left"), place, centre, strict=True):
        yield name, at - np.float32(middle)
    yield "aside", np.abs(place[2] - np.float32(_midline(anatomy)))
    for suffix, mask in (("", target), (" highest", highest)):
        slices = np.flatnonzero(mask.any(axis=(1, 2)))
        yield f"above{suffix}", place[0] - np.float32(slices[0] * mm[0])
        yield f"below{suffix}", np.float32(slices[-1] * mm[0]) - place[0]
    yield "flat target", _in_slice(target, mm)[cells[0], cells[1], cells[2]]
    yield "flat highest", _in_slice(highest, mm)[cells[0], cells[1], cells[2]]
    outside = np.pad(~anatomy.body, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    framed = (cells[0], cells[1] + 1, cells[2] + 1)
    below, above = (_in_slice(mask, mm)[framed] for mask in (outside, ~outside))
    yield "skin", below - above
    areas = target.sum(axis=(1, 2)) * (mm[1] * mm[2] / 100.0)
    yield "treated area", areas.astype(np.float32)[cells[0]]


def _midline(anatomy: Anatomy) -> float:
    """X in mm of the mean of the middle organs' centres, else of the body's."""
    masks = [anatomy.organs[name] for name in MIDLINE if name in anatomy.organs]
    masks = [mask for mask in masks if mask.any()] or [anatomy.body]
    return float(np.mean([np.nonzero(mask)[2].mean() for mask in masks])) * anatomy.spacing_mm[2]
