"""Problems that the tests of the kernels share."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from isohash.kernels.target_alignment import Pairs


def random_pairs(rng: np.random.Generator, n: int) -> Pairs:
    """Squared distances of order 1, shorter for pairs that agree."""
    agreements = rng.choice([-1.0, 1.0], n)
    return Pairs(rng.gamma(4.0, 0.25, n) * np.where(agreements > 0, 0.5, 1.5), agreements)


@pytest.fixture
def pairs(rng: np.random.Generator) -> Pairs:
    return random_pairs(rng, 200)


@pytest.fixture
def two_classes(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """600 points in 5 dimensions, two overlapping classes."""
    labels = rng.integers(0, 2, 600)
    return rng.standard_normal((600, 5)) + 2.0 * labels[:, None] * np.eye(5)[0], labels
