"""Rasterised contours: exact areas, holes, islands, keyholes, and planes off the slices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isohash.dosimetry.structures import rasterise
from isohash.errors import InputError

SPACING = np.array([5.0, 2.0, 1.25])  # z, y, x
AFFINE = np.zeros((4, 4))
AFFINE[[2, 1, 0], [0, 1, 2]] = SPACING
AFFINE[:, 3] = (-40.0, -30.0, -100.0, 1.0)
SHAPE = (8, 40, 64)


def to_mm(index):
    """Points (n, 3) given as (slice, row, column) in mm."""
    return np.asarray(index, dtype=float) @ AFFINE[:3, :3].T + AFFINE[:3, 3]


def contour(k, rows_columns):
    points = np.asarray(rows_columns, dtype=float)
    return to_mm(np.column_stack([np.full(len(points), float(k)), points]))


def rectangle(k, top, left, bottom, right):
    return contour(k, [(top, left), (top, right), (bottom, right), (bottom, left)])


def shoelace(points):
    y, x = points[:, 1], points[:, 0]
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_pixels_are_squares_about_their_centres():
    shares = rasterise([rectangle(3, 9.5, 19.5, 12.5, 24.0)], AFFINE, SHAPE).shares
    expected = np.zeros(SHAPE)
    expected[3, 10:13, 20:24] = 1.0
    expected[3, 10:13, 24] = 0.5
    np.testing.assert_allclose(shares, expected, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 12),
    st.floats(2, 14),
    st.floats(-1, 40),
    st.floats(-1, 63),
    st.integers(0, 2**32 - 1),
)
def test_the_area_of_any_polygon_is_kept(n, radius, row, column, seed):
    rng = np.random.default_rng(seed)
    # One corner in each sector, less than half a turn from the next: the ring never crosses itself.
    angles = 2 * np.pi / n * (np.arange(n) + 0.4 * rng.uniform(size=n))
    reach = radius * rng.uniform(0.3, 1.0, n)
    polygon = np.column_stack([row + reach * np.sin(angles), column + 1.6 * reach * np.cos(angles)])
    inside = (polygon > -0.5).all() and (polygon < np.array(SHAPE[1:]) - 0.5).all()
    result = rasterise([contour(2, polygon)], AFFINE, SHAPE)
    area = result.shares.sum() * SPACING[1] * SPACING[2]
    exact = shoelace(contour(2, polygon))
    if inside:
        # Rows are sampled 8 times: the error is bounded by perimeter times an eighth of a row.
        assert area == pytest.approx(exact, abs=0.02 * exact + 1.0)
    else:
        assert area <= 1.02 * exact + 1.0
    assert result.shares.min() >= 0
    assert result.shares.max() <= 1


def test_matches_a_plain_point_in_polygon_count():
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    star = np.column_stack(
        [18 + (7 + 4 * np.cos(5 * angles)) * np.sin(angles), 30 + 14 * np.cos(angles)]
    )
    shares = rasterise([contour(4, star)], AFFINE, SHAPE).shares[4]
    fine = 16
    rows = (np.arange(SHAPE[1] * fine) + 0.5) / fine - 0.5
    columns = (np.arange(SHAPE[2] * fine) + 0.5) / fine - 0.5
    inside = np.zeros((len(rows), len(columns)), dtype=bool)
    for (r0, c0), (r1, c1) in zip(star, np.roll(star, -1, axis=0), strict=True):
        spans = (r0 > rows) != (r1 > rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = c0 + (rows - r0) / (r1 - r0) * (c1 - c0)
        inside ^= spans[:, None] & (columns[None, :] < cut[:, None])
    counted = inside.reshape(SHAPE[1], fine, SHAPE[2], fine).mean(axis=(1, 3))
    np.testing.assert_allclose(shares, counted, atol=0.08)
    assert shares.sum() == pytest.approx(counted.sum(), rel=2e-3)


def test_an_inner_contour_is_a_hole_and_one_in_the_hole_an_island():
    outer, hole = rectangle(3, 4.5, 9.5, 24.5, 39.5), rectangle(3, 9.5, 14.5, 19.5, 34.5)
    island = rectangle(3, 12.5, 19.5, 14.5, 29.5)
    mask = rasterise([hole, island, outer], AFFINE, SHAPE).mask[3]
    assert mask.sum() == 20 * 30 - 10 * 20 + 2 * 10
    assert mask[7, 12]
    assert not mask[11, 16]
    assert mask[13, 25]


def test_separate_contours_of_a_slice_are_islands():
    pieces = [rectangle(3, 4.5, 4.5, 6.5, 6.5), rectangle(3, 20.5, 40.5, 22.5, 43.5)]
    assert rasterise(pieces, AFFINE, SHAPE).mask.sum() == 4 + 6


def test_a_keyhole_is_a_hole():
    keyhole = [(5, 10), (5, 40), (25, 40), (25, 10), (15, 10)]  # outside, then in along row 15
    keyhole += [(15, 20), (20, 20), (20, 30), (10, 30), (10, 20), (15, 20), (15, 10)]
    plain = [rectangle(3, 5, 10, 25, 40), rectangle(3, 10, 20, 20, 30)]
    keyed = rasterise([contour(3, keyhole)], AFFINE, SHAPE).shares
    np.testing.assert_allclose(keyed, rasterise(plain, AFFINE, SHAPE).shares, atol=1e-6)


def test_direction_and_start_of_a_contour_do_not_matter(rng):
    polygon = rng.uniform(3, 36, (9, 2))
    first = rasterise([contour(3, polygon)], AFFINE, SHAPE).shares
    turned = np.roll(polygon[::-1], 4, axis=0)
    np.testing.assert_allclose(
        rasterise([contour(3, turned)], AFFINE, SHAPE).shares, first, atol=1e-6
    )


def test_points_and_lines_are_left_out_with_a_note():
    stray = [to_mm([[3, 5, 5]]), to_mm([[3, 5, 5], [3, 6, 6]])]
    result = rasterise([*stray, rectangle(3, 4.5, 4.5, 6.5, 6.5)], AFFINE, SHAPE)
    assert result.mask.sum() == 4
    assert result.notes == ("2 contour(s) of fewer than 3 points left out",)
    assert rasterise([], AFFINE, SHAPE).shares.sum() == 0


def test_planes_between_slices_weigh_what_they_cover():
    planes = [rectangle(k, 4.5, 4.5, 6.5, 6.5) for k in (2.5, 3.5, 4.5)]  # a slab from 2 to 5
    shares = rasterise(planes, AFFINE, SHAPE).shares[:, 5, 5]
    np.testing.assert_allclose(shares, [0, 0, 0.5, 1, 1, 0.5, 0, 0], atol=1e-6)


def test_planes_on_every_second_slice_are_joined():
    planes = [rectangle(k, 4.5, 4.5, 6.5, 6.5) for k in (1, 3, 5, 7)]
    mask = rasterise(planes, AFFINE, SHAPE, step_mm=5.0).mask[:, 5, 5]
    assert mask.all()


def test_a_slice_without_contour_in_the_midst_of_others_stays_empty():
    planes = [rectangle(k, 4.5, 4.5, 6.5, 6.5) for k in (1, 2, 3, 5, 6)]
    mask = rasterise(planes, AFFINE, SHAPE).mask[:, 5, 5]
    np.testing.assert_array_equal(mask, [0, 1, 1, 1, 0, 1, 1, 0])


def test_two_far_planes_are_two_thin_islands():
    planes = [rectangle(k, 4.5, 4.5, 6.5, 6.5) for k in (1, 6)]
    assert rasterise(planes, AFFINE, SHAPE).mask.sum() == 2 * 4


def test_without_end_caps_a_structure_ends_at_its_outer_planes():
    planes = [rectangle(k, 4.5, 4.5, 6.5, 6.5) for k in (2, 3, 4)]
    shares = rasterise(planes, AFFINE, SHAPE, end_cap=0.0).shares[:, 5, 5]
    np.testing.assert_allclose(shares, [0, 0, 0.5, 1, 0.5, 0, 0, 0], atol=1e-6)


def test_positions_rounded_to_a_hundredth_do_not_leak_into_neighbours():
    jittered = rectangle(3, 4.5, 4.5, 6.5, 6.5) + np.array([0, 0, 0.01])
    np.testing.assert_array_equal(
        rasterise([jittered], AFFINE, SHAPE).shares,
        rasterise([rectangle(3, 4.5, 4.5, 6.5, 6.5)], AFFINE, SHAPE).shares,
    )


def test_a_contour_across_slices_is_refused():
    with pytest.raises(InputError, match="leaves its slice"):
        rasterise([to_mm([[2, 5, 5], [3, 5, 9], [4, 9, 9]])], AFFINE, SHAPE)


def test_parts_outside_the_grid_are_cut_off_and_noted():
    beside = rectangle(3, -20, -20, 5.5, 6.5)
    above = rectangle(9, 4.5, 4.5, 6.5, 6.5)
    result = rasterise([beside, above], AFFINE, SHAPE)
    assert result.mask.sum() == 6 * 7
    lost = 1 - 6 * 7 / (25.5 * 26.5 + 2 * 2)
    assert result.notes == (f"{100 * lost:.0f} % of it lies outside the grid",)


def test_a_sphere_of_contours_has_the_volume_of_a_sphere():
    radius, centre = 18.0, to_mm([[3.6, 19.7, 31.2]])[0]
    contours = []
    for k in range(8):
        height = AFFINE[2, 3] + k * SPACING[0] - centre[2]
        if abs(height) < radius:
            r = np.sqrt(radius**2 - height**2)
            angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
            ring = centre + np.column_stack(
                [r * np.cos(angle), r * np.sin(angle), 0 * angle + height]
            )
            contours.append(ring)
    shares = rasterise(contours, AFFINE, SHAPE).shares
    discs = sum(shoelace(ring) for ring in contours) * SPACING[0]
    assert shares.sum() * SPACING.prod() == pytest.approx(discs, rel=1e-3)
    # discs of 5 mm in a ball of 18 mm: the slices alone are good to about h^2 / (2 r^2)
    assert discs == pytest.approx(4 / 3 * np.pi * radius**3, rel=25 / (2 * 18**2))
