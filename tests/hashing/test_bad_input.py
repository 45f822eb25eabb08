"""Every family refuses what it cannot hash by name, and hashes what is merely odd."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from isohash import InputError, KernelHasher, LeeHasher, RadialKernel, make_hasher
from isohash.hashing.drawn import load_hash

FAMILIES = [
    KernelHasher(64),
    KernelHasher(64, dither=False),
    KernelHasher(64, RadialKernel([0.1, 2.0]), dither="stratified", orthogonal=False),
    LeeHasher(32, 10),
    LeeHasher(32, 16, metric="squared_lee"),
    LeeHasher(32, 10, RadialKernel([0.1, 2.0]), n_features=50),
    make_hasher(64),
]
NAMES = ["random t", "t = 0", "mixture", "Lee", "squared Lee", "features", "adaptive"]
every_family = pytest.mark.parametrize("hasher", FAMILIES, ids=NAMES)


@every_family
@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([[1.0, np.nan], [2.0, 1.0], [0.0, 1.0]], "NaN"),
        ([[1.0, np.inf], [2.0, 1.0], [0.0, 1.0]], "infinity"),
        ([[1.0, 1e300], [2.0, 1.0], [0.0, 1.0]], "infinity|large"),
        ([1.0, 2.0, 3.0], "Reshape"),
        (np.empty((0, 4)), "0 sample"),
        (np.empty((4, 0)), "0 feature"),
        ([["a", "b"], ["c", "d"]], "convert|numeric"),
        (np.ones((3, 2), complex), "Complex"),
    ],
)
def test_rows_that_are_no_vectors_are_refused(hasher, rows, word) -> None:
    with pytest.raises(InputError, match=word):
        hasher.fit(rows)


@pytest.mark.parametrize("hasher", [FAMILIES[i] for i in (0, 1, 3, 6)])
@pytest.mark.parametrize(
    ("rows", "word"), [([[1.0, 2.0]], "n_samples = 1"), ([[1.0, 2.0]] * 5, "all rows are equal")]
)
def test_rows_that_set_no_scale_are_refused(hasher, rows, word) -> None:
    with pytest.raises(InputError, match=word):
        hasher.fit(rows)


@every_family
def test_transform_before_fit_is_refused(hasher) -> None:
    with pytest.raises(NotFittedError):
        clone(hasher).transform([[1.0]])


@every_family
def test_rows_of_another_length_are_refused(hasher, rng) -> None:
    hasher.fit(rng.standard_normal((50, 3)))
    with pytest.raises(InputError, match="features"):
        hasher.transform(rng.standard_normal((5, 4)))


@every_family
def test_one_dimension_and_constant_columns_are_hashed(hasher, rng) -> None:
    line = rng.standard_normal((80, 1))
    beside = np.column_stack([np.full(80, 3.0), line, np.zeros(80)])
    for rows in (line, beside):
        symbols = hasher.fit(rows).transform(rows).symbols()
        assert len(np.unique(symbols, axis=0)) > 10


@every_family
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint8, object])
def test_numbers_of_any_type_are_hashed_as_their_float32(hasher, rng, dtype) -> None:
    rows = rng.integers(0, 100, (60, 5))
    expected = hasher.fit(rows.astype(np.float32)).transform(rows.astype(np.float32)).packed
    np.testing.assert_array_equal(hasher.transform(rows.astype(dtype)).packed, expected)
    np.testing.assert_array_equal(hasher.fit(rows.astype(dtype)).transform(rows).packed, expected)


@pytest.mark.parametrize(
    ("hasher", "word"),
    [
        (KernelHasher(0), "n_bits"),
        (KernelHasher(2**40), "n_bits = 1099511627776 needs"),
        (LeeHasher(2**40, 10), "n_symbols = 1099511627776 needs"),
        (LeeHasher(8, 1), "q must"),
        (LeeHasher(8, 10, scale=0.0), "scale"),
        (KernelHasher(8, kernel="poly"), "RadialKernel"),
        (KernelHasher(8, dither="odd"), "dither"),
        (make_hasher(0), "stored_bits"),
    ],
)
def test_impossible_settings_are_refused(hasher, word, rng) -> None:
    with pytest.raises(InputError, match=word):
        hasher.fit(rng.standard_normal((50, 3)))


def test_a_kernel_that_sees_no_difference_is_refused(rng) -> None:
    rows = 1e-25 * rng.standard_normal((300, 16))
    with pytest.raises(InputError, match="choose its particles near"):
        LeeHasher(32, 10, RadialKernel([0.1, 2.0]), n_features=50).fit(rows)


def test_more_adaptive_bits_than_the_data_can_use_are_not_spent(rng) -> None:
    rows = rng.standard_normal((100, 3))
    assert make_hasher(10**12).fit(rows).transform(rows).stored_bits <= 40


@every_family
def test_a_hash_and_its_codes_are_known_by_a_digest(hasher, rng, tmp_path) -> None:
    rows = rng.standard_normal((80, 5)).astype(np.float32)
    hash_ = hasher.fit(rows).hash_
    hash_.save(tmp_path / "hash")
    assert load_hash(tmp_path / "hash").digest == hash_.digest
    assert hash_.encode(rows).hash_digest == hash_.digest
    assert hash_.codes(hash_.encode(rows).packed).hash_digest == hash_.digest
    assert clone(hasher).fit(2 * rows).hash_.digest != hash_.digest


@pytest.mark.parametrize("hasher", [FAMILIES[i] for i in (0, 1, 3, 4)])
@pytest.mark.parametrize("factor", [1e-42, 1e-35, 1e36])
def test_rows_out_of_the_range_of_float32_frequencies_are_refused(hasher, factor, rng) -> None:
    rows = (rng.standard_normal((300, 16)) * factor).astype(np.float32)
    with pytest.raises(InputError, match="multiply them by a factor"):
        hasher.fit(rows)
