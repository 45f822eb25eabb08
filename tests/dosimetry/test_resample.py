"""Resampling: exact on linear fields, equal to SimpleITK on any grid, honest beyond the edge."""

import numpy as np
import pytest
import SimpleITK as sitk

from isohash.dosimetry.resample import SNAP, parallel_axes, resample
from isohash.records import Volume


def affine_of(matrix, origin):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, origin
    return affine


def rotation(axis, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = [a for a in range(3) if a != axis]
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


def to_sitk(array, affine):
    """(z, y, x) array and affine as a SimpleITK image, whose index order is (i, j, k)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array, dtype=np.float32))
    columns = affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(columns, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((columns / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


PERMUTED = np.array([[0, -2.0, 0], [0, 0, 1.5], [4.0, 0, 0]])  # x back to front, y sideways
GRIDS = {
    "parallel": (np.diag([3.0, 2.5, 4.0])[[2, 1, 0]], (-31.0, -20.5, -28.0)),
    "descending": (np.diag([-3.0, 2.5, -4.0])[[2, 1, 0]], (33.0, -20.5, 28.0)),
    "permuted": (PERMUTED, (16.0, -18.0, -25.0)),
    "turned": (
        rotation(1, 20) @ rotation(2, 10) @ np.diag([3.0, 2, 4])[[2, 1, 0]],
        (-30, -16, -24),
    ),
}


@pytest.mark.parametrize("name", GRIDS)
def test_every_grid_agrees_with_simpleitk(name, rng):
    matrix, origin = GRIDS[name]
    source = Volume(rng.uniform(0, 70, (17, 18, 16)).astype(np.float32), affine_of(matrix, origin))
    target = affine_of(np.diag([2.0, 3.0, 1.0])[[2, 1, 0]], (-25.3, -19.1, -22.7))
    shape = (25, 14, 60)
    ours = resample(source, target, shape, outside=-5.0)
    reference = to_sitk(np.zeros(shape), target)
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(
            to_sitk(source.array, source.affine), reference, sitk.Transform(), sitk.sitkLinear, -5.0
        )
    )
    index = np.indices(shape).reshape(3, -1)
    points = target[:3, :3] @ index + target[:3, 3:]
    at = np.linalg.solve(matrix, points - np.array(origin)[:, None])
    last = np.array(source.array.shape)[:, None] - 1
    inside = ((at >= -SNAP) & (at <= last + SNAP)).all(axis=0).reshape(shape)
    assert 0.2 < inside.mean() < 1
    # SimpleITK holds edge values for half a voxel beyond the outermost centres; we do not.
    np.testing.assert_array_equal(ours != -5.0, inside)
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=2e-3)


def test_a_linear_field_comes_back_exactly_from_a_turned_grid(rng):
    slope = rng.normal(size=3)
    affine = affine_of(*GRIDS["turned"])
    index = np.indices((17, 18, 16)).reshape(3, -1)
    field = (slope @ (affine[:3, :3] @ index + affine[:3, 3:])).reshape(17, 18, 16)
    target = affine_of(np.eye(3)[[2, 1, 0]], (-5.0, -4.0, -3.0))
    points = np.indices((6, 7, 8)).reshape(3, -1)
    expected = (slope @ (target[:3, :3] @ points + target[:3, 3:])).reshape(6, 7, 8)
    np.testing.assert_allclose(
        resample(Volume(field, affine), target, (6, 7, 8)), expected, atol=1e-4
    )


def test_the_same_grid_changes_nothing_even_with_rounded_positions(rng):
    affine = affine_of(np.diag([2.0, 0.9765625, 0.9765625])[[2, 1, 0]], (-249.51, -400.3, 12.0))
    source = Volume(rng.uniform(0, 70, (5, 6, 7)).astype(np.float32), affine)
    jittered = affine.copy()
    jittered[:3, 3] += (4e-4, -4e-4, 3e-4)
    np.testing.assert_array_equal(resample(source, affine, (5, 6, 7)), source.array)
    np.testing.assert_allclose(resample(source, jittered, (5, 6, 7)), source.array, atol=0.08)


def test_beyond_the_outermost_centres_there_is_nothing():
    source = Volume(np.ones((3, 3, 3)), np.eye(4)[[2, 1, 0, 3]])
    target = np.eye(4)[[2, 1, 0, 3]] + 0.0
    target[:3, 3] = -1
    wide = resample(source, target, (5, 5, 5))
    assert wide.sum() == 27
    assert wide[1:4, 1:4, 1:4].all()


def test_axes_are_told_parallel_or_turned():
    assert parallel_axes(np.diag([-2.0, 3.0, 1.0])) == (0, 1, 2)
    assert parallel_axes(PERMUTED) == (2, 0, 1)
    assert parallel_axes(rotation(0, 1.0)) is None
