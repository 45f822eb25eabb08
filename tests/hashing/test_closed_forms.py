"""The closed forms agree with simulation within bands derived from the sample size."""

from __future__ import annotations

import math

import numpy as np
import pytest

from isohash.hashing.closed_forms import (
    disagreement,
    dithered_table_mean,
    lee_table,
    random_threshold_mean,
    sign_cosine_mean,
)
from isohash.kernels.radial import RadialKernel

DRAWS = 1_000_000
DELTA = 1e-9  # chance that a correct formula fails one comparison


def band(n: int, spread: float = 1.0) -> float:
    """Hoeffding's band for the mean of n values within an interval of length `spread`."""
    return spread * math.sqrt(math.log(2.0 / DELTA) / (2.0 * n))


@pytest.mark.parametrize(
    ("r", "table"), [(0.1, 0.02528), (0.3, 0.07552), (1, 0.23373), (2, 0.36860), (5, 0.4052)]
)
def test_random_threshold_probability_matches_the_published_simulation(r, table) -> None:
    # two simulations of 2e6 draws each side of the truth: 4 deviations of a binomial share
    tolerance = 4.0 * math.sqrt(table * (1.0 - table) / 2e6)
    assert disagreement(RadialKernel([0.5]), r, dither=True) == pytest.approx(table, abs=tolerance)


@pytest.mark.parametrize("dither", [True, False])
@pytest.mark.parametrize("r", [0.03, 0.3, 0.8, 2.5])
def test_disagreement_matches_simulated_bits_of_a_mixture(rng, dither, r) -> None:
    kernel = RadialKernel([0.2, 0.9, 0.9])
    b = rng.uniform(0, 2 * np.pi, DRAWS)
    t = rng.uniform(-1, 1, DRAWS) if dither else np.zeros(DRAWS)
    z = kernel.sample_frequencies(DRAWS, 1, rng)[:, 0] * r
    share = np.mean((np.cos(b) + t > 0) != (np.cos(b + z) + t > 0))
    assert disagreement(kernel, r, dither) == pytest.approx(share, abs=band(DRAWS))


def test_disagreement_saturates_at_its_limits() -> None:
    kernel = RadialKernel([1.0])
    assert disagreement(kernel, 1e6, dither=True) == pytest.approx(4 / math.pi**2, abs=1e-15)
    assert disagreement(kernel, 1e6, dither=False) == pytest.approx(0.5, abs=1e-15)
    assert disagreement(kernel, 0.0, dither=True) == 0.0
    assert disagreement(kernel, 0.0, dither=False) == 0.0


def test_random_threshold_probability_is_raginskys_series() -> None:
    kernel = RadialKernel([0.3, 1.7])
    r = np.linspace(0.05, 4, 40)
    m = np.arange(1, 20001)
    series = [np.sum((1 - kernel.of_distance(m * x)) / (4.0 * m * m - 1)) for x in r]
    missing = 1.0 / (2 * (2 * len(m) + 1))  # the tail telescopes; its kernel values are 0
    expected = 8 / math.pi**2 * (np.array(series) + missing)
    np.testing.assert_allclose(disagreement(kernel, r, dither=True), expected, atol=1e-12)


def test_expected_distances_are_monotone_and_smooth_across_their_two_formulas() -> None:
    s = np.linspace(0, 5, 4001)
    for mean in (random_threshold_mean, sign_cosine_mean):
        steps = np.diff(mean(s))
        assert (steps > 0).all()
        assert (np.diff(steps) < 1e-9).all()  # concave: no kink where the formula changes


@pytest.mark.parametrize("q", [2, 3, 4, 7, 10, 16])
@pytest.mark.parametrize("squared", [False, True])
def test_dithered_table_mean_matches_simulated_symbols(rng, q, squared) -> None:
    table = lee_table(q, squared)
    for u in (0.08, 0.5, 0.3 * q):
        a = rng.uniform(0, q, DRAWS)  # the dither, and any first projection
        b = a + u * rng.standard_normal(DRAWS)
        difference = (np.floor(b) - np.floor(a)).astype(int) % q
        simulated = table[difference].mean()
        expected = dithered_table_mean(u, table)
        assert expected == pytest.approx(simulated, abs=band(DRAWS, table.max()))


@pytest.mark.parametrize("q", [2, 4, 6, 10, 20, 50])
def test_lee_mean_of_even_q_is_the_published_series(q) -> None:
    u = np.linspace(0.2, q, 30)
    k = np.arange(1, 20000, 2)
    terms = np.exp(-2 * np.pi**2 * np.square(np.outer(u, k)) / q**2) / k**2
    expected = q / 4 - 2 * q / np.pi**2 * terms.sum(axis=1)
    np.testing.assert_allclose(dithered_table_mean(u, lee_table(q)), expected, atol=1e-10)


@pytest.mark.parametrize("q", [2, 3, 5, 8, 64])
def test_lee_mean_starts_linear_and_saturates_at_the_mean_of_the_table(q) -> None:
    table = lee_table(q)
    assert dithered_table_mean(0.01, table) == pytest.approx(0.01 * math.sqrt(2 / math.pi))
    assert dithered_table_mean(50.0 * q, table) == pytest.approx(table.mean())
