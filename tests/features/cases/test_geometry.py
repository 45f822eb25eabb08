"""Hand-made case vectors on structures whose distances are known."""

import dataclasses

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.features.cases.geometry import (
    GeometrySettings,
    dvh_features,
    overlap_volume_histograms,
    shared_heights,
    signed_distance,
    target_signature,
)
from isohash.records import Case, Volume

SETTINGS = GeometrySettings(
    targets=("PTV_70",),
    organs=("Parotid_L", "SpinalCord"),
    percentiles=(0, 50, 100),
    dose_volumes=(0, 50, 100),
)
SHAPE = (30, 40, 50)


def volume(array: np.ndarray, spacing: tuple[float, float, float] = (3.0, 3.0, 3.0)) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, spacing[2]], [0, spacing[1], 0], [-spacing[0], 0, 0]]
    affine[:3, 3] = [-70.0, -50.0, 300.0]
    return Volume(array, affine)


def box(z: tuple[int, int], y: tuple[int, int], x: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


def case(**structures: np.ndarray) -> Case:
    dose = np.zeros(SHAPE)
    dose[:] = np.arange(SHAPE[2]) + 1.0  # Gy: one more per column
    return Case(
        "pt",
        ct=volume(np.zeros(SHAPE)),
        dose=volume(dose),
        structures={name: volume(mask) for name, mask in structures.items()},
    )


VECTORS = (overlap_volume_histograms, shared_heights, target_signature, dvh_features)
PTV = box((10, 20), (10, 20), (10, 20))
LEFT = box((12, 14), (12, 14), (25, 29))  # 6 to 9 voxels beyond the target's surface, in x


def test_signed_distance_agrees_with_brute_force(rng):
    spacing = (5.0, 2.0, 3.0)
    mask = rng.random((6, 7, 8)) < 0.3
    distance = signed_distance(mask, spacing)
    points = np.stack(np.indices(mask.shape), axis=-1) * spacing
    for index in np.ndindex(mask.shape):
        other = points[~mask] if mask[index] else points[mask]
        nearest = np.sqrt(((other - points[index]) ** 2).sum(axis=1)).min() - 1.0
        assert distance[index] == pytest.approx(-nearest if mask[index] else nearest)


def test_an_organ_beside_a_target_has_the_distances_of_its_columns():
    found = overlap_volume_histograms(case(PTV70=PTV, LeftParotid=LEFT), SETTINGS)
    found = found.reshape(2, 2, 3)
    # Columns 25..28; the target ends at column 19: 6..9 voxels of 3 mm, less half a voxel.
    np.testing.assert_allclose(found[0, 0], [16.5, 21.0, 25.5])
    assert np.isnan(found[0, 1]).all()  # no spinal cord
    np.testing.assert_array_equal(found[1], found[0])  # one target is the union


def test_an_organ_inside_a_target_has_negative_distances():
    inner = box((14, 16), (14, 16), (14, 16))
    found = overlap_volume_histograms(case(PTV70=PTV, LeftParotid=inner), SETTINGS)
    np.testing.assert_allclose(found.reshape(2, 2, 3)[0, 0], -13.5)  # 5 voxels deep: 15 - 1.5


def test_the_union_of_the_targets_is_as_near_as_the_nearest():
    settings = dataclasses.replace(SETTINGS, targets=("PTV_56", "PTV_63", "PTV_70"))
    near = box((10, 20), (10, 20), (20, 23))
    both = case(PTV70=PTV, PTV56=near, LeftParotid=LEFT)
    found = overlap_volume_histograms(both, settings).reshape(4, 2, 3)[:, 0]
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[3], found[0])
    assert (found[2] > found[0]).all()


def test_targets_of_other_dose_levels_count_in_the_union():
    plain = overlap_volume_histograms(case(PTV70=PTV, LeftParotid=LEFT), SETTINGS).reshape(2, 2, 3)
    other = case(PTV66=PTV, CTV66=box((0, 30), (0, 40), (0, 50)), LeftParotid=LEFT)
    found = overlap_volume_histograms(other, SETTINGS).reshape(2, 2, 3)
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1], plain[1])  # the CTV is not what is treated


def test_shared_heights_count_what_lies_in_the_targets_slices():
    found = shared_heights(
        case(PTV70=PTV, LeftParotid=LEFT, SpinalCord=box((5, 25), (30, 33), (20, 23))), SETTINGS
    ).reshape(2, 2)
    np.testing.assert_allclose(found, [[1.0, 0.5], [1.0, 0.5]])  # 10 of the cord's 20 slices


def test_distances_do_not_depend_on_the_grid():
    def at(spacing: float) -> np.ndarray:
        n = round(90 / spacing)
        mm = (np.arange(n) + 0.5) * spacing
        z, y, x = np.meshgrid(mm, mm, mm, indexing="ij")
        ball = (z - 45) ** 2 + (y - 45) ** 2 + (x - 30) ** 2 < 15**2
        rod = (np.abs(y - 45) < 6) & (np.abs(x - 75) < 6)
        grid = (spacing,) * 3
        parts = {"PTV70": volume(ball, grid), "LeftParotid": volume(rod, grid)}
        return overlap_volume_histograms(Case("b", structures=parts), SETTINGS)[:3]

    np.testing.assert_allclose(at(1.0), at(3.0), atol=3.0)  # one voxel of the coarser grid


def test_the_vectors_do_not_depend_on_memory_order_or_on_where_the_patient_lies():
    plain = case(PTV70=PTV, LeftParotid=LEFT, SpinalCord=box((0, 30), (30, 33), (20, 23)))

    def moved(v: Volume) -> Volume:
        affine = v.affine.copy()
        affine[:3, 3] += affine[:3, 0] * (v.array.shape[0] - 1)
        affine[:3, 0] *= -1
        affine[:3, 3] += [13.0, -40.0, 7.0]
        order = [2, 0, 1]
        affine[:3, :3] = affine[:3, order]
        return Volume(v.array[::-1].transpose(order), affine)

    other = dataclasses.replace(
        plain,
        dose=moved(plain.dose),
        structures={name: moved(v) for name, v in plain.structures.items()},
    )
    for vector in VECTORS:
        np.testing.assert_allclose(vector(plain, SETTINGS), vector(other, SETTINGS), atol=1e-9)


def test_the_signature_gives_size_extent_and_place():
    found = target_signature(case(PTV70=PTV, LeftParotid=LEFT), SETTINGS).reshape(3, 7)
    spread = 3.0 * np.sqrt((10**2 - 1) / 12)
    np.testing.assert_allclose(found[0], [30.0, spread, spread, spread, 0, 0, 0], atol=1e-9)
    # Centres: target (14.5, 14.5, 14.5), organ (12.5, 12.5, 26.5) in (k, j, i); k runs down.
    np.testing.assert_allclose(found[1, 4:], [36.0, -6.0, 6.0])
    assert np.isnan(found[2]).all()


def test_dvh_features_are_doses_at_volumes():
    found = dvh_features(case(PTV70=PTV, LeftParotid=LEFT), SETTINGS).reshape(3, 3)
    np.testing.assert_allclose(found[0], [20.0, 15.5, 11.0])  # max, median, min of columns 10..19
    np.testing.assert_allclose(found[1], [29.0, 27.5, 26.0])
    without_dose = dataclasses.replace(case(PTV70=PTV), dose=None)
    assert np.isnan(dvh_features(without_dose, SETTINGS)).all()


def test_a_case_without_structures_gives_nothing_but_nan():
    for vector in VECTORS:
        assert np.isnan(vector(case(), SETTINGS)).all()
        assert vector(case(), SETTINGS).shape == vector(case(PTV70=PTV), SETTINGS).shape


def test_structures_on_different_grids_are_refused():
    parts = {"PTV70": volume(PTV), "LeftParotid": volume(LEFT[:-1])}
    with pytest.raises(InputError, match="different grids"):
        overlap_volume_histograms(Case("pt", structures=parts), SETTINGS)
