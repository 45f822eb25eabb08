"""Fitted hashers as files, and kernels as scikit-learn names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.hashing.adaptive_hasher import AdaptiveHasher
from isohash.hashing.drawn import load_hash
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.hashing.lee_hasher import LeeHasher
from isohash.kernels.radial import RadialKernel

HASHERS = [
    KernelHasher(96, random_state=5, dither=False),
    KernelHasher(96, kernel=RadialKernel([0.1, 2.0])),
    LeeHasher(24, q=6),
    LeeHasher(24, q=6, kernel="rbf", gamma="scale", n_features=32),
    AdaptiveHasher(96),
    AdaptiveHasher(16),
]


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((120, 12)) * np.arange(1, 13)


@pytest.mark.parametrize("hasher", HASHERS, ids=repr)
def test_a_loaded_hasher_makes_the_same_codes(hasher, X: np.ndarray, tmp_path: Path) -> None:
    codes = hasher.fit(X).transform(X)
    hasher.save(tmp_path / "h")
    loaded = type(hasher).load(tmp_path / "h")
    assert np.array_equal(loaded.transform(X).packed, codes.packed)
    assert loaded.hash_.digest == hasher.hash_.digest == load_hash(tmp_path / "h").digest
    with pytest.raises(InputError, match="features"):
        loaded.transform(X[:, :5])
    told = loaded.get_params()
    if not isinstance(hasher, LeeHasher):  # its scale was fitted
        again = type(hasher)(**told).fit(X)
        assert again.hash_.codes(codes.packed).length == codes.length


def test_a_hash_of_another_family_is_refused(X: np.ndarray, tmp_path: Path) -> None:
    KernelHasher(64).fit(X).save(tmp_path / "h")
    with pytest.raises(InputError, match="family cosine"):
        LeeHasher.load(tmp_path / "h")


@pytest.mark.parametrize(
    ("gamma", "value"), [(0.25, 0.25), ("auto", 1 / 12), ("scale", None), (np.float32(0.5), 0.5)]
)
def test_rbf_is_the_gaussian_of_scikit_learn(X: np.ndarray, gamma, value) -> None:
    wanted = 1.0 / (12 * X.astype(np.float32).var()) if value is None else value
    hasher = KernelHasher(64, kernel="rbf", gamma=gamma).fit(X)
    assert hasher.kernel_.particles == pytest.approx([wanted])
    same = KernelHasher(64, kernel=RadialKernel(hasher.kernel_.particles)).fit(X)
    assert np.array_equal(same.transform(X).packed, hasher.transform(X).packed)


def test_rbf_without_gamma_chooses_it(X: np.ndarray) -> None:
    chosen = KernelHasher(64, kernel="rbf").fit(X)
    assert chosen.hash_.digest == KernelHasher(64).fit(X).hash_.digest


@pytest.mark.parametrize(
    "wrong",
    [{"kernel": "poly"}, {"kernel": 3}, {"gamma": 1.0}, {"kernel": "rbf", "gamma": -1},
     {"kernel": "rbf", "gamma": "much"}, {"kernel": RadialKernel([1.0]), "gamma": 1.0}],
)  # fmt: skip
def test_other_kernels_are_refused(X: np.ndarray, wrong: dict) -> None:
    with pytest.raises(InputError, match=r"kernel|gamma"):
        KernelHasher(64, **wrong).fit(X)
