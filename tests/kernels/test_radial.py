"""Radial kernels against their definition and the law of their random features."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from isohash.errors import InputError
from isohash.kernels.radial import RadialKernel


def test_the_kernel_matrix_is_the_mean_of_gaussians(rng):
    x, y, xi = rng.standard_normal((7, 3)), rng.standard_normal((4, 3)), rng.uniform(0, 2, 5)
    expected = np.mean([np.exp(-k * cdist(x, y) ** 2) for k in xi], axis=0)
    np.testing.assert_allclose(RadialKernel(xi)(x, y), expected, atol=1e-12)


def test_random_features_estimate_the_kernel(rng):
    n, kernel = 40_000, RadialKernel([0.2, 1.5])
    step = np.array([0.3, -0.4, 0.5])
    estimate = np.cos(kernel.sample_frequencies(n, 3, rng) @ step).mean()
    # Cosines lie in [-1, 1]: Hoeffding's band at 1e-9.
    band = np.sqrt(2.0 * np.log(2 / 1e-9) / n)
    assert abs(estimate - kernel.of_distance(np.linalg.norm(step))) <= band


@pytest.mark.parametrize("particles", [[], [-1.0], [np.nan], [np.inf], [[1.0, 2.0]]])
def test_particles_that_make_no_kernel_are_refused(particles):
    with pytest.raises(InputError, match="particles must be"):
        RadialKernel(particles)


def test_a_saved_kernel_comes_back_bit_for_bit(rng, tmp_path):
    kernel = RadialKernel(rng.gamma(0.3, size=50))
    kernel.save(tmp_path / "kernel.json")
    back = RadialKernel.load(tmp_path / "kernel.json")
    assert back.particles.tobytes() == kernel.particles.tobytes()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "isohash radial kernel 1"}', '{"format": 9}', "\xff"]
)
def test_a_file_that_holds_no_kernel_is_named(text, tmp_path):
    (tmp_path / "kernel.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"kernel\.json"):
        RadialKernel.load(tmp_path / "kernel.json")
