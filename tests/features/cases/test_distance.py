from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from isohash import native
from isohash.features.cases import distance
from isohash.features.cases.distance import distance_in_slice, distance_to, signed_distance

MM = (3.0, 1.25, 0.7)


@pytest.fixture(params=["compiled", "SciPy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "SciPy":
        monkeypatch.setattr(distance.native, "available", lambda: False)
    elif not native.available():
        pytest.skip("built without a compiler")
    return str(request.param)


@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 9)] * 3), st.floats(0.01, 0.9))
@settings(max_examples=60, deadline=None)
def test_every_distance_is_the_least_of_all(
    seed: int, shape: tuple[int, ...], share: float
) -> None:
    mask = np.random.default_rng(seed).random(shape) < share
    places = np.argwhere(np.ones(shape, bool)) * MM
    inside = np.argwhere(mask) * MM
    if not len(inside):
        assert np.isinf(distance_to(mask, MM)).all()
        return
    least = np.sqrt(((places[:, None] - inside[None]) ** 2).sum(axis=2)).min(axis=1)
    np.testing.assert_allclose(distance_to(mask, MM).ravel(), least, rtol=1e-12)


def test_both_ways_give_the_same_distances(way: str, rng: np.random.Generator) -> None:
    mask = rng.random((12, 30, 25)) < 0.01
    expected = ndimage.distance_transform_edt(~mask, sampling=MM)
    np.testing.assert_allclose(distance_to(mask, MM), expected, rtol=1e-12)
    for slices, one in zip(distance_in_slice(mask, MM), mask, strict=True):
        within = ndimage.distance_transform_edt(~one, sampling=MM[1:]) if one.any() else np.inf
        np.testing.assert_allclose(slices, np.broadcast_to(within, one.shape), rtol=1e-12)


def test_a_surface_lies_half_a_voxel_from_the_cells_on_either_side(way: str) -> None:
    mask = np.zeros((5, 7, 9), bool)
    mask[1:4, 2:5, 3:7] = True
    signed = signed_distance(mask, (2.0, 1.0, 1.0))
    assert signed[2, 3, 2] == 0.5
    assert signed[2, 3, 3] == -0.5
    assert signed[2, 3, 4] == -1.5
    assert (signed[mask] < 0).all()
    assert (signed[~mask] > 0).all()
    assert np.isinf(signed_distance(np.zeros_like(mask), MM)).all()
    assert (signed_distance(np.ones_like(mask), MM) == -np.inf).all()
