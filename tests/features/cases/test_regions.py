"""The largest region against SciPy's labels, on random masks of every density."""

from __future__ import annotations

import sys
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from isohash.features.cases.regions import flood, largest_region


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 150)),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_the_largest_region_is_that_of_the_labels(shape, density, seed) -> None:
    mask = np.random.default_rng(seed).random(shape) < density
    with patch.dict(sys.modules):
        sys.modules.pop("scipy.ndimage")  # as in a query from a cold start
        found = largest_region(mask)
    np.testing.assert_array_equal(found.sum(), largest_region(mask).sum())
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    assert found.sum() == sizes.max(initial=0)
    assert len(np.unique(labels[found])) == min(1, count)


def test_a_flood_follows_a_spiral_to_its_end() -> None:
    spiral = np.array(
        [[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]
    )
    mask = spiral.astype(bool)[None]
    np.testing.assert_array_equal(flood(mask, (0, 0, 0)), mask)


@pytest.mark.parametrize("value", [False, True])
def test_an_empty_and_a_full_mask_are_their_own_region(value: bool) -> None:
    mask = np.full((3, 4, 5), value)
    np.testing.assert_array_equal(largest_region(mask), mask)
