"""Isodose lines lie where the dose has their level; levels and colours are orderly."""

import numpy as np
import pytest

from isohash.dosimetry.isodose import PALETTE, default_levels, isodose_lines, level_colours
from isohash.errors import InputError


def test_lines_of_a_cone_are_ellipses_in_column_row_order():
    row, column = np.mgrid[0:60, 0:90].astype(float)
    radius = np.hypot((row - 25.0) / 1.0, (column - 50.0) / 2.0)  # wide along columns
    lines = isodose_lines(60.0 - 2 * radius, [30.0, 20.0, 99.0])
    assert list(lines) == [30.0, 20.0, 99.0]
    assert lines[99.0] == []
    (line,) = lines[30.0]
    np.testing.assert_array_equal(line[0], line[-1])
    np.testing.assert_allclose(np.hypot((line[:, 0] - 50) / 2, line[:, 1] - 25), 15, atol=0.02)


def test_islands_and_holes_have_lines_of_their_own():
    dose = np.zeros((20, 30))
    dose[3:9, 3:9] = 50
    dose[11:18, 15:28] = 50
    dose[14, 20] = 0
    assert len(isodose_lines(dose, [25])[25.0]) == 3


def test_levels_follow_the_prescription_hottest_first():
    levels = default_levels(70)
    assert levels[1] == 70
    assert list(levels) == sorted(levels, reverse=True)
    assert len(levels) == len(PALETTE) == len(set(PALETTE))
    assert level_colours([20, 70])[70] == PALETTE[0]


def test_bad_slices_and_prescriptions_are_refused():
    with pytest.raises(InputError, match="shape"):
        isodose_lines(np.zeros((2, 2, 2)), [1])
    with pytest.raises(InputError, match="not finite"):
        isodose_lines(np.full((3, 3), np.nan), [1])
    with pytest.raises(InputError, match="positive"):
        default_levels(0)
