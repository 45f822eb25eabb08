"""What a planner sees of a case: body, density, targets with their doses, organs, on one grid.

The grid is the CT's, seen along the patient's axes (`canonical`), cut to the body around the
structures and, where it is finer than about `CELL_MM` x `SLICE_MM`, averaged over whole voxels. So
a research volume of 4 mm stays as it is, and a clinical CT of 1 mm is treated on 4 mm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.names import is_target, structures_by_name
from isohash.errors import InputError
from isohash.features.cases.canonical import Canonical, canonical
from isohash.features.cases.distance import distance_in_slice
from isohash.features.cases.regions import bounds, largest_region
from isohash.records import Case, Volume

CELL_MM = 4.75  # in the slice; OpenKBP's coarsest voxels stay whole
SLICE_MM = 3.5
BODY_HU, SKIN_HU = -400.0, -900.0  # of tissue, and of a cell that is at least a tenth tissue
OPENING_MM = 12.0
REACH_MM = 30.0  # beyond the first and last slice of a target: there the fields' edges end
# A number in a target's name is its dose in Gy unless it is far from what the plan prescribes, as
# in "PTV 1"; where nothing is prescribed, from this dose on.
LEAST_GY = 10.0
OF_PRESCRIPTION = (0.4, 1.25)

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Level:
    """The union of all targets of one prescribed dose."""

    gy: float
    mask: Mask


@dataclass(frozen=True, eq=False)
class Anatomy:
    """All arrays are (z, y, x), slices from the head down, rows back, columns left.

    `density` is relative to water, 0 where no dose is possible. `levels` begin with the highest
    dose; `organs` are by canonical name. `affine` takes the index to patient mm. `possible` is the
    body, with what lies around it where the case says that dose may lie there.
    """

    id: str
    affine: NDArray[np.float64]
    body: Mask
    density: Field
    levels: tuple[Level, ...]
    organs: Mapping[str, Mask]
    possible: Mask

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring cells along z, y and x."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def prescription_gy(self) -> float:
        """The highest prescribed dose."""
        return self.levels[0].gy

    @cached_property
    def target(self) -> Mask:
        """The union of all targets."""
        union: Mask = np.any([level.mask for level in self.levels], axis=0)
        return union

    @cached_property
    def prescribed(self) -> Field:
        """Gy that each cell of a target should get, 0 elsewhere."""
        gy = np.zeros(self.body.shape, np.float32)
        for level in reversed(self.levels):
            gy[level.mask] = level.gy
        return gy

    @cached_property
    def reached(self) -> Mask:
        """`possible` between `REACH_MM` above and below the targets: where dose is foreseen."""
        slices = np.flatnonzero(self.target.any(axis=(1, 2)))
        reach = int(np.ceil(REACH_MM / self.spacing_mm[0]))
        inside: Mask = np.zeros_like(self.possible)
        within = slice(max(0, slices[0] - reach), slices[-1] + reach + 1)
        inside[within] = self.possible[within]
        return inside


def anatomy_of(case: Case, prescription_gy: float | None = None) -> Anatomy:
    """The case as a planner sees it.

    `prescription_gy` overrides what the case says. Raises InputError without CT, without a target,
    or where no dose is prescribed.
    """
    if case.ct is None:
        raise InputError(f"case {case.id} has no CT, so where its body lies is unknown")
    found = structures_by_name(case)
    prescribed = prescribed_targets(case, prescription_gy)
    ct = canonical(case.ct)
    grid = _Grid.around(ct, (_seen(found[name], ct, case.id) for name in prescribed))
    masks = {name: grid.mask(_seen(volume, ct, case.id)) for name, volume in found.items()}
    target = np.any([masks[name] for name in prescribed], axis=0)
    hu = grid.mean(ct.array)
    body = (masks["BODY"] if "BODY" in masks else _body(hu, grid.mm)) | target
    possible = body
    if case.possible is not None:
        possible = body | grid.mask(_seen(case.possible, ct, case.id))
    cut = tuple(slice(a, b) for a, b in bounds(possible))
    organs = {n: m[cut] for n, m in masks.items() if n != "BODY" and not is_target(n)}
    levels = tuple(
        Level(gy, np.any([masks[n] for n, own in prescribed.items() if own == gy], axis=0)[cut])
        for gy in sorted(set(prescribed.values()), reverse=True)
    )
    density = np.where(possible, _density(hu), np.float32(0.0))[cut]
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [one.start for one in cut]
    return Anatomy(case.id, affine, body[cut], density, levels, organs, possible[cut])


def _seen(structure: Volume, ct: Canonical, case_id: str) -> Mask:
    """A structure's mask in the CT's view. One at a time: thirty of them may not fit in memory."""
    mask: Mask = canonical(structure).array
    if mask.shape != ct.array.shape:
        raise InputError(f"case {case_id}: CT and structures lie on different grids")
    return mask


def prescribed_targets(case: Case, prescription_gy: float | None = None) -> dict[str, float]:
    """The planning targets by canonical name, with the Gy that each is prescribed.

    A dose in a target's name counts unless it is far from the plan's prescription; other targets
    get the prescription. Where there is no PTV, the other targets stand in.
    """
    targets = sorted(name for name in structures_by_name(case) if is_target(name))
    treated = [name for name in targets if name.startswith("PTV")] or targets
    if not treated:
        raise InputError(f"case {case.id} has no target: none of its structures is a PTV or CTV")
    whole = prescription_gy or case.prescription_gy
    found = {name: _named_gy(name, whole) or whole for name in treated}
    unknown = [name for name, gy in found.items() if not gy]
    if unknown:
        raise InputError(
            f"case {case.id} has no prescribed dose: neither a plan nor the name {unknown[0]!r} "
            "tells one; give it with --prescription"
        )
    return {name: float(gy) for name, gy in found.items() if gy}


def _named_gy(name: str, whole: float | None) -> float | None:
    number = re.search(r"_([0-9]+(?:\.[0-9]+)?)$", name)
    if number is None:
        return None
    gy = float(number[1])
    low, high = (LEAST_GY, np.inf) if whole is None else (f * whole for f in OF_PRESCRIPTION)
    return gy if low <= gy <= high else None


@dataclass(frozen=True, eq=False)
class _Grid:
    """Whole voxels of the CT taken together, of the slices that can be reached."""

    rows: slice  # slices of the CT's view
    steps: tuple[int, int, int]
    affine: NDArray[np.float64]

    @classmethod
    def around(cls, ct: Canonical, targets: Iterable[Mask]) -> _Grid:
        """The slices of the targets and `REACH_MM` beyond, on cells near the wanted size."""
        mm = np.linalg.norm(ct.affine[:3, :3], axis=0)
        steps = np.maximum(1, np.array([SLICE_MM, CELL_MM, CELL_MM]) / mm).astype(int)
        slices = np.flatnonzero(np.any([mask.any(axis=(1, 2)) for mask in targets], axis=0))
        reach = int(np.ceil(REACH_MM / mm[0]) + steps[0])
        first = max(0, int(slices[0]) - reach)
        affine = ct.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ ((steps - 1) / 2.0) + affine[:3, 0] * first
        affine[:3, :3] *= steps
        z, y, x = steps.tolist()
        return cls(slice(first, int(slices[-1]) + reach + 1), (z, y, x), affine)

    @property
    def mm(self) -> tuple[float, float, float]:
        """Size of a cell along z, y and x."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return z, y, x

    def mean(self, array: NDArray[Any]) -> Field:
        """The mean of every cell's voxels; voxels that fill no whole cell are left out."""
        array = array[self.rows]
        counts = [max(1, n // step) for n, step in zip(array.shape, self.steps, strict=True)]
        total = np.zeros(counts, np.float32)
        for offset in np.ndindex(*self.steps):
            picked = (slice(o, None, s) for o, s in zip(offset, self.steps, strict=True))
            part = array[tuple(picked)][tuple(slice(n) for n in counts)]
            total[tuple(slice(n) for n in part.shape)] += part
        total /= np.float32(np.prod(self.steps))
        return total

    def mask(self, mask: Mask) -> Mask:
        """Cells of which at least half is inside; any part, if none is."""
        share = self.mean(mask)
        inside: Mask = share >= 0.5
        return inside if inside.any() else share > 0


def _density(hu: Field) -> Field:
    """Electron density relative to water: HU up to water, six tenths of their rise above it."""
    rise = np.where(hu < 0, hu, np.float32(0.6) * hu)
    density: Field = np.clip(np.float32(1.0) + rise / np.float32(1000.0), 0.0, 3.0)
    return density


def _body(hu: Field, mm: tuple[float, float, float]) -> Mask:
    """Inside of the skin: the largest region above `BODY_HU` with what its slices enclose.

    Openings narrower than twice `OPENING_MM`, such as mouth and nose, are closed, and the cells
    that the skin cuts through belong to it.
    """
    from scipy import ndimage

    margin = [(0, 0), *((round(OPENING_MM / step) + 1,) * 2 for step in mm[1:])]
    core = np.pad(largest_region(hu > BODY_HU), margin)
    near = distance_in_slice(core, mm) <= OPENING_MM
    body = core | (distance_in_slice(~near, mm) > OPENING_MM)
    body |= ~_outside(body)
    frame = tuple(slice(before, -after or None) for before, after in margin)
    skin = ndimage.binary_dilation(body, _IN_PLANE)[frame] & (hu > SKIN_HU)
    inside: Mask = body[frame] | skin
    return inside


_IN_PLANE = np.zeros((3, 3, 3), dtype=bool)
_IN_PLANE[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]


def _outside(body: Mask) -> Mask:
    """What is connected within its slice to the slice's corner, which is not of the body."""
    from scipy import ndimage

    labels, n = ndimage.label(~body, _IN_PLANE)
    outer = np.zeros(n + 1, bool)
    outer[labels[:, 0, 0]] = True
    outer[0] = False
    outside: Mask = outer[labels]
    return outside
