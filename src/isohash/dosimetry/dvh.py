"""Cumulative dose-volume histograms of one structure.

How it is sampled. A structure that was drawn (`structures.Structure`) is sampled within its
contours: each plane is cut into square cells, finer the smaller or thinner the structure is, and
each slab into layers; a cell counts with its share inside, at the dose of its centre, interpolated
linearly on the dose's own grid. So it does not matter how coarse CT and dose grid are.

Of a mask every voxel is a box of the grid's spacing and counts with its share inside the structure
(1 for a bool mask). So a structure ends half a slice beyond its first and last slice: the end cap
is half a slice. With `supersample` = s each box is split into s x s x s equal parts, and the dose
is interpolated linearly at their centres; with 1 the dose of the voxel centre stands for the box.

A dose grid other than the structure's is interpolated at the same points; points outside it count
with 0 Gy and are reported by `outside_dose_grid`.

How it is stored. `fraction[i]` is the share of the volume that receives at least `dose_gy[i]`;
the doses are multiples of `bin_gy`. D and V are read by linear interpolation, so their error in
dose is below one bin. Mean, minimum and maximum are those of the samples, free of binning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dose import holds, sampled
from isohash.dosimetry.drawing import Drawing
from isohash.dosimetry.layers import layers
from isohash.dosimetry.resample import resample
from isohash.dosimetry.structures import Structure
from isohash.errors import InputError
from isohash.records import Volume

FEW_CELLS = 20_000  # enough to tell a hundredth of a structure
BIN_ROUNDING = 1e-3  # bins: a dose this near below a bin edge is on it (float32 of a decimal)


@dataclass(frozen=True, eq=False)
class DVH:
    """Cumulative histogram: share `fraction` (m,) of the volume with at least `dose_gy` (m,)."""

    dose_gy: NDArray[np.float64]
    fraction: NDArray[np.float64]
    volume_cc: float
    min_gy: float
    mean_gy: float
    max_gy: float
    outside_dose_grid: float = 0.0  # share of the volume where the dose grid says nothing

    @property
    def volume(self) -> NDArray[np.float64]:
        """Volume in cc that receives at least `dose_gy`."""
        return self.fraction * self.volume_cc

    @cached_property
    def bin_gy(self) -> float:
        """Width of the bins in Gy."""
        return float(self.dose_gy[1] - self.dose_gy[0])

    def d(self, percent: float) -> float:
        """Dose in Gy that `percent` of the volume receives at least; 98 gives D98."""
        if not 0 <= percent <= 100:
            raise InputError(f"a share of the volume lies in 0..100 %, got {percent}")
        wanted = percent / 100.0
        reached = np.flatnonzero(self.fraction >= wanted - 1e-12)
        last = int(reached[-1])
        if wanted == 0 or last + 1 == len(self.fraction):
            return self.max_gy
        drop = self.fraction[last] - self.fraction[last + 1]
        dose = self.dose_gy[last] + self.bin_gy * (self.fraction[last] - wanted) / drop
        return float(np.clip(dose, self.min_gy, self.max_gy))

    def d_cc(self, cc: float) -> float:
        """Dose in Gy that the hottest `cc` receive at least; the minimum if there is less."""
        if cc < 0:
            raise InputError(f"a volume is 0 cc or more, got {cc}")
        return self.d(min(100.0, 100.0 * cc / self.volume_cc))

    def v(self, gy: float) -> float:
        """Share of the volume in percent that receives at least `gy`; 20 gives V20Gy."""
        return float(100.0 * np.interp(gy, self.dose_gy, self.fraction, right=0.0))

    def v_cc(self, gy: float) -> float:
        """Volume in cc that receives at least `gy`."""
        return self.v(gy) * self.volume_cc / 100.0


def dvh(dose: Volume, mask: Volume, bin_gy: float = 0.05, supersample: int = 1) -> DVH:
    """Histogram of `dose` (Gy) in a `Structure`, or in a mask (bool, or the share inside, 0 to 1).

    `supersample` is of masks only: a drawn structure chooses its own cells.

    Example:
        >>> import isohash, numpy as np
        >>> gy = np.linspace(0.0, 60.0, 64, dtype=np.float32).reshape(4, 4, 4)
        >>> dose = isohash.Volume(gy, np.eye(4))
        >>> organ = isohash.Volume(gy > 29.0, np.eye(4))
        >>> curve = isohash.dvh(dose, organ)
        >>> round(curve.mean_gy, 2), round(curve.d(95), 1), curve.volume_cc
        (44.76, 30.5, 0.033)
    """
    if not bin_gy > 0:
        raise InputError(f"bin_gy must be positive, got {bin_gy}")
    if supersample < 1:
        raise InputError(f"supersample must be at least 1, got {supersample}")
    if isinstance(mask, Structure):
        values, weights, cc = _drawn(dose, mask)
    else:
        values, weights, cc = _voxels(dose, mask, supersample)
    total = float(weights.sum(dtype=np.float64))
    if not total > 0:
        raise InputError("the structure is empty, so it has no dose-volume histogram")
    known = np.isfinite(values)
    outside = float(weights[~known].sum(dtype=np.float64)) / total
    values = np.where(known, values, 0.0)
    if values.min() < 0:
        raise InputError(f"dose is negative ({values.min():.3f} Gy) inside the structure")
    edges, fraction = _cumulate(values, weights, bin_gy)
    return DVH(
        dose_gy=edges,
        fraction=fraction,
        volume_cc=cc,
        min_gy=float(values.min()),
        mean_gy=float(np.average(values, weights=weights)),
        max_gy=float(values.max()),
        outside_dose_grid=outside,
    )


def doses_at(dose: Volume, mask: Volume, percents: Sequence[float]) -> NDArray[np.float64]:
    """Gy that each of these shares of a volume, in percent, receives at least.

    Of a mask on the dose's grid the voxels are counted; a drawn structure is sampled (see above).
    """
    if isinstance(mask, Structure):
        curve = dvh(dose, mask)
        return np.array([curve.d(percent) for percent in percents])
    return np.percentile(dose.array[mask.array], 100.0 - np.asarray(percents, dtype=np.float64))


Samples = tuple[NDArray[np.float64], NDArray[np.float64], float]  # Gy or NaN; weights; volume in cc


def _drawn(dose: Volume, structure: Structure) -> Samples:
    """Samples within the contours of a structure."""
    values, weights = [np.zeros(0)], [np.zeros(0)]
    for layer in layers(structure.drawing, structure.affine):
        gy = sampled(dose, layer.affine, layer.shape)
        inside = layer.weights > 0
        values.append(gy[:, inside].ravel().astype(np.float64))
        weights.append(np.tile(layer.weights[inside], len(gy)))
    return np.concatenate(values), np.concatenate(weights), structure.volume_cc


def _voxels(dose: Volume, mask: Volume, supersample: int) -> Samples:
    """Samples of the voxels of a mask, or of their parts."""
    box, shares = _box(mask)
    samples = _samples(dose, box, shares.shape, supersample)
    values = _by_voxel(samples, supersample)[shares > 0].ravel().astype(np.float64)
    weights = np.repeat(shares[shares > 0].astype(np.float64), supersample**3)
    return values, weights, float(shares.sum(dtype=np.float64)) * mask.voxel_cc


def share_without_dose(dose: Volume, structure: Structure) -> float:
    """Share of a structure's volume that lies beyond the dose grid.

    Planes whose box lies within the grid need no look; the others are cut into coarse cells.
    """
    planes, affine = structure.drawing.planes, structure.affine
    boxes = np.array([plane.box for plane in planes])
    leaving = Drawing(tuple(compress(planes, ~holds(dose, boxes, affine))))
    lost = total = 0.0
    for layer in layers(leaving, affine, FEW_CELLS):
        gy = sampled(dose, layer.affine, layer.shape)
        weights = np.broadcast_to(layer.weights, gy.shape)
        lost += float(weights[np.isnan(gy)].sum())
        total += float(weights.sum())
    return lost / total * leaving.volume_cc / structure.volume_cc if lost > 0 else 0.0


def _box(mask: Volume) -> tuple[NDArray[Any], NDArray[Any]]:
    """The part of the mask that holds the structure, and the affine of that part."""
    shares = mask.array
    if shares.dtype != bool and not (np.isfinite(shares).all() and shares.min() >= 0):
        raise InputError("a mask is bool or a share between 0 and 1")
    if shares.dtype != bool and shares.max() > 1:
        raise InputError(f"a mask is bool or a share between 0 and 1, got {shares.max()}")
    affine, where = mask.affine.copy(), []
    for axis in range(3):
        used = np.flatnonzero(shares.any(axis=tuple(a for a in range(3) if a != axis)))
        if not used.size:
            raise InputError("the structure is empty, so it has no dose-volume histogram")
        where.append(slice(int(used[0]), int(used[-1]) + 1))
        affine[:3, 3] += affine[:3, axis] * used[0]
    return affine, shares[tuple(where)]


def _samples(
    dose: Volume, affine: NDArray[np.float64], shape: tuple[int, ...], s: int
) -> NDArray[np.float32]:
    """Dose at the centres of the s x s x s parts of every voxel; NaN where there is no dose."""
    fine = affine.copy()
    fine[:3, :3] /= s
    fine[:3, 3] -= affine[:3, :3].sum(axis=1) * (0.5 - 0.5 / s)
    grid = (shape[0] * s, shape[1] * s, shape[2] * s)
    return resample(_edge_extended(dose) if s > 1 else dose, fine, grid, outside=np.nan)


def _edge_extended(dose: Volume) -> Volume:
    """The dose with its outermost values continued by one voxel: boxes reach beyond centres."""
    affine = dose.affine.copy()
    affine[:3, 3] -= affine[:3, :3].sum(axis=1)
    return Volume(np.pad(dose.array, 1, mode="edge"), affine)


def _by_voxel(samples: NDArray[np.float32], s: int) -> NDArray[np.float32]:
    """The samples (z s, y s, x s) as (z, y, x, s**3)."""
    z, y, x = (n // s for n in samples.shape)
    parts = samples.reshape(z, s, y, s, x, s).transpose(0, 2, 4, 1, 3, 5)
    return parts.reshape(z, y, x, s**3)


def _cumulate(
    values: NDArray[Any], weights: NDArray[Any], bin_gy: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    bins = np.floor(values / bin_gy + BIN_ROUNDING).astype(np.int64)
    histogram = np.bincount(bins, weights=weights, minlength=1)
    at_least = np.concatenate([np.cumsum(histogram[::-1])[::-1], [0.0]])
    return bin_gy * np.arange(len(at_least)), at_least / at_least[0]
