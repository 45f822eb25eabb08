"""Expected distances of codes in closed form: what a code distance means before any data.

Both families reduce to a periodic function of a Gaussian difference z ~ N(0, s^2):

* random threshold t (Raginsky and Lazebnik 2009): P[bits differ] = (2/pi) E|sin(z/2)|, at most
  4/pi^2;
* a dithered uniform quantiser with step 1 and symbols mod q, compared by a table g of the symbol
  difference: E = the linear interpolation of g at z, averaged. Lee distance is one such table and
  the sign of a cosine (t = 0) is q = 2 with a step of half a turn.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.kernels.radial import RadialKernel

RANDOM_THRESHOLD_LIMIT = 4.0 / math.pi**2
SIGN_COSINE_LIMIT = 0.5
TERMS = 1 << 20  # of a series computed at once
GAUSSIAN_REACH = 9.0  # a Gaussian's mass (or transform) beyond 9 deviations is below 1e-17


def disagreement(kernel: RadialKernel, r: ArrayLike, dither: bool) -> NDArray[np.float64]:
    """Probability that one bit of a cosine hash differs at Euclidean distance r, any shape.

    A mixture's probability is the mean over its particles, each with z ~ N(0, 2 xi r^2).
    """
    distance = np.asarray(r, dtype=np.float64)
    one = random_threshold_mean if dither else sign_cosine_mean
    xi, counts = np.unique(kernel.particles, return_counts=True)
    total = np.zeros_like(distance)
    for x, count in zip(xi, counts, strict=True):
        total += count * one(math.sqrt(2.0 * x) * distance)
    return total / len(kernel.particles)


def random_threshold_mean(s: ArrayLike) -> NDArray[np.float64]:
    """(2/pi) E|sin(z/2)|, z ~ N(0, s^2): the Fourier series, or Taylor's below s = 1/2."""
    scale = np.asarray(s, dtype=np.float64)
    m = np.arange(1, math.ceil(GAUSSIAN_REACH / 0.5) + 1)
    decay = np.exp(-0.5 * np.square(np.maximum(scale, 0.5)[..., None] * m))
    series = RANDOM_THRESHOLD_LIMIT * (1.0 - 2.0 * decay @ (1.0 / (4.0 * m * m - 1.0)))
    return np.where(scale < 0.5, _random_threshold_taylor(np.minimum(scale, 0.5)), series)


def _random_threshold_taylor(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2/pi) E sin(|z|/2) by E|z|^(2j+1) = 2^j j! s^(2j+1) sqrt(2/pi)."""
    total = np.zeros_like(s)
    for j in range(12):
        moment = 2.0**j * math.factorial(j) * math.sqrt(2.0 / math.pi)
        total += (-1) ** j * moment / math.factorial(2 * j + 1) * (s / 2.0) ** (2 * j + 1)
    return total * 2.0 / math.pi


def sign_cosine_mean(s: ArrayLike) -> NDArray[np.float64]:
    """P[sign cos(a) != sign cos(a + z)] for a uniform and z ~ N(0, s^2)."""
    return dithered_table_mean(np.asarray(s) / math.pi, np.array([0.0, 1.0]))


def lee_table(q: int, squared: bool = False) -> NDArray[np.float64]:
    """Lee distance (or its square) of the symbol difference 0..q-1."""
    difference = np.arange(q)
    lee = np.minimum(difference, q - difference).astype(np.float64)
    return lee * lee if squared else lee


def dithered_table_mean(u: ArrayLike, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """E of table[(difference of two symbols) mod q] when the projections differ by N(0, u^2).

    u is in quantiser steps, any shape; `table` (q,) is even, with table[0] = 0. Under a shared
    dither the symbol difference is one of the two integers around z, so that the mean over the
    dither interpolates the table linearly; its Fourier coefficients follow from second
    differences. Below u = 1/9 the difference never leaves (-1, 1).
    """
    deviation = np.asarray(u, dtype=np.float64)
    q, smallest = len(table), 1.0 / GAUSSIAN_REACH
    k = np.arange(1, math.ceil(GAUSSIAN_REACH * q / (2.0 * math.pi * smallest)) + 1)
    omega = 2.0 * math.pi * k / q
    spectrum = np.fft.fft(table).real[k % q]
    coefficients = 4.0 * (1.0 - np.cos(omega)) * spectrum / (q * omega**2)
    flat = np.maximum(deviation, smallest).ravel()
    far = np.empty_like(flat)
    step = max(1, TERMS // len(k))
    for start in range(0, len(flat), step):
        decay = np.exp(-0.5 * np.square(flat[start : start + step, None] * omega))
        far[start : start + step] = table.mean() + decay @ coefficients
    near = table[1] * math.sqrt(2.0 / math.pi) * deviation
    return np.where(deviation < smallest, near, far.reshape(deviation.shape))
