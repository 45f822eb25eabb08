"""Contours become masks: the share of every voxel that lies inside a structure.

Within a row the share of each voxel is exact; a voxel's height is sampled at `SUB_ROWS` rows, or at
so many that `LINES` rows meet a small structure. Voxel slices take the share of their thickness
that each slab of the drawing covers, so contours that lie between slices are weighed, not lost.

A mask says yes or no. It takes the voxels that lie most inside, as many as make up the structure's
volume: a structure thinner than a voxel keeps its volume too, and the rule "at least half inside"
is the special case of one that is thick.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dose import SLAB
from isohash.dosimetry.drawing import Drawing, Plane, draw
from isohash.records import Volume

SUB_ROWS, MOST_SUB_ROWS, LINES = 8, 64, 40
SHARE_STEP = 1e-3  # shares nearer than this count as equal when the fullest voxels are chosen

Shares = NDArray[np.float32]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Rasterised:
    """Shares (z, y, x) in 0..1 of the voxels inside, and notes on contours left out."""

    shares: Shares
    notes: tuple[str, ...] = ()

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The voxels that lie most inside, as many as make up the volume."""
        return fullest(self.shares)


class Structure(Volume):
    """A structure as it was drawn, with its mask on a grid.

    `array` is the mask (z, y, x), unpacked anew whenever it is asked for: thirty structures on a CT
    of 512 x 512 x 200 are 1.6 GB as bool, and are looked at one by one. `drawing` is the contours,
    which volumes and dose-volume histograms are taken from; what of it lies outside the grid is in
    no mask. `bits` are the mask within `box`.
    """

    bits: NDArray[np.uint8]
    box: Box
    shape: tuple[int, int, int]
    drawing: Drawing

    def __init__(
        self,
        bits: NDArray[np.uint8],
        box: Box,
        shape: tuple[int, int, int],
        affine: NDArray[np.float64],
        drawing: Drawing,
    ) -> None:
        parts = {"bits": bits, "box": box, "shape": shape, "affine": affine, "drawing": drawing}
        for name, part in parts.items():
            object.__setattr__(self, name, part)

    @classmethod
    def of(
        cls, drawing: Drawing, affine: NDArray[np.float64], shape: tuple[int, int, int]
    ) -> Structure:
        """The drawing on a grid; its mask is empty where all of it lies outside."""
        box = _box_of(drawing, affine, shape)
        first, stop = box[0].start, box[0].stop
        parts = (  # the shares of a whole body are four times its mask
            _shares(drawing, affine, shape, (slice(k, min(k + SLAB, stop)), *box[1:]))
            for k in range(first, stop, SLAB)
        )
        n = [side.stop - side.start for side in box]
        return cls(np.packbits(_fullest((n[0], n[1], n[2]), parts)), box, shape, affine, drawing)

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """The shape of the mask."""
        return self.shape

    @property
    def inside(self) -> NDArray[np.bool_]:
        """The mask within `box`."""
        shape = tuple(side.stop - side.start for side in self.box)
        return np.unpackbits(self.bits, count=math.prod(shape)).view(bool).reshape(shape)

    @property
    def array(self) -> NDArray[np.bool_]:
        """The mask (z, y, x)."""
        whole = np.zeros(self.shape, dtype=bool)
        whole[self.box] = self.inside
        return whole

    @property
    def shares(self) -> Volume:
        """The share of each voxel inside, float32 on the same grid, drawn anew when asked for."""
        shares, box = _in_box(self.drawing, self.affine, self.shape)
        whole = np.zeros(self.shape, dtype=np.float32)
        whole[box] = shares
        return Volume(whole, self.affine)

    @property
    def volume_cc(self) -> float:
        """Volume of the contours, wherever they lie."""
        return self.drawing.volume_cc


def rasterise(
    contours: Sequence[NDArray[np.float64]],
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    step_mm: float | None = None,
    end_cap: float = 0.5,
) -> Rasterised:
    """Draw closed contours (see `drawing.draw`) onto the grid (`affine`, `shape`).

    What lies outside the grid is cut off, with a note of its share of the volume.
    """
    drawing = draw(contours, affine, step_mm, end_cap)
    shares = np.zeros(shape, dtype=np.float32)
    part, box = _in_box(drawing, affine, shape)
    shares[box] = part
    outside = share_outside(drawing, affine, shape)
    beyond = (f"{100 * outside:.0f} % of it lies outside the grid",) if outside >= 0.005 else ()
    return Rasterised(shares, (*drawing.notes, *beyond))


def share_outside(
    drawing: Drawing, affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> float:
    """Share of the volume that lies outside the voxels of a grid, on any side."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not drawing.planes:
        return 0.0
    low, high = drawing.bounds() / spacing
    if (low >= -0.5).all() and (high <= np.array(shape) - 0.5).all():
        return 0.0
    volume = drawing.volume_cc * 1000.0
    inside = float(_in_box(drawing, affine, shape)[0].sum(dtype=np.float64)) * spacing.prod()
    return max(0.0, 1.0 - inside / volume) if volume > 0 else 0.0


def cropped(mask: Volume) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The smallest box of voxels that holds a mask: its first index, and the mask within it.

    A box of a drawn structure is found without unpacking the whole grid. Empty if the mask is.
    """
    if isinstance(mask, Structure):
        inside, corner = mask.inside, np.array([side.start for side in mask.box])
    else:
        inside, corner = mask.array, np.zeros(3, dtype=np.intp)
    used = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not used[0].size:
        return corner, np.zeros((0, 0, 0), dtype=bool)
    first = np.array([at[0] for at in used])
    box = tuple(slice(at[0], at[-1] + 1) for at in used)
    return corner + first, inside[box].astype(bool)


def is_empty(mask: Volume) -> bool:
    """Whether a mask holds no voxel."""
    return not (mask.bits if isinstance(mask, Structure) else mask.array).any()


def fullest(shares: Shares) -> NDArray[np.bool_]:
    """The voxels of the largest shares, as many as make up their sum; at least one of any.

    Of equal shares of a half and more the first are taken, so that a structure half way between
    slices fills one of them; of smaller ones evenly many everywhere, so that thin ones stay whole.
    """
    z, y, x = shares.shape
    return _fullest((z, y, x), (shares,))


def _fullest(shape: tuple[int, int, int], parts: Iterable[Shares]) -> NDArray[np.bool_]:
    """The same of shares that come as slabs, one after the other."""
    mask = np.empty(shape, dtype=bool)
    edges, levels, total, done = [], [], 0.0, 0
    for shares in parts:
        own = mask[done : done + len(shares)]
        np.greater_equal(shares, 1.0 - SHARE_STEP, out=own)
        edge = np.flatnonzero((shares > 0) & ~own)
        levels.append(np.rint(shares.ravel()[edge] / SHARE_STEP).astype(np.int64))
        edges.append(edge + done * shape[1] * shape[2])
        total += sum(float(one.sum(dtype=np.float64)) for one in shares)
        done += len(shares)
    if edges and total > 0:
        chosen = _chosen(np.concatenate(edges), np.concatenate(levels), total, mask)
        mask.ravel()[chosen] = True
    return mask


def _chosen(
    edge: NDArray[np.intp], level: NDArray[np.int64], total: float, mask: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Of the voxels `edge`, partly inside by `level` steps, those that complete the mask."""
    n_inside = np.count_nonzero(mask)
    wanted = min(math.floor(total - n_inside + 0.5), len(edge))
    if not n_inside:
        wanted = max(wanted, 1)
    if wanted <= 0:
        return edge[:0]
    order = np.argsort(-level, kind="stable")
    last = level[order[wanted - 1]]
    chosen = edge[level > last]
    ties = edge[level == last]
    rest = wanted - len(chosen)
    if last * SHARE_STEP < 0.5:
        ties = ties[np.floor((np.arange(rest) + 0.5) * len(ties) / rest).astype(np.intp)]
    return np.concatenate([chosen, ties[:rest]])


def _in_box(
    drawing: Drawing, affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[Shares, Box]:
    """Shares within the smallest box of voxels that holds the drawing, and where that box lies."""
    box = _box_of(drawing, affine, shape)
    return _shares(drawing, affine, shape, box), box


def _box_of(drawing: Drawing, affine: NDArray[np.float64], shape: tuple[int, int, int]) -> Box:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return _voxels(drawing.bounds() / spacing if drawing.planes else np.zeros((2, 3)), shape)


def _shares(
    drawing: Drawing, affine: NDArray[np.float64], shape: tuple[int, int, int], box: Box
) -> Shares:
    """Shares within the box that holds the drawing, or within some of its slices."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    shares = np.zeros([side.stop - side.start for side in box], dtype=np.float32)
    if not shares.size:
        return shares
    for plane in drawing.planes:
        low, high = plane.low / spacing[0], plane.high / spacing[0]
        first, last = math.floor(low + 0.5), math.ceil(high - 0.5)
        slices = range(max(first, box[0].start), min(last + 1, box[0].stop))
        if not slices:
            continue
        (rows, columns), part = _cells(plane, spacing, shape)
        if not part.size:
            continue
        for k in slices:
            thickness = min(high, k + 0.5) - max(low, k - 0.5)
            if thickness > 1e-9:
                own = shares[
                    k - box[0].start,
                    rows.start - box[1].start : rows.stop - box[1].start,
                    columns.start - box[2].start : columns.stop - box[2].start,
                ]
                np.clip(own + np.float32(thickness) * part, 0.0, 1.0, out=own)
    return shares


def _cells(
    plane: Plane, spacing: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[tuple[slice, slice], Shares]:
    """Shares of the pixels about the rings of a plane, and where these pixels lie."""
    bounds = np.zeros((2, 3))
    bounds[:, 1:] = plane.bounds / spacing[1:]
    _, rows, columns = _voxels(bounds, shape)
    n = (rows.stop - rows.start, columns.stop - columns.start)
    if min(n) < 1:
        return (rows, columns), np.zeros((0, 0), dtype=np.float32)
    corner = (float((rows.start - 0.5) * spacing[1]), float((columns.start - 0.5) * spacing[2]))
    step = (float(spacing[1]), float(spacing[2]))
    across = max(float(np.ptp(bounds[:, 1])), LINES / MOST_SUB_ROWS)  # rows
    fine = max(SUB_ROWS, math.ceil(LINES / across))
    return (rows, columns), plane.cells(corner, step, n, fine).astype(np.float32)


def _voxels(bounds: NDArray[np.float64], shape: tuple[int, int, int]) -> Box:
    """The voxels that a range of fractional indices (2, 3) meets, cut to the grid."""
    first = np.clip(np.floor(bounds[0] + 0.5), 0, shape).astype(int)
    last = np.clip(np.ceil(bounds[1] - 0.5), -1, np.array(shape) - 1).astype(int)
    z, y, x = (slice(int(a), max(int(a), int(b) + 1)) for a, b in zip(first, last, strict=True))
    return z, y, x
