"""Planes of contours: which belong together, and how much of the length each stands for."""

import numpy as np
import pytest

import polygon_oracle as oracle
from drawn_shapes import AFFINE, DISC, SHAPE, circle, drawn, points
from isohash.dosimetry.drawing import draw
from isohash.dosimetry.slabs import Ruler, usual_step


@pytest.mark.parametrize("apart", [0.02, 0.1, 0.3])
def test_planes_written_twice_a_little_apart_are_one(apart):
    levels = [3.0 * k + shift for k in range(8) for shift in (0.0, apart)]
    structure = drawn([(z, [circle(10.0)]) for z in levels], AFFINE, SHAPE)
    assert structure.volume_cc == pytest.approx(8 / 2 * DISC * 1.0, rel=0.02)


PAIRS = 12  # planes, or pairs of planes, of a structure on slices 3 mm apart
ON_SLICES = Ruler.even(3.0)


def volume_of(levels, **how):
    """cc of circles that grow with the plane."""
    planes = [(z, [circle(8.0 + z / 5)]) for z in levels]
    contours = [points(z, ring) for z, rings in planes for ring in rings]
    return draw(contours, FLAT, **how).volume_cc, planes


FLAT = np.array([[0, 0, 1.0, 0], [0, 1.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("apart", [0.1, 0.3, 0.5, 0.75, 1.0, 1.25, 1.4, 1.5, 2.0, 2.9])
@pytest.mark.parametrize("how", [{"ruler": ON_SLICES}, {}, {"step_mm": 3.0}])
def test_planes_doubled_any_distance_apart_keep_the_volume(apart, how):
    """Each plane stands for half the gap to its neighbours, and for as much at the ends."""
    levels = sorted(3.0 * k + shift for k in range(PAIRS) for shift in (0.0, apart))
    found, planes = volume_of(levels, **how)
    bounds = np.concatenate([[levels[0]], np.add(levels[1:], levels[:-1]) / 2, [levels[-1]]])
    bounds[[0, -1]] += 0.5 * np.array([-1, 1]) * max(apart, 3.0 - apart)
    assert found == pytest.approx(oracle.slabs_cc(planes, np.diff(bounds)), rel=1e-6)


@pytest.mark.parametrize("apart", [0.1, 0.5, 1.0, 1.1])
@pytest.mark.parametrize("without", [(7,), (8,), (7, 12), (8, 13), (4, 9, 14)])
@pytest.mark.parametrize("how", [{"ruler": ON_SLICES}, {}, {"step_mm": 3.0}])
def test_one_plane_of_a_pair_may_be_missing(apart, without, how):
    levels = [3.0 * k + shift for k in range(PAIRS) for shift in (0.0, apart)]
    found, _ = volume_of([z for at, z in enumerate(levels) if at not in without], **how)
    assert found == pytest.approx(volume_of(levels, **how)[0], rel=0.01)


@pytest.mark.parametrize("apart", [0.0, 0.1, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("how", [{"ruler": ON_SLICES}, {}, {"step_mm": 3.0}])
@pytest.mark.parametrize("empty", [1, 2, 4])
def test_a_slice_without_any_plane_is_a_gap_however_planes_are_doubled(apart, how, empty):
    """Two parts have the volume that they have apart."""
    parts = [range(6), range(6 + empty, PAIRS + empty)]
    levels = [sorted({3.0 * k + shift for k in part for shift in (0.0, apart)}) for part in parts]
    found, _ = volume_of(levels[0] + levels[1], **how)
    assert found == pytest.approx(sum(volume_of(part, **how)[0] for part in levels), rel=1e-6)


@pytest.mark.parametrize("extra", [0.2, 1.0, 1.5, 2.5])
@pytest.mark.parametrize("at", [0, 5, 10])
def test_a_plane_more_changes_little(extra, at):
    levels = [3.0 * k for k in range(PAIRS)]
    found, _ = volume_of(sorted([*levels, 3.0 * at + extra]))
    assert found == pytest.approx(volume_of(levels)[0], rel=0.01)


@pytest.mark.parametrize("planes", [1, 2, 3])
def test_a_structure_of_few_doubled_planes_has_the_step_of_the_set(planes):
    levels = sorted(3.0 * k + shift for k in range(planes) for shift in (0.0, 1.0))
    step = usual_step([np.array([3.0 * k + shift for k in range(9) for shift in (0.0, 1.0)])])
    found, drawn_planes = volume_of(levels, step_mm=step, ruler=ON_SLICES)
    area = np.mean([oracle.slabs_cc([plane], [1.0]) for plane in drawn_planes])
    assert found == pytest.approx(3.0 * planes * area, rel=0.01)


def test_a_part_drawn_on_every_second_slice_has_no_gaps():
    levels = [3.0 * k for k in (*range(12), *range(13, 20, 2), *range(20, 24))]
    whole = [3.0 * k for k in range(24)]
    found, _ = volume_of(levels, ruler=ON_SLICES)
    assert found == pytest.approx(volume_of(whole, ruler=ON_SLICES)[0], rel=0.02)


def test_planes_finer_than_the_slices_are_joined_between_two_of_these_only():
    """Planes 1 mm apart: what lies between two slices of 3 mm is no gap, a slice without is."""
    between = [1.0 * k for k in range(12) if k not in (4, 5)]
    assert volume_of(between, ruler=ON_SLICES)[0] == pytest.approx(
        volume_of(range(12))[0], rel=0.01
    )
    across = [1.0 * k for k in range(12) if k not in (5, 6)]
    found, whole = volume_of(across, ruler=ON_SLICES)[0], volume_of(range(12))[0]
    assert found == pytest.approx(whole * 10 / 12, rel=0.01)


def test_planes_half_way_between_slices_fill_as_many_slices():
    centre = AFFINE[2, 3] + 3.0 * 5
    levels = [centre + 3.0 * k + 1.5 for k in range(6)]
    structure = drawn([(z, [circle(10.0, n=200)]) for z in levels], AFFINE, SHAPE)
    assert structure.array.sum() * structure.voxel_cc == pytest.approx(3 * DISC, rel=0.01)
    first, *_, last = (n for n in structure.array.sum(axis=(1, 2)) if n)
    assert min(first, last) < 0.3 * max(first, last)  # one of the two halves, not half of both
