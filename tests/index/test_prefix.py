"""The prefix filter: its bound, that it misses nothing in practice, and that it falls back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom
from tests.index.problems import assert_same_hits, random_codes, tied_codes

from isohash.errors import InputError
from isohash.index.flat import FlatIndex
from isohash.index.prefix import MISS_PROBABILITY, PrefixIndex, largest_prefix_distances
from isohash.index.reference import search_reference
from isohash.records import Codes


@pytest.mark.parametrize(("n", "m"), [(64, 16), (300, 299), (512, 512), (1024, 1), (2048, 256)])
def test_the_bound_is_the_hypergeometric_quantile(n: int, m: int) -> None:
    tau = largest_prefix_distances(n, m)
    d = np.arange(n + 1)
    assert (hypergeom.sf(tau, n, d, m) <= MISS_PROBABILITY * (1 + 1e-6)).all()
    assert (hypergeom.sf(tau - 1, n, d, m)[tau > 0] > MISS_PROBABILITY * (1 - 1e-6)).all()
    assert (np.diff(tau) >= 0).all()


def clustered_codes(rng: np.random.Generator, n: int, length: int) -> Codes:
    """Clusters of about 50 codes: copies of a centre with a tenth of the bits flipped."""
    centres = rng.integers(0, 2, (n // 50, length))
    flips = rng.random((n, length)) < 0.1
    return Codes.from_symbols(centres[rng.integers(0, len(centres), n)] ^ flips, 2)


@pytest.mark.parametrize("threads", [1, 2])
def test_clustered_neighbours_are_all_found(rng: np.random.Generator, threads: int) -> None:
    # 400 neighbours: the probability of a single miss is below 400 x 1e-9.
    database = clustered_codes(rng, 8000, 1024)
    queries = database[rng.integers(0, 8000, 40)]
    index = PrefixIndex(database, prefix_bits=256, threads=threads)
    hits, verified = index.search_counted(queries, 10)
    assert_same_hits(hits, FlatIndex.of(database).search(queries, 10))
    assert verified.max() < 8000 / 4


def test_codes_whose_first_bits_say_nothing_are_found_too(rng: np.random.Generator) -> None:
    # All difference lies in the last quarter: a fixed prefix would see none of it.
    symbols = clustered_codes(rng, 3000, 1024).symbols()
    symbols[:, :768] = 0
    database = Codes.from_symbols(symbols, 2)
    queries = database[:20]
    index = PrefixIndex(database, prefix_bits=512, rng=np.random.default_rng(3))
    assert_same_hits(index.search(queries, 5), FlatIndex.of(database).search(queries, 5))


def test_codes_without_structure_fall_back_to_the_exact_scan(rng: np.random.Generator) -> None:
    database, queries = random_codes(rng, 1500, 512), random_codes(rng, 5, 512)
    hits, verified = PrefixIndex(database, prefix_bits=128).search_counted(queries, 20)
    assert_same_hits(hits, search_reference(queries, database, 20))
    assert (verified == 1500).all()


@pytest.mark.parametrize("k", [0, 1, 7, 299, 300, 400])
def test_every_k_and_massive_ties(rng: np.random.Generator, k: int) -> None:
    database = tied_codes(rng, 300, 200, 2, "hamming")
    queries = database[:6]
    index = PrefixIndex.of(database, prefix_bits=200)
    assert_same_hits(index.search(queries, k), search_reference(queries, database, k))


def test_other_codes_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="1 to 64 of the bits"):
        PrefixIndex(random_codes(rng, 3, 64), prefix_bits=65)
    with pytest.raises(InputError, match="q = 4"):
        PrefixIndex(random_codes(rng, 3, 16, q=4), prefix_bits=4)
    with pytest.raises(InputError, match="index holds hamming codes of 32"):
        PrefixIndex(random_codes(rng, 3, 32), 8).search(random_codes(rng, 1, 64), 1)


@pytest.mark.parametrize("length", [1, 3, 64, 576, 5000])
def test_the_default_fits_codes_of_any_length(rng: np.random.Generator, length: int) -> None:
    codes = Codes.from_symbols(rng.integers(0, 2, (40, length)), 2)
    expected = FlatIndex.of(codes).search(codes, 3)
    found = PrefixIndex.of(codes).search(codes, 3)
    np.testing.assert_array_equal(found.ids, expected.ids)
