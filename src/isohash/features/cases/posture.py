"""How a patient lies, in a few numbers: rolled about the length, on the back, head first.

By them a scan shows that was turned or cut: as the encoder sees its slices, they are those of a
patient like any other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

FEW_PIXELS = 3  # in a slice, of which nothing is told
MIDDLE_MM = 15.0  # displacements count up to a few times this
HOT = 0.7  # of the highest dose: the region that a plan aims at


def roll_of(body: Mask, pixel_mm: float) -> float:
    """Radians, within an eighth of a turn, by which the outlines (n, y, x) are rolled.

    Outlines are wide or deep, more or less: the fourth power of the direction of their principal
    axes is the same for both, and averaged by how much they are so.
    """
    area = body.sum(axis=(1, 2)).astype(np.float64)
    body, area = body[area > FEW_PIXELS], area[area > FEW_PIXELS]
    if not len(body):
        return 0.0
    rows, columns = body.sum(axis=2), body.sum(axis=1)
    y, x = (pixel_mm * (np.arange(n) - n / 2.0) for n in body.shape[1:])
    at_y, at_x = rows @ y / area, columns @ x / area
    yy, xx = rows @ y**2 / area - at_y**2, columns @ x**2 / area - at_x**2
    along = y.astype(np.float32) @ body.astype(np.float32)  # (n, x)
    xy = along.astype(np.float64) @ x / area - at_x * at_y
    axis = xx - yy + 2j * xy
    size = np.abs(axis)
    weight = area * size / (xx + yy)
    return float(np.angle(np.sum(weight * (axis / np.maximum(size, 1e-9)) ** 2)) / 4.0)


def air_behind(body: Mask, pixel_mm: float) -> float:
    """-1..1: whether the air within the body (n, y, x) lies before or behind the body's middle."""
    air = _between(body, axis=2) & _between(body, axis=1) & ~body
    behind, weight = _behind(air, body, pixel_mm)
    return float(np.average(behind, weights=weight)) if len(weight) else 0.0


def bone_towards_head(bone: Mask, body: Mask, z_mm: Numbers) -> float:
    """-1..1: how the share of bone in the slices goes with their height."""
    area, of_bone = (one.sum(axis=(1, 2)).astype(np.float64) for one in (body, bone))
    some = (area > FEW_PIXELS) & (of_bone > FEW_PIXELS)
    return _correlation(of_bone[some] / area[some], z_mm[some])


def dose_behind(gy: NDArray[np.floating], some: Mask, pixel_mm: float) -> float:
    """-1..1: whether the high dose lies before or behind the middle of what is dosed (`some`)."""
    behind, _ = _behind(_hot(gy), some, pixel_mm)
    return float(behind.mean()) if len(behind) else 0.0


def dose_towards_head(gy: NDArray[np.floating], z_mm: Numbers) -> float:
    """-1..1: how the size of the high dose goes with the height of the slices."""
    return _correlation(_hot(gy).sum(axis=(1, 2)).astype(np.float64), z_mm)


def _hot(gy: NDArray[np.floating]) -> Mask:
    return np.asarray(gy > HOT * gy.max())


def _between(body: Mask, axis: int) -> Mask:
    """Pixels with the body on both sides along an axis."""
    back = np.flip(np.maximum.accumulate(np.flip(body, axis), axis=axis), axis)
    return np.asarray(np.maximum.accumulate(body, axis=axis) & back)


def _behind(part: Mask, whole: Mask, pixel_mm: float) -> tuple[Numbers, Numbers]:
    """How far a part's middle lies behind that of the whole, -1..1, and its size, by slice."""
    y = pixel_mm * np.arange(part.shape[1])
    size, of_whole = (one.sum(axis=(1, 2)).astype(np.float64) for one in (part, whole))
    some = (size > FEW_PIXELS) & (of_whole > FEW_PIXELS)
    size, of_whole = size[some], of_whole[some]
    apart = part[some].sum(axis=2) @ y / size - whole[some].sum(axis=2) @ y / of_whole
    return np.tanh(apart / MIDDLE_MM), size


def _correlation(a: Numbers, b: Numbers) -> float:
    """Pearson's; 0 where one of them does not vary."""
    if len(a) < 2:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0
