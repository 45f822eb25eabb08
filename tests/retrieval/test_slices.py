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


def test_some_cases_of_a_table_are_those_cases_in_the_order_given() -> None:
    row = {"dose": np.array([0, -1, 1, 2, -1, 3])}
    table = SliceTable(np.array([0, 2, 3, 6]), np.arange(6) + 10, np.arange(6.0), row)
    some = table.of_cases(np.array([2, 0]))
    assert some.start.tolist() == [0, 3, 5]
    assert some.index.tolist() == [13, 14, 15, 10, 11]
    assert some.z_mm.tolist() == [3.0, 4.0, 5.0, 0.0, 1.0]
    assert some.row["dose"].tolist() == [0, -1, 1, 2, -1]
    assert some.n_cases == 2
    assert table.of_cases(np.array([], dtype=np.int64)).start.tolist() == [0]
