"""Tables of slices: what a comparison reads off them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from isohash.retrieval.slices import SliceTable


@pytest.mark.parametrize("lengths", [[], [0], [1], [5, 0, 1, 2, 4], [3, 3]])
def test_the_spacing_of_a_case_is_the_median_of_its_steps(lengths, rng) -> None:
    start = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    z_mm = rng.normal(size=start[-1])
    spacing = SliceTable(start, np.arange(start[-1]), z_mm, {}).spacing_mm()
    steps = [np.abs(np.diff(z_mm[a:b])) for a, b in itertools.pairwise(start)]
    expected = [np.median(each) if len(each) else np.nan for each in steps]
    np.testing.assert_allclose(spacing, np.array(expected))
