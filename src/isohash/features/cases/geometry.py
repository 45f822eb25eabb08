"""Hand-made case vectors: where the organs lie about the targets, and what dose they get.

Vectors of a fixed layout, each entry NaN where its structure is absent. Beside the single targets
stands the union of all targets, which every plan has and whose edge shapes the low dose:

* `overlap_volume_histograms`: for every pair of target and organ, percentiles of the signed
  distance (mm) from the organ's voxels to the target's surface, negative inside the target. They
  say how much of an organ a plan must cross (Wu et al., Medical Physics 36 (2009) 5497-5505).
* `shared_heights`: the share of every organ that lies between the lowest and the highest point of
  every target: coplanar beams spare the rest.
* `target_signature`: size, extent and place of every target and organ relative to all targets.
* `dvh_features`: dose at fixed volume percentiles of every structure; needs the planned dose.

Structures are found by canonical name (`dosimetry.names`), so "RightParotid" and "PAROTID RT" are
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dvh import doses_at
from isohash.dosimetry.names import is_target, structures_by_name
from isohash.dosimetry.structures import Structure, cropped
from isohash.errors import InputError
from isohash.features.cases.distance import signed_distance
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.records import Case, Volume

SIGNATURE = 7  # entries of `target_signature` per structure
GRID_MM = 3.0  # distances are measured on about this grid: finer costs time and changes little

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]


def overlap_volume_histograms(case: Case, settings: GeometrySettings) -> Vector:
    """Percentiles of signed distance, shape ((targets + union) x organs x percentiles,), in mm."""
    box = _Box.around(case, settings)
    n_targets = len(settings.targets) + 1
    out = np.full((n_targets, len(settings.organs), len(settings.percentiles)), np.nan)
    if box is None:
        return out.ravel()
    for i, target in _targets(box, settings):
        distance = signed_distance(target, box.coarse_mm)
        for j, organ in enumerate(settings.organs):
            if organ in box.masks:
                out[i, j] = np.percentile(distance[box.cells(organ)], settings.percentiles)
    return out.ravel()


def shared_heights(case: Case, settings: GeometrySettings) -> Vector:
    """Share of every organ within the height of every target: ((targets + union) x organs,)."""
    box = _Box.around(case, settings)
    out = np.full((len(settings.targets) + 1, len(settings.organs)), np.nan)
    if box is None:
        return out.ravel()
    for i, target in _targets(box, settings):
        inside = np.flatnonzero(target.any(axis=box.other_axes))
        for j, organ in enumerate(settings.organs):
            if organ in box.masks:
                height = box.cells(organ)[box.height_axis]
                out[i, j] = np.mean((height >= inside[0]) & (height <= inside[-1]))
    return out.ravel()


def _targets(box: _Box, settings: GeometrySettings) -> Iterator[tuple[int, Mask]]:
    """Position and coarse mask of every target asked for, and last the union of all treated."""
    for i, name in enumerate(settings.targets):
        if name in box.masks:
            yield i, box.coarse(name)
    if box.treated:
        union = np.any([box.coarse(name) for name in box.treated], axis=0)
        yield len(settings.targets), union


def target_signature(case: Case, settings: GeometrySettings) -> Vector:
    """Seven entries per structure, targets first, shape (7 x structures,), in mm.

    The cube root of the volume; the standard deviation along x, y and z; the centre's offset
    along x, y and z from the centre of all targets (of all structures, where there is none).
    """
    box = _Box.around(case, settings)
    out = np.full((len(settings.structures), SIGNATURE), np.nan)
    if box is None:
        return out.ravel()
    points = {name: box.points_mm(name) for name in box.masks}
    about = [points[name] for name in box.treated or tuple(points)]
    centre = np.concatenate(about).mean(axis=0)
    for i, name in enumerate(settings.structures):
        if name in points:
            size = np.cbrt(len(points[name]) * box.voxel_mm3)
            spread = points[name].std(axis=0)
            out[i] = [size, *spread, *(points[name].mean(axis=0) - centre)]
    return out.ravel()


def dvh_features(case: Case, settings: GeometrySettings) -> Vector:
    """Gy that each of `dose_volumes` (percent) of a structure receives at least.

    Shape (structures x dose_volumes,), targets first.
    """
    out = np.full((len(settings.structures), len(settings.dose_volumes)), np.nan)
    found = structures_by_name(case)
    for i, name in enumerate(settings.structures):
        if case.dose is not None and name in found:
            out[i] = doses_at(case.dose, found[name], settings.dose_volumes)
    return out.ravel()


@dataclass(frozen=True, eq=False)
class _Box:
    """The structures asked for and all targets in the smallest box that holds them.

    Each mask is cut to a box of its own and begins at its `corners` entry: thirty masks of a
    clinical CT in one common box would be hundreds of megabytes.
    """

    masks: Mapping[str, Mask]
    corners: Mapping[str, NDArray[np.int64]]
    shape: tuple[int, ...]
    treated: tuple[str, ...]  # the planning targets, whatever their dose levels are called
    affine: NDArray[np.float64]  # (4, 4), of the box
    spacing_mm: tuple[float, ...]

    @classmethod
    def around(cls, case: Case, settings: GeometrySettings) -> _Box | None:
        """None where the case has none of the structures."""
        found = structures_by_name(case)
        treated = _treated(found)
        wanted = dict.fromkeys((*settings.structures, *treated))
        volumes = {name: found[name] for name in wanted if name in found}
        if not volumes:
            return None
        grid = next(iter(volumes.values()))
        if len({_shape(volume) for volume in volumes.values()}) > 1:
            raise InputError(f"case {case.id}: its structures lie on different grids")
        parts = {name: cropped(volume) for name, volume in volumes.items()}
        low = np.min([corner for corner, _ in parts.values()], axis=0)
        high = np.max([corner + mask.shape for corner, mask in parts.values()], axis=0)
        affine = grid.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ low
        masks = {name: mask for name, (_, mask) in parts.items()}
        corners = {name: corner - low for name, (corner, _) in parts.items()}
        shape = tuple((high - low).tolist())
        return cls(masks, corners, shape, treated, affine, grid.spacing_mm)

    @property
    def steps(self) -> tuple[int, ...]:
        """Voxels per cell of the coarse grid, along each axis."""
        return tuple(max(1, round(GRID_MM / mm)) for mm in self.spacing_mm)

    @property
    def height_axis(self) -> int:
        """The array axis along the patient."""
        return int(np.abs(self.affine[2, :3] / np.asarray(self.spacing_mm)).argmax())

    @property
    def other_axes(self) -> tuple[int, ...]:
        """The two array axes across the patient."""
        return tuple(axis for axis in range(3) if axis != self.height_axis)

    @property
    def coarse_mm(self) -> tuple[float, ...]:
        """Spacing of the coarse grid."""
        return tuple(s * mm for s, mm in zip(self.steps, self.spacing_mm, strict=True))

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm))

    def coarse(self, name: str) -> Mask:
        """Cells of the coarse grid of which at least half is inside; any part, if none is.

        One empty cell surrounds the box, so that what touches its side still has a surface there.
        """
        steps, corner = np.array(self.steps), self.corners[name]
        n_cells = -(-np.array(self.shape) // steps)
        first, last = corner // steps, -(-(corner + self.masks[name].shape) // steps)
        padded = np.zeros((last - first) * steps, dtype=bool)
        inner = corner - first * steps
        padded[tuple(map(slice, inner, inner + self.masks[name].shape))] = self.masks[name]
        split = np.stack([last - first, steps], axis=1).ravel()
        share = np.zeros(n_cells)
        share[tuple(map(slice, first, last))] = padded.reshape(split).mean(axis=(1, 3, 5))
        inside: Mask = share >= 0.5
        return np.pad(inside if inside.any() else share > 0, 1)

    def cells(self, name: str) -> tuple[NDArray[np.int64], ...]:
        """Where the voxels inside lie on the coarse grid."""
        return tuple(at // step + 1 for at, step in zip(self.voxels(name), self.steps, strict=True))

    def voxels(self, name: str) -> tuple[NDArray[np.int64], ...]:
        """Indices (k, j, i) of the voxels inside."""
        inside = np.nonzero(self.masks[name])
        return tuple(at + first for at, first in zip(inside, self.corners[name], strict=True))

    def points_mm(self, name: str) -> NDArray[np.float64]:
        """Patient coordinates (n, 3) = (x, y, z) of the voxels inside."""
        index = np.stack(self.voxels(name), axis=1)
        return index @ self.affine[:3, :3].T + self.affine[:3, 3]


def _shape(volume: Volume) -> tuple[int, ...]:
    return volume.shape if isinstance(volume, Structure) else volume.array.shape


def _treated(names: Iterable[str]) -> tuple[str, ...]:
    """The planning targets among the names; where there is none, whatever target there is."""
    targets = sorted(name for name in names if is_target(name))
    return tuple(name for name in targets if name.startswith("PTV")) or tuple(targets)
