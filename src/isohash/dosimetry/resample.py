"""Brings a volume onto another grid, in mm, by linear interpolation.

Most dose grids are parallel to the CT; then the interpolation is separable, one axis after the
other, which is fast and needs little memory. Turned grids go through `map_coordinates`, slice by
slice. Beyond the outermost voxel centres there is nothing to interpolate and the value is
`outside`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.records import Volume

SNAP = 1e-3  # voxels: a point this near the outermost centre is on it (positions are rounded text)
SAME = 1e-7  # voxels per voxel, and voxels: grids nearer than this are one
PARALLEL = 1e-5  # sine of the angle below which two grids count as parallel


def resample(
    volume: Volume,
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    outside: float = 0.0,
    overhang: tuple[float, float, float] = (0.0, 0.0, 0.0),
    rows: slice = slice(None),
) -> NDArray[np.float32]:
    """Values of `volume` at the voxel centres of the grid (`affine`, `shape`), float32.

    By `overhang` voxels along each of its axes the volume goes on beyond its outermost centres.
    Of the grid's slices only `rows` are made.
    """
    to_index: NDArray[Any] = np.linalg.inv(volume.affine) @ affine
    if volume.array.shape == shape and np.allclose(to_index, np.eye(4), rtol=0, atol=SAME):
        return volume.array[rows].astype(np.float32)
    order = parallel_axes(to_index[:3, :3])
    if order is None:
        return _resample_turned(volume.array, to_index, shape, outside, overhang, rows)
    array = volume.array.astype(np.float32, copy=False)
    inside = []
    for target, source in enumerate(order):
        steps = to_index[source, target] * np.arange(shape[target]) + to_index[source, 3]
        steps = steps[rows] if target == 0 else steps
        at = _snap(steps, array.shape[source], overhang[source])
        array = _interpolate(array, at, source)
        inside.append((at >= 0) & (at <= volume.array.shape[source] - 1))
    result = np.ascontiguousarray(array.transpose(order))
    for axis, within in enumerate(inside):
        beyond: list[Any] = [slice(None)] * 3
        beyond[axis] = ~within
        result[tuple(beyond)] = outside
    return result


def parallel_axes(matrix: NDArray[Any]) -> tuple[int, int, int] | None:
    """Which source axis runs along each target axis, or None if the grids are turned."""
    relative = np.abs(matrix) / np.linalg.norm(matrix, axis=0)
    order = relative.argmax(axis=0)
    if sorted(order.tolist()) != [0, 1, 2] or np.sort(relative, axis=0)[1].max() > PARALLEL:
        return None
    return int(order[0]), int(order[1]), int(order[2])


def _snap(at: NDArray[np.float64], n: int, overhang: float) -> NDArray[np.float64]:
    at = np.where((at < 0) & (at > -SNAP - overhang), 0.0, at)
    return np.where((at > n - 1) & (at < n - 1 + SNAP + overhang), n - 1.0, at)


def _interpolate(
    array: NDArray[np.float32], at: NDArray[np.float64], axis: int
) -> NDArray[np.float32]:
    """Linear interpolation along one axis at fractional indices; ends are held constant."""
    clipped = np.clip(at, 0, array.shape[axis] - 1)
    low = np.floor(clipped).astype(np.intp)
    weight = (clipped - low).astype(np.float32)
    result: NDArray[np.float32] = array.take(low, axis=axis)
    if weight.any():
        high = np.minimum(low + 1, array.shape[axis] - 1)
        weight = weight.reshape([-1 if a == axis else 1 for a in range(3)])
        result += weight * (array.take(high, axis=axis) - result)
    return result


def _resample_turned(
    array: NDArray[Any],
    to_index: NDArray[Any],
    shape: tuple[int, int, int],
    outside: float,
    overhang: tuple[float, float, float],
    rows: slice,
) -> NDArray[np.float32]:
    from scipy import ndimage  # 0.8 s to import, and turned grids are rare

    source = array.astype(np.float32, copy=False)
    which = np.arange(shape[0])[rows]
    result = np.empty((len(which), *shape[1:]), dtype=np.float32)
    j, i = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    for n, k in enumerate(which.tolist()):
        points = np.stack([np.full(j.shape, float(k)), j, i, np.ones(j.shape)])
        at = np.tensordot(to_index[:3], points, axes=1)
        ends = zip(at, source.shape, overhang, strict=True)
        at = np.stack([_snap(steps, n, beyond) for steps, n, beyond in ends])
        ndimage.map_coordinates(
            source, at, output=result[n], order=1, mode="constant", cval=outside, prefilter=False
        )
    return result
