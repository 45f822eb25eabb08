"""Codes are the same bits whether compiled kernels or NumPy wrap the projections."""

from __future__ import annotations

import numpy as np
import pytest

from isohash import native
from isohash.hashing.adaptive_hasher import make_hasher
from isohash.hashing.cosine import CosineHash
from isohash.hashing.fitted.adaptive import AdaptiveHash
from isohash.hashing.lee import LeeHash
from isohash.kernels.radial import RadialKernel

pytestmark = pytest.mark.skipif(not native.available(), reason="no compiled extension")


def rows_near_ties(rng: np.random.Generator, n: int) -> np.ndarray:
    """Rows of very different lengths: far from the origin many values are too close to call."""
    return (rng.standard_normal((n, 20)) * np.geomspace(1, 1e6, n)[:, None]).astype(np.float32)


def codes_of(
    hash_: AdaptiveHash | CosineHash | LeeHash,
    X: np.ndarray,
    monkeypatch,
    compiled: bool,
) -> np.ndarray:
    with monkeypatch.context() as patch:
        patch.setattr(native, "available", lambda: compiled)
        return hash_.encode(X).packed


@pytest.mark.parametrize("dither", [True, False])
def test_bits_do_not_depend_on_who_packs_them(rng, monkeypatch, dither: bool) -> None:
    hash_ = CosineHash.draw(RadialKernel([0.05]), 20, 203, 3, dither=dither)
    X = rows_near_ties(rng, 150)
    compiled, plain = (codes_of(hash_, X, monkeypatch, way) for way in (True, False))
    np.testing.assert_array_equal(compiled, plain)


@pytest.mark.parametrize("q", [3, 16, 256, 1000])
def test_symbols_do_not_depend_on_who_wraps_them(rng, monkeypatch, q: int) -> None:
    hash_ = LeeHash.draw(20, 101, q, 2.0, 3)
    X = rows_near_ties(rng, 150)
    compiled, plain = (codes_of(hash_, X, monkeypatch, way) for way in (True, False))
    np.testing.assert_array_equal(compiled, plain)


@pytest.mark.parametrize("bits", [40, 300])
def test_levels_do_not_depend_on_who_finds_them(rng, monkeypatch, bits: int) -> None:
    X = (rng.standard_normal((400, 30)) * np.geomspace(1, 0.1, 30)).astype(np.float32)
    hash_ = make_hasher(bits).fit(X).hash_
    far = np.concatenate([X, rows_near_ties(rng, 90)[:, rng.integers(0, 20, 30)]])
    compiled, plain = (codes_of(hash_, far, monkeypatch, way) for way in (True, False))
    np.testing.assert_array_equal(compiled, plain)
