"""From projections to codes: the compiled pass against its definition in float64."""

from __future__ import annotations

import numpy as np
import pytest

from isohash import native

pytestmark = pytest.mark.skipif(not native.available(), reason="no compiled extension")

WAYS = [(1, False), (1, True), (3, False)]


def near_the_thresholds(rng: np.random.Generator, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Projections in turns, half of them within a few roundings of their threshold."""
    half_widths = rng.uniform(0.05, 0.45, m).astype(np.float32)
    turns = rng.normal(0, 30, (n, m)).astype(np.float32)
    edge = np.round(turns) + rng.choice([-1, 1], (n, m)) * half_widths
    close = rng.random((n, m)) < 0.5
    turns[close] = edge[close] + rng.integers(-3, 4, close.sum()) * 1e-6
    return turns, half_widths


@pytest.mark.parametrize(("threads", "portable"), WAYS)
@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 7), (4, 8), (33, 100), (2, 1024), (0, 9)])
def test_bits_follow_their_definition_and_doubtful_ones_are_reported(
    rng: np.random.Generator, n: int, m: int, threads: int, portable: bool
) -> None:
    turns, half_widths = near_the_thresholds(rng, n, m)
    tolerances = rng.choice([1e-6, 2e-6], n).astype(np.float32)
    offsets = rng.random(m).astype(np.float32)
    packed, doubtful = native.threshold_turns(
        turns - offsets, offsets, half_widths, tolerances, threads, portable
    )
    turns = (turns - offsets) + offsets  # as rounded
    away = np.abs(turns.astype(np.float64) - np.round(turns.astype(np.float64)))
    np.testing.assert_array_equal(packed, np.packbits(away < half_widths, axis=1))
    margin = np.abs(away.astype(np.float32) - half_widths)
    np.testing.assert_array_equal(doubtful, np.nonzero(margin <= tolerances[:, None]))


@pytest.mark.parametrize(("threads", "portable"), WAYS)
@pytest.mark.parametrize("q", [2, 3, 10, 16, 255, 256])
def test_symbols_wrap_exactly(
    rng: np.random.Generator, q: int, threads: int, portable: bool
) -> None:
    size = np.array([[1.0], [100.0], [1e5], [8e6]])
    scaled = (rng.normal(0, 1, (4, 1003)) * size).astype(np.float32)
    whole = rng.random(scaled.shape) < 0.3
    scaled[whole] = np.round(scaled[whole] / q) * q
    tolerances = np.full(4, 1e-4, np.float32)
    symbols, found = native.wrap_symbols(scaled, np.zeros(1003), q, tolerances, threads, portable)
    inside = np.abs(scaled) < 2**23
    expected = np.floor(scaled.astype(np.float64)).astype(np.int64) % q
    np.testing.assert_array_equal(symbols, np.where(inside, expected, 0))
    doubtful = (np.abs(scaled - np.round(scaled)) <= np.float32(1e-4)) | ~inside
    np.testing.assert_array_equal(found, np.nonzero(doubtful))


@pytest.mark.parametrize("n", [0, 1, 40])
def test_indices_count_the_thresholds_reached(rng: np.random.Generator, n: int) -> None:
    widths = np.array([1, 5, 12, 3, 1])
    levels = [np.sort(rng.normal(0, 1, 2**w - 1)).astype(np.float32) for w in widths]
    products = rng.normal(0, 1, (n, 5)).astype(np.float32)
    on = rng.random((n, 5)) < 0.3  # just on a threshold
    picked = np.stack([rng.choice(t, n) for t in levels], axis=1)
    products[on] = picked[on]
    tolerances = rng.choice([1e-6, 1e-4], n).astype(np.float32)
    indices, doubtful = native.quantise(
        products, np.zeros(5), widths.astype(np.uint8), np.concatenate(levels), tolerances
    )
    expected = [np.searchsorted(t, products[:, j], side="right") for j, t in enumerate(levels)]
    np.testing.assert_array_equal(indices, np.stack(expected, axis=1))
    apart = [
        np.abs(products[:, j, None].astype(float) - t).min(axis=1) for j, t in enumerate(levels)
    ]
    near = np.stack(apart, axis=1) <= tolerances[:, None]
    np.testing.assert_array_equal(doubtful, np.nonzero(near))


@pytest.mark.parametrize("portable", [False, True])
def test_what_is_not_a_number_is_left_to_the_caller(portable: bool) -> None:
    bad = np.array([[np.nan, np.inf, -np.inf, 0.3] * 5], dtype=np.float32)
    tolerances = np.array([1e-6], np.float32)
    bits = native.threshold_turns(bad, np.ones(20), np.full(20, 0.2), tolerances, 1, portable)[1]
    symbols = native.wrap_symbols(bad, np.ones(20), 7, tolerances, 1, portable)[1]
    expected = np.nonzero(~np.isfinite(bad))
    np.testing.assert_array_equal(bits, expected)
    np.testing.assert_array_equal(symbols, expected)


def test_more_borderline_values_than_expected_are_all_reported() -> None:
    zeros = np.zeros((40, 500), np.float32)
    _, (rows, columns) = native.wrap_symbols(zeros, np.zeros(500), 4, np.full(40, 0.1))
    assert len(rows) == len(columns) == zeros.size


def test_a_tolerance_is_needed_for_every_row() -> None:
    with pytest.raises(ValueError, match="one tolerance per row"):
        native.wrap_symbols(np.zeros((2, 2), np.float32), np.zeros(2), 4, np.zeros(3))


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        native.wrap_symbols(np.zeros((2, 2)), np.zeros(2), 4, np.zeros(2))  # type: ignore[arg-type]
