"""Codes of blocks of axes: exact everywhere, searchable as they are, better at few bits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from isohash import Codes, FlatIndex, make_hasher
from isohash.alphabets import Alphabets
from isohash.errors import InputError
from isohash.hashing import projection
from isohash.hashing.drawn import load_hash
from isohash.hashing.fitted.adaptive_fit import (
    Judge,
    candidates,
    fit_adaptive,
    fit_levels,
    lloyd,
    principal_axes,
    quantise,
)
from isohash.hashing.fitted.block import BlockHash
from isohash.hashing.fitted.block_fit import (
    BlockCandidate,
    assemble_blocks,
    block_candidates,
    finished,
    nearest_rotation,
    shared_out,
)

DIM, BITS = 24, 32


def clustered(rng, n: int) -> np.ndarray:
    turn, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
    centers = rng.standard_normal((30, DIM))[rng.integers(0, 30, n)]
    rows = (centers + 0.6 * rng.standard_normal((n, DIM))) * np.geomspace(3.0, 0.3, DIM)
    return (rows @ turn + 5.0).astype(np.float32)


@pytest.fixture
def rows(rng) -> np.ndarray:
    return clustered(rng, 900)


@pytest.fixture
def hash_(rng, rows) -> BlockHash:
    center = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    axes, _ = principal_axes(rows, center)
    (candidate, *_) = block_candidates(rows.astype(float) - center, axes, BITS, "codes", rng)
    return assemble_blocks(candidate, center, {})


def points_of(hash_: BlockHash) -> list[np.ndarray]:
    """All points of each block, on its axes."""
    spans = hash_.alphabets.spans
    tables, start = [], 0
    lows = np.split(hash_.origin, np.cumsum(spans)[:-1])
    for width, span, low in zip(hash_.alphabets.widths, spans, lows, strict=True):
        size = (1 << int(width)) * int(span)
        values = hash_.alphabets.values[start : start + size].reshape(-1, span)
        tables.append(low + hash_.unit * values)
        start += size
    return tables


def test_every_row_gets_the_nearest_point_of_every_block(rows, hash_) -> None:
    y = hash_.reconstruct(hash_.encode(rows)) + hash_.origin
    u = hash_.project(rows) + hash_.origin
    ends = np.cumsum(hash_.alphabets.spans)
    for points, a, b in zip(points_of(hash_), ends - hash_.alphabets.spans, ends, strict=True):
        apart = np.linalg.norm(u[:, None, a:b] - points[None], axis=2)
        chosen = np.linalg.norm(u[:, a:b] - y[:, a:b], axis=1)
        np.testing.assert_allclose(chosen, apart.min(axis=1), rtol=1e-4, atol=1e-4)


def test_the_code_takes_the_bits_of_its_blocks(rows, hash_) -> None:
    codes = hash_.encode(rows)
    assert codes.stored_bits <= BITS
    assert codes.length == hash_.alphabets.spans.sum() > len(hash_.alphabets.widths)


def test_codes_are_those_of_rational_arithmetic(rows, hash_) -> None:
    x = rows - hash_.center
    indices = hash_.alphabets.unpack(hash_.encode(rows).packed)
    ends = np.cumsum(1 << hash_.alphabets.widths.astype(int))
    starts = ends - (1 << hash_.alphabets.widths.astype(int))
    for i in range(0, 60, 7):
        exact = [
            float(
                sum(Fraction(a) * Fraction(b) for a, b in zip(x[i].tolist(), w, strict=True))
                + Fraction(float(offset))
            )
            for w, offset in zip(hash_.weights.T.tolist(), hash_.offsets, strict=True)
        ]
        for g, (a, b) in enumerate(zip(starts, ends, strict=True)):
            assert indices[i, g] == int(np.argmax(exact[a:b]))


def test_codes_do_not_depend_on_batch_or_order_of_summation(rows, hash_, monkeypatch) -> None:
    plain = projection.product
    for data in (rows, (1e5 * rows).astype(np.float32)):
        expected = hash_.encode(data).packed
        single = np.vstack([hash_.encode(data[i : i + 1]).packed for i in range(30)])
        np.testing.assert_array_equal(single, expected[:30])
        for sign in (-1.0, 1.0):

            def worst(x, w, sign=sign):
                m = len(w) * projection.UNIT32
                size = np.abs(x).astype(float) @ np.abs(w).astype(float)
                exact = x.astype(float) @ w.astype(float)
                alternate = sign * (-1.0) ** np.arange(w.shape[1])
                return np.asarray(exact + alternate * m / (1 - m) * size, np.float32)

            with monkeypatch.context() as context:
                context.setattr(projection, "product", worst)
                off = hash_.encode(data).packed
            np.testing.assert_array_equal(off, expected)
    assert projection.product is plain


def test_scores_on_the_axes_are_within_their_bound(rows, hash_) -> None:
    """Against rational arithmetic on the stored weights, which define the scores."""
    from fractions import Fraction

    (block,) = hash_._blocks(rows[:4])
    turned = block.x.astype(np.float64) @ hash_.axes.astype(np.float64)
    tightest = np.inf
    for group in hash_.groups:
        scores = turned[:, group.axes] @ group.points.T + group.offsets
        bounds = group.error(block.norms, len(hash_.weights))
        for i, x in enumerate(block.x):
            for j in range(0, len(group.points), 5):
                column = hash_.weights[:, group.columns.start + j]
                terms = (
                    Fraction(float(a)) * Fraction(float(w)) for a, w in zip(x, column, strict=True)
                )
                exact = sum(terms, Fraction(float(hash_.offsets[group.columns.start + j])))
                apart = abs(float(exact - Fraction(float(scores[i, j]))))
                assert apart <= bounds[i]
                tightest = min(tightest, bounds[i] / max(apart, 1e-300))
    assert tightest < 1e3  # and the bound is no more than that too wide


def test_equally_near_points_go_to_the_first() -> None:
    axes, widths, spans = np.eye(2, dtype=np.float32), np.array([2], np.uint8), np.array([2])
    values = np.array([[0, 0], [2, 0], [0, 2], [2, 2]], np.uint16)
    weights = values.T.astype(np.float32)
    offsets = -np.sum(values.astype(np.float32) ** 2, axis=1) / 2
    alphabets = Alphabets(widths, values.ravel(), spans.astype(np.uint8))
    zero = np.zeros(2, np.float32)
    hash_ = BlockHash(axes, zero, weights, offsets, zero, alphabets, 1.0)
    asked = np.array([[1, 1], [1, 0], [2, 1], [1, 2], [0, 1]], np.float32)
    np.testing.assert_array_equal(
        hash_.encode(asked).symbols(), [[0, 0], [0, 0], [2, 0], [0, 2], [0, 0]]
    )


def test_code_distances_are_those_of_the_points_and_are_searched_exactly(rows, hash_) -> None:
    codes = hash_.encode(rows)
    y = hash_.reconstruct(codes)
    squared = ((y[:20, None] - y[None]) ** 2).sum(axis=2) / hash_.unit**2
    hits = FlatIndex.of(codes).search(codes[:20], 15)
    nearest = np.argsort(np.rint(squared), axis=1, kind="stable")[:, :15]
    np.testing.assert_array_equal(hits.ids, nearest)
    np.testing.assert_allclose(
        hits.distances, np.take_along_axis(squared, nearest, axis=1), rtol=1e-9, atol=1e-6
    )


def test_saving_keeps_hash_and_codes(rows, hash_, tmp_path) -> None:
    hash_.save(tmp_path / "hash")
    loaded = load_hash(tmp_path / "hash")
    assert loaded.to_bytes() == hash_.to_bytes()
    codes = loaded.encode(rows)
    np.testing.assert_array_equal(codes.packed, hash_.encode(rows).packed)
    codes.save(tmp_path / "codes")
    np.testing.assert_array_equal(Codes.load(tmp_path / "codes").symbols(), codes.symbols())


def test_points_err_less_than_levels_of_single_axes(rng) -> None:
    """A square lattice is not the best quantiser of the plane: 7 bits for 2 Gaussian axes."""
    rows = rng.standard_normal((6000, 4))
    (draft, *_) = block_candidates(rows[:4000], np.eye(4), 14, "codes", rng)
    candidate = finished(draft, rows[:4000])
    assert candidate.spans.tolist() == [2, 2]
    u = rows[4000:]
    blocks = np.mean((u @ candidate.axes - candidate.nearest(u @ candidate.axes)) ** 2)
    levels = fit_levels(rows[:4000], np.array([4, 4, 3, 3]))
    assert blocks < 0.95 * np.mean((u - quantise(u, levels)) ** 2)


def test_the_kind_that_ranks_best_on_held_out_rows_is_taken(rng) -> None:
    rows = clustered(rng, 1200)
    fitted = fit_adaptive(rows, BITS, 0)
    center = rows.mean(axis=0)
    axes, deviations = principal_axes(rows, center)
    generator = np.random.default_rng(0)
    sample = rows[generator.permutation(len(rows))].astype(float) - center
    judge = Judge.of(sample, "codes")
    levels = candidates(axes, deviations, BITS, generator)
    drafts = block_candidates(judge.rows, axes, BITS, "codes", generator)
    tried = [*levels, finished(max(drafts, key=judge.score), judge.rows)]
    best = max(tried, key=judge.score)
    assert fitted.metadata["trial_dice"] == pytest.approx(judge.score(best))
    assert isinstance(fitted, BlockHash) == isinstance(best, BlockCandidate)


def test_codes_for_vectors_rank_vectors_at_least_as_well(rng) -> None:
    rows = clustered(rng, 1600)
    stored, queries = rows[:1500], rows[1500:]
    apart = np.linalg.norm(queries[:, None] - stored[None], axis=2)
    true = np.argsort(apart, axis=1)[:, :20]

    def recall(against) -> float:
        hasher = make_hasher(BITS, against=against).fit(stored)
        found = np.argsort(hasher.asymmetric(queries, hasher.transform(stored)), axis=1)[:, :20]
        return float(np.mean([np.isin(a, b).mean() for a, b in zip(true, found, strict=True)]))

    assert recall("vectors") >= recall("codes") - 0.01


@pytest.mark.parametrize("span", [1, 2, 3, 5])
def test_the_compiled_kernel_finds_the_nearest_points_of_numpy(rng, monkeypatch, span) -> None:
    """To the same place, equal points included, whatever the threads."""
    points = [rng.standard_normal((32, s)).round(1) for s in (span, 2, span)]
    points[1][17] = points[1][3]
    u = rng.standard_normal((203, 2 * span + 2)).round(1)
    candidate = BlockCandidate(np.eye(u.shape[1]), points)
    compiled = candidate.assigned(u)
    parts = zip(points, np.split(u, [span, span + 2], axis=1), strict=True)
    squares = [((x[:, None] - p) ** 2).sum(axis=2) for p, x in parts]
    least = np.stack([s.min(axis=1) for s in squares], axis=1)
    found = np.stack([s[np.arange(203), compiled[:, g]] for g, s in enumerate(squares)], axis=1)
    assert found == pytest.approx(least, abs=1e-5)
    assert not (compiled[:, 1] == 17).any()
    monkeypatch.setattr("isohash.native.available", lambda: False)
    assert (candidate.assigned(u) == compiled).all()


def test_codes_do_not_depend_on_who_scores_them(rng, rows, hash_, monkeypatch) -> None:
    """Rows of all sizes, some midway between points and some beyond float32's products."""
    places = hash_.reconstruct(hash_.encode(rows[:200])) + hash_.origin
    midway = hash_.center + (places[::2] + places[1::2]) / 2.0 @ hash_.axes.T
    far = rows[:60] * np.geomspace(1.0, 1e36, 60, dtype=np.float32)[:, None]
    every = np.concatenate([rows, midway, far]).astype(np.float32)
    compiled = hash_.encode(every).packed
    monkeypatch.setattr("isohash.native.available", lambda: False)
    assert (hash_.encode(every).packed == compiled).all()


def test_levels_are_those_of_numpy(rng, monkeypatch) -> None:
    x = np.concatenate([rng.standard_normal((3, 500)), rng.integers(0, 3, (2, 500))])
    compiled = lloyd(x, 16)
    monkeypatch.setattr("isohash.native.available", lambda: False)
    assert (lloyd(x, 16) == compiled).all()


@pytest.mark.parametrize("narrowest", [1e-2, 1e-5, 0.0])
def test_the_nearest_rotation_is_the_polar_factor(rng, narrowest) -> None:
    left, _ = np.linalg.qr(rng.standard_normal((20, 6)))
    right, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    sizes = np.array([1.0, 0.7, 0.5, 0.1, 0.05, narrowest])
    found = nearest_rotation((left * sizes) @ right.T)
    assert found.T @ found == pytest.approx(np.eye(6), abs=1e-9)
    if narrowest:
        assert found == pytest.approx(left @ right.T, abs=1e-4)


def test_axes_are_shared_out_with_equal_room_and_like_products() -> None:
    variances = np.geomspace(16.0, 0.25, 12)
    blocks = shared_out(variances, 4)
    assert sorted(axis for block in blocks for axis in block) == list(range(12))
    assert {len(block) for block in blocks} == {3}
    products = [np.log(variances[block]).sum() for block in blocks]
    assert np.ptp(products) < np.ptp(np.log(variances)) / 3


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: Alphabets(np.array([1], np.uint8), np.zeros(2, np.uint16), np.array([0])), "span"),
        (lambda: Alphabets(np.array([1], np.uint8), np.zeros(3, np.uint16), np.array([2])), "hold"),
        (lambda: make_hasher(8, against="pictures").fit(np.eye(4)), "against must be"),
    ],
)
def test_bad_input_is_refused_by_name(build, word) -> None:
    with pytest.raises(InputError, match=word):
        build()


def test_queries_in_whole_units_have_nearly_the_asymmetric_distance(rng, rows, hash_) -> None:
    queries = hash_.center + 0.3 * (clustered(rng, 40) - hash_.center)  # within all symbols
    codes, asked = hash_.encode(rows), hash_.encode_queries(queries)
    squared = ((asked.symbols()[:, None] - codes.symbols()[None]) ** 2).sum(axis=2)
    apart = np.abs(hash_.unit * np.sqrt(squared) - hash_.asymmetric(queries, codes))
    # rounding moves each coordinate by half a unit at most
    assert apart.max() <= 0.5 * hash_.unit * np.sqrt(codes.length) + 1e-6
