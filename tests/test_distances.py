"""Distances against differences in extended precision, where rows are near, equal or far away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isohash.distances import (
    distance_matrix,
    distances_to,
    nearest,
    paired_squared,
    rough_squared_blocks,
    squared_distances,
)
from isohash.errors import InputError


def by_definition(a, b):
    a, b = np.asarray(a, np.longdouble), np.asarray(b, np.longdouble)
    return np.sum((a[:, None] - b[None]) ** 2, axis=2)


def near_duplicates(rng, n, dim, offset=0.0):
    """Rows in tight bunches, some exactly equal, all far from the origin if asked."""
    bunches = rng.standard_normal((max(1, n // 8), dim)) + offset
    apart = 10.0 ** rng.integers(-9, 0, (n, 1)) * rng.standard_normal((n, dim))
    rows = bunches[rng.integers(0, len(bunches), n)] + apart
    rows[rng.integers(0, n, n // 4)] = rows[0]
    return rows


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.integers(0, 40),
    st.integers(1, 30),
    st.sampled_from([0.0, 3.0, 1e4]),
    st.sampled_from([np.float64, np.float32, np.float16]),
)
def test_distances_of_near_and_equal_rows_are_right(seed, n, m, dim, offset, kind):
    rows = near_duplicates(np.random.default_rng(seed), n + m, dim, offset).astype(kind)
    a, b = rows[:n], rows[n:]
    expected = by_definition(a, b)
    # 1e-9 per dimension at the threshold of the guard, as the module promises
    np.testing.assert_allclose(squared_distances(a, b), expected, rtol=1e-9 * dim, atol=0)
    np.testing.assert_allclose(distance_matrix(a, b) ** 2, expected, rtol=1e-9 * dim, atol=0)
    for i, row in enumerate(a):
        np.testing.assert_allclose(distances_to(row, b) ** 2, expected[i], rtol=1e-13)
    np.testing.assert_allclose(
        paired_squared(a[:m], b[:n]), np.diagonal(expected), rtol=1e-13, atol=0
    )


def test_many_equal_rows_need_no_more_memory_than_a_block(monkeypatch, rng):
    monkeypatch.setattr("isohash.distances.TERMS", 64)
    rows = near_duplicates(rng, 50, 20)
    np.testing.assert_allclose(squared_distances(rows, rows), by_definition(rows, rows), rtol=1e-9)


def test_a_matrix_of_a_set_with_itself_is_symmetric_with_a_zero_diagonal(rng):
    rows = near_duplicates(rng, 40, 6, 100.0)
    found = distance_matrix(rows, rows)
    assert (np.diagonal(found) == 0).all()
    np.testing.assert_allclose(found, found.T, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 200),
    st.integers(1, 12),
    st.sampled_from([0.0, 50.0, 1e6]),
    st.sampled_from([np.float64, np.float32]),
)
def test_the_nearest_are_found_among_more_near_duplicates_than_spare(seed, n, dim, offset, kind):
    rng = np.random.default_rng(seed)
    rows = near_duplicates(rng, n + 3, dim, offset).astype(kind)
    base, query = rows[:n], rows[n:]
    k = int(rng.integers(1, n + 1))
    exact = by_definition(query, base)
    found = nearest(base, query, k)
    least = np.sort(exact, axis=1)[:, :k]
    np.testing.assert_allclose(np.take_along_axis(exact, found, axis=1), least, rtol=2e-9 * dim)
    assert all(len(set(row)) == k for row in found.tolist())


def test_the_nearest_are_ordered_by_distance_then_position(rng):
    rows = rng.integers(0, 3, (400, 3)).astype(np.float32)  # many ties
    wanted = np.argsort(by_definition(rows[:20], rows), axis=1, kind="stable")
    for k in (1, 20, 400):
        np.testing.assert_array_equal(nearest(rows, rows[:20], k), wanted[:, :k])


@pytest.mark.parametrize("k", [0, 6])
def test_asking_for_more_nearest_rows_than_there_are_is_refused(k, rng):
    with pytest.raises(InputError, match=f"the {k} nearest of 5 rows"):
        nearest(rng.standard_normal((5, 2)), rng.standard_normal((1, 2)), k)


def test_rough_blocks_are_the_distances_up_to_float32(rng):
    base = (rng.standard_normal((60, 9)) + 1000.0).astype(np.float32)
    query = base[:25] + np.float32(0.5)
    exact = by_definition(query, base)
    blocks = list(rough_squared_blocks(base, query, rows=10))
    assert [part for part, _ in blocks] == [slice(0, 10), slice(10, 20), slice(20, 25)]
    np.testing.assert_allclose(np.concatenate([b for _, b in blocks]), exact, atol=1e-3)
