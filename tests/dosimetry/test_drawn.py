"""Structures as they were drawn: volumes and DVHs do not depend on how coarse the grids are."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import polygon_oracle as oracle
from drawn_shapes import AFFINE, DISC, SHAPE, circle, drawn, grid, points
from isohash.dosimetry.dose import SLAB, PlacedDose
from isohash.dosimetry.drawing import draw
from isohash.dosimetry.dvh import dvh, share_without_dose
from isohash.dosimetry.resample import resample
from isohash.dosimetry.scanlines import MOST_CORNERS, Lines, areas, crossings
from isohash.dosimetry.structures import Structure, fullest
from isohash.records import Volume

PRESCRIBED = 60.0
WITHIN_GY = 0.01 * PRESCRIBED


def fall_off(affine, shape, width):
    """60 Gy about the z axis, falling off over `width` mm at 12 mm."""
    z, y, x = np.meshgrid(
        *(
            affine[i, 3] + affine[i, 2 - i] * np.arange(n)
            for i, n in zip((2, 1, 0), shape, strict=True)
        ),
        indexing="ij",
    )
    gy = PRESCRIBED / (1 + np.exp((np.hypot(x, y) - 12) / width)) * (1 + 0.002 * z)
    return Volume(gy.astype(np.float32), affine)


def check(planes, step, ct_mm, dose_mm, width, side_mm):
    contours = [points(z, ring) for z, rings in planes for ring in rings]
    height = max(abs(z) for z, _ in planes) + 2 * step
    reach = max(np.abs(ring).max() for _, rings in planes for ring in rings)
    affine, shape = grid(ct_mm, (height, reach + 8, reach + 8))
    dose_affine, dose_shape = grid(dose_mm, (height + 4, reach + 12, reach + 12))
    dose = fall_off(dose_affine, dose_shape, width)
    structure = Structure.of(draw(contours, affine, step), affine, shape)
    curve = dvh(PlacedDose([dose], affine, shape), structure, bin_gy=0.02)
    cc = oracle.polygon_cc(planes, step)
    close = max(0.02 * cc, 0.02)
    assert curve.volume_cc == pytest.approx(cc, abs=0.2 * close)
    shares_cc = structure.shares.array.sum() * structure.voxel_cc
    assert shares_cc == pytest.approx(cc, abs=close)
    mask_cc = structure.array.sum() * structure.voxel_cc  # of whole voxels, and never of none
    within = 0.51 * structure.voxel_cc + 0.005 * cc
    assert mask_cc == pytest.approx(max(cc, structure.voxel_cc), abs=within)
    first = (dose_affine[2, 3], dose_affine[1, 3], dose_affine[0, 3])
    values = oracle.sampled(planes, step, (dose.array, first, dose_mm), side_mm)
    assert curve.mean_gy == pytest.approx(values.mean(), abs=WITHIN_GY)
    for percent in (2, 50, 95):
        assert curve.d(percent) == pytest.approx(oracle.d(values, percent), abs=WITHIN_GY), percent


SPACING = st.sampled_from([1.0, 1.25, 2.0, 2.5, 3.0, 4.0])
GRID = st.tuples(SPACING, SPACING, SPACING)


@settings(max_examples=12, deadline=None)
@example(1.0, 0.0, 0.0, 1, 1.0, (2.0, 3.0, 4.0), (2.0, 2.0, 2.0))  # an eighth of a voxel
@given(
    st.floats(0.4, 3.0),
    st.floats(-14, 14),
    st.floats(-14, 14),
    st.integers(1, 8),
    st.sampled_from([1.0, 2.0, 3.0]),
    GRID,
    GRID,
)
def test_thin_and_small_structures_keep_volume_and_dose_on_any_grid(
    radius, cx, cy, n_planes, step, ct_mm, dose_mm
):
    """Nerves and small organs of 0.003 to 0.7 cc in a steep fall-off."""
    planes = [(step * k, [circle(radius, cx, cy)]) for k in range(n_planes)]
    check(planes, step, ct_mm, dose_mm, 2.0, radius / 12)


@settings(max_examples=5, deadline=None)
@given(st.floats(8, 18), st.floats(1.0, 3.0), st.sampled_from([2.0, 3.0]), GRID, GRID)
def test_thin_shells_keep_volume_and_dose_on_any_grid(radius, width, step, ct_mm, dose_mm):
    planes = [(step * k, [circle(radius), circle(radius - width)]) for k in range(-1, 2)]
    check(planes, step, ct_mm, dose_mm, 2.0, width / 5)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.floats(15, 60), st.floats(1.0, 30.0), st.sampled_from([2.0, 3.0, 5.0]), GRID, GRID)
def test_large_structures_keep_volume_and_dose_on_any_grid(radius, cx, step, ct_mm, dose_mm):
    planes = [(step * k, [circle(radius, cx)]) for k in range(-8, 9)]
    check(planes, step, ct_mm, dose_mm, 2.0, 0.5)


# What lies outside


def test_what_lies_outside_the_dose_counts_as_no_dose_and_is_told():
    """A circle of 10 mm whose centre lies on the border of the dose grid, within its plane."""
    planes = [(3.0 * k, [circle(10.0, n=200)]) for k in range(4)]
    structure = drawn(planes, AFFINE, SHAPE)
    affine = np.array([[0, 0, 2.0, 0.0], [0, 2.0, 0, -20], [3.0, 0, 0, 0], [0, 0, 0, 1]])
    dose = Volume(np.full((4, 21, 12), 5.0, np.float32), affine)  # x from 0, z on all four planes
    assert share_without_dose(dose, structure) == pytest.approx(0.5, abs=0.02)
    curve = dvh(dose, structure)
    assert curve.outside_dose_grid == pytest.approx(0.5, abs=0.02)
    assert curve.mean_gy == pytest.approx(2.5, abs=0.1)
    assert share_without_dose(Volume(dose.array[:2], affine), structure) > 0.7


def test_what_lies_outside_the_grid_is_in_no_mask_but_in_the_volume():
    structure = drawn([(0.0, [circle(30.0, 40.0, n=400)])], AFFINE, SHAPE)
    right = AFFINE[0, 3] + 2.0 * (SHAPE[2] - 0.5)  # mm
    beyond = right - 40.0
    cut = 30**2 * np.arccos(beyond / 30) - beyond * np.sqrt(30**2 - beyond**2)
    assert structure.volume_cc == pytest.approx(np.pi * 30**2 * 3e-3, rel=1e-3)
    kept = structure.array.sum() * structure.voxel_cc
    assert kept == pytest.approx((np.pi * 30**2 - cut) * 3e-3, rel=5e-3)


def test_a_sum_of_doses_is_sampled_on_their_own_grids():
    structure = drawn([(0.0, [circle(4.0)]), (3.0, [circle(4.0)])], AFFINE, SHAPE)
    parts = [fall_off(*grid(mm, (30.0, 40.0, 40.0)), 3.0) for mm in ((3, 2, 2), (4, 3, 2.5))]
    placed = PlacedDose(parts, AFFINE, SHAPE)
    both = dvh(placed, structure).mean_gy
    assert both == pytest.approx(sum(dvh(part, structure).mean_gy for part in parts), rel=1e-5)
    at = structure.array
    assert placed.array[at].mean() == pytest.approx(both, rel=0.02)


# How contours of one plane belong together


def cc(rings, **how):
    return drawn([(0.0, rings), (3.0, rings)], AFFINE, SHAPE, **how).volume_cc


def notes(rings):
    return draw([points(0.0, ring) for ring in rings], AFFINE, 3.0).notes


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 47), st.booleans(), st.floats(0, 0.02), st.integers(2, 4))
def test_a_copy_of_a_contour_is_no_hole(start, turned, jitter, n):
    ring = circle(10.0)
    copy = np.roll(ring[::-1] if turned else ring, start, axis=0)
    copies = [copy + jitter * np.sin(np.arange(96).reshape(48, 2) + k) for k in range(n - 1)]
    assert cc([ring, *copies]) == pytest.approx(DISC, rel=0.01)
    assert notes([ring, *copies]) == (f"{n - 1} contour(s) that are given twice count once",)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0, 6), st.sampled_from([32, 64, 200]))
def test_a_copy_that_is_shifted_a_little_or_has_other_corners_leaves_no_crescent(apart, turn, n):
    """Drawn again, not copied: whatever it counts as, the disc stays whole."""
    shift = apart * np.array([np.cos(turn), np.sin(turn)])
    for rings in ([circle(10.0, n=200), circle(10.0, n=n) + shift], [circle(0.9), circle(0.9)]):
        area = oracle.polygon_cc([(0.0, rings[:1])], 6.0)
        assert 0.99 * area <= cc(rings) <= area + (0.13 * apart + 0.01) * area
        assert len(notes(rings)) == 1


@settings(max_examples=20, deadline=None)
@given(st.floats(0.4, 3.0), st.floats(0, 0.35), st.floats(0, 6))
def test_a_thin_wall_is_a_wall_also_where_it_touches_itself(width, off, turn):
    """A hole that fills almost all of a contour, off its centre: a wall, not a copy."""
    shift = off * width * np.array([np.cos(turn), np.sin(turn)])
    rings = [circle(10.0, n=200), circle(10.0 - width, n=200) + shift]
    assert cc(rings) == pytest.approx(oracle.polygon_cc([(0.0, rings)], 6.0), rel=1e-6)
    assert notes(rings) == ()


@settings(max_examples=30, deadline=None)
@given(st.floats(1.0, 18.5), st.floats(0, 6))
def test_contours_that_overlap_in_part_are_one_region(apart, turn):
    shift = apart * np.array([np.cos(turn), np.sin(turn)])
    rings = [circle(10.0, n=200), circle(10.0, n=200) + shift]
    lens = 2 * 100 * np.arccos(apart / 20) - apart / 2 * np.sqrt(400 - apart**2)
    assert cc(rings) == pytest.approx((200 * np.pi - lens) * 6e-3, rel=0.01)
    assert "overlap in part" in notes(rings)[0]


@pytest.mark.parametrize("apart", [4.0, 15.5])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("crowd", [0, 12])
def test_contours_across_each_other_along_an_axis_are_one_region(apart, axis, crowd):
    shift = apart * np.eye(2)[axis]
    lens = 2 * 100 * np.arccos(apart / 20) - apart / 2 * np.sqrt(400 - apart**2)
    around = [circle(10.0 - 0.7 * k, n=200) for k in range(1, crowd + 1)]  # holes and islands
    rings = [circle(10.0, n=200), circle(10.0, n=200) + shift]
    assert "overlap in part" in notes([*rings, *around])[0]
    if not crowd:
        assert cc(rings) == pytest.approx((200 * np.pi - lens) * 6e-3, rel=0.01)


def test_a_cross_of_two_bars_is_one_region():
    bar = np.array([[-12.0, -3], [12, -3], [12, 3], [-12, 3]])
    assert cc([bar, bar[:, ::-1]]) == pytest.approx((2 * 144 - 36) * 6e-3, rel=0.02)


@pytest.mark.parametrize("reach", [1.0, 5.0, 9.0])
def test_holes_and_islands_stay_what_they_are(reach):
    rings = [circle(10.0, n=200), circle(reach, n=200), circle(reach / 2, n=200)]
    expected = np.pi * (100 - reach**2 + reach**2 / 4) * 6e-3
    assert cc(rings) == pytest.approx(expected, rel=2e-3)
    assert cc(rings[::-1]) == pytest.approx(expected, rel=2e-3)
    assert notes(rings) == ()


def test_a_hole_that_touches_the_border_or_crosses_it_by_rounding_stays_a_hole():
    hole = circle(4.0, 6.02, n=200)  # its right end lies 0.02 mm outside
    assert cc([circle(10.0, n=200), hole]) == pytest.approx(np.pi * 84 * 6e-3, rel=3e-3)


def test_contours_of_the_xor_type_are_combined_by_that_rule_alone():
    rings = [circle(10.0), circle(10.0)]
    assert cc(rings, even_odd=True) == 0
    assert cc([*rings, circle(5.0)], even_odd=True) == pytest.approx(DISC / 4, rel=0.01)


def test_many_holes_and_two_overlapping_pieces_in_one_plane():
    holes = [circle(1.0, x, y, n=12) for x in (-5, 0, 5) for y in (-5, 0, 5)]
    pieces = [circle(3.0, 20.0, n=60), circle(3.0, 23.0, n=60)]
    lens = 2 * 9 * np.arccos(3 / 6) - 1.5 * np.sqrt(36 - 9)
    area = np.pi * (100 - 9 + 18) - lens
    assert cc([circle(10.0, n=60), *holes, *pieces]) == pytest.approx(area * 6e-3, rel=0.02)


# Thin ones


def test_a_thin_structure_is_whole_along_its_length():
    """A nerve of a fifth of a voxel keeps its volume, spread evenly over its slices."""
    levels = [AFFINE[2, 3] + 3.0 * k for k in range(18)]
    structure = drawn([(z, [circle(0.5, 0.4, 0.4)]) for z in levels], AFFINE, SHAPE)
    held = np.flatnonzero(structure.array.any(axis=(1, 2)))
    assert structure.array.sum() == pytest.approx(18 * np.pi * 0.25 / 4, abs=0.6)
    assert np.diff(held).max() <= 6
    assert structure.shares.array.sum() * structure.voxel_cc == pytest.approx(
        structure.volume_cc, rel=0.01
    )


def test_one_voxel_is_the_least_that_a_structure_holds():
    structure = drawn([(0.0, [circle(0.05, n=8)])], AFFINE, SHAPE)
    assert structure.array.sum() == 1
    assert 0 < structure.volume_cc < 1e-4


@pytest.mark.parametrize("turned", [False, True])
def test_a_sum_of_doses_is_the_same_made_at_once_or_slice_by_slice(turned):
    affine, shape = grid((1.3, 2.0, 2.0), (30.0, 40.0, 40.0))
    parts = [fall_off(*grid(mm, (30.0, 40.0, 40.0)), 3.0) for mm in ((3, 2, 2), (4, 3, 2.5))]
    if turned:
        c, s = np.cos(0.1), np.sin(0.1)
        turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        parts[1] = Volume(parts[1].array, turn @ parts[1].affine)
    placed = PlacedDose(parts, affine, shape)
    whole = sum(resample(part, affine, shape) for part in parts)
    for first, stop in ((0, 1), (3, 20), (15, 47), (0, 100)):
        np.testing.assert_array_equal(placed.slab(first, stop), whole[first:stop])
    assert "array" not in vars(placed)  # which is what saves the memory
    np.testing.assert_array_equal(placed.array, whole)
    np.testing.assert_array_equal(placed.slab(3, 20), whole[3:20])


# What is left out of the work must not be left out of the answer


@given(
    at=st.tuples(*[st.floats(-25, 25)] * 3),
    size=st.tuples(*[st.integers(3, 12)] * 3),
    turn=st.sampled_from([0.0, 0.0, 20.0, 90.0]),
)
@settings(max_examples=25, deadline=None)
def test_planes_that_are_not_looked_at_have_dose_everywhere(at, size, turn):
    """The share without dose is that of plain samples, wherever the dose grid lies."""
    planes = [(3.0 * k, [circle(8.0), circle(3.0)]) for k in range(-3, 4)]
    structure = drawn(planes, AFFINE, SHAPE)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    affine = np.array([[0, -4 * s, 4 * c, 0.0], [0, 4 * c, 4 * s, 0], [4, 0, 0, 0], [0, 0, 0, 1]])
    affine[:3, 3] = at - affine[:3, :3] @ (np.array(size) - 1) / 2
    dose = Volume(np.ones(size, np.float32), affine)
    z, y, x = np.meshgrid(
        np.linspace(-10.15, 10.15, 30), *[np.linspace(-8, 8, 40)] * 2, indexing="ij"
    )
    held = oracle.inside(x, y, [circle(8.0), circle(3.0)])
    index = (np.stack([x, y, z], axis=-1)[held] - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    last = np.array(size) - 1
    within = (index >= [-0.5, 0, 0]) & (index <= last + np.array([0.5, 0, 0]))
    missed = 1.0 - within.all(axis=1).mean()
    assert share_without_dose(dose, structure) == pytest.approx(missed, abs=0.05)


def test_areas_of_many_planes_measured_at_once_are_those_of_each(rng):
    planes = [
        [30 * rng.normal(size=(rng.integers(3, 40), 2)) for _ in range(rng.integers(1, 4))]
        for _ in range(200)
    ]
    planes += [[circle(20.0, n=MOST_CORNERS + 500)], [np.zeros((3, 2))]]
    each = [
        crossings(rings, lines).area(lines)
        for rings in planes[:-1]
        for lines in [Lines.between_corners(rings)]
    ]
    np.testing.assert_allclose(areas(planes), [*each, 0.0], rtol=1e-9, atol=1e-9)


def test_a_structure_is_drawn_slab_by_slab_into_the_mask_of_its_shares():
    planes = [points(2.0 * k, circle(30.0 + 5.0 * np.sin(k))) for k in range(-22, 23)]
    affine, shape = grid((1.3, 1.7, 2.1), (50, 40, 40))
    structure = Structure.of(draw(planes, affine, 2.0), affine, shape)
    assert structure.box[0].stop - structure.box[0].start > 3 * SLAB
    np.testing.assert_array_equal(structure.array, fullest(structure.shares.array))


def test_drawing_a_body_takes_little_more_memory_than_its_mask():
    planes = [points(float(k), circle(100.0)) for k in range(-50, 51)]
    affine, shape = grid((1.0, 1.0, 1.0), (52, 104, 104))
    drawing = draw(planes, affine, 1.0)
    tracemalloc.start()
    try:
        structure = Structure.of(drawing, affine, shape)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * structure.inside.size  # bytes; all shares at once took 7
