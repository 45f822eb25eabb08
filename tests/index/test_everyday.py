"""A flat index as users of other indexes expect it: arrays in, D and I out, files, ids, removal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohash.errors import InputError
from isohash.hashing.adaptive_hasher import make_hasher
from isohash.index.flat import FlatIndex, distances
from isohash.records import Codes

KINDS = [(64, 2, None), (100, 2, None), (24, 10, "lee"), (24, 12, "lee"), (9, 200, "squared_lee"),
         (7, 300, "lee"), (24, 7, "lee"), (24, 17, "lee")]  # fmt: skip


def some_codes(n: int, kind: tuple[int, int, str | None], seed: int = 0) -> Codes:
    length, q, metric = kind
    symbols = np.random.default_rng(seed).integers(0, q, (n, length))
    return Codes.from_symbols(symbols, q, metric)  # type: ignore[arg-type]


def adaptive(n: int) -> Codes:
    rows = np.random.default_rng(3).standard_normal((max(n, 60), 8)) * np.arange(1, 9)
    return make_hasher(40).fit(rows).transform(rows[:n])


@pytest.fixture(params=[*KINDS, "adaptive"], ids=str)
def codes(request) -> Codes:
    return adaptive(50) if request.param == "adaptive" else some_codes(50, request.param)


def test_packed_arrays_and_symbols_are_codes_too(codes: Codes) -> None:
    index = FlatIndex.of(codes)
    hits = index.search(codes[:5], 7)
    D, I = index.search(codes.packed[:5], 7)
    assert np.array_equal(I, hits.ids)
    assert np.array_equal(D, hits.distances)
    D, I = index.search(codes.packed[0], 7)
    assert np.array_equal(I[0], hits.ids[0])
    if codes.alphabets is None:
        other = FlatIndex(codes.length, codes.q, codes.metric)
        other.add(codes.symbols())
        assert np.array_equal(other.search(codes.symbols()[:5], 7).ids, hits.ids)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 3), np.uint8), np.zeros((2, 64)), np.zeros((1, 2, 8), np.uint8), "abc"]
)
def test_other_arrays_are_refused_with_what_is_wanted(wrong) -> None:
    with pytest.raises(InputError, match="64 symbols"):
        FlatIndex(64).add(wrong)


@pytest.mark.parametrize("ids", [None, "integers", "strings"])
@pytest.mark.parametrize("way", ["load", "view"])
def test_a_saved_index_answers_as_before(codes: Codes, ids, way: str, tmp_path: Path) -> None:
    names = {None: None, "integers": range(900, 950), "strings": [f"ä{i}" for i in range(50)]}
    index = FlatIndex.of(codes, ids=None if ids is None else list(names[ids]))
    index.save(tmp_path / "index")
    again = getattr(FlatIndex, way)(tmp_path / "index")
    before, after = index.search(codes[:9], 50), again.search(codes[:9], 50)
    assert np.array_equal(after.ids, before.ids)
    assert after.ids.dtype == before.ids.dtype
    assert np.array_equal(after.distances, before.distances)
    assert again.hash_digest == codes.hash_digest
    again.remove(again.ids[3:4])
    assert len(again) == 49


def test_a_mapped_index_reads_from_its_file(tmp_path: Path) -> None:
    index = FlatIndex.of(some_codes(200, (256, 2, None)), ids=[f"n{i}" for i in range(200)])
    index.save(tmp_path / "index")
    mapped = FlatIndex.view(tmp_path / "index")
    rows, base = mapped.codes.packed, mapped.codes.packed
    while getattr(base, "base", None) is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert rows.ctypes.data % 8 == 0


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index"
    FlatIndex.of(some_codes(30, (64, 2, None))).save(path)
    whole = path.read_bytes()
    for at in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(InputError):
            FlatIndex.load(path)
    path.write_bytes(whole[:-1])
    for way in (FlatIndex.load, FlatIndex.view):
        with pytest.raises(InputError):
            way(path)
    with pytest.raises(InputError, match="cannot read"):
        FlatIndex.load(tmp_path / "nothing")


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 6)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 30), max_size=4)),
    ),
    max_size=8,
)


@given(steps, st.booleans(), st.sampled_from([(64, 2, None), (12, 10, "lee"), (5, 300, "lee")]))
def test_adding_and_removing_leaves_what_a_list_would_hold(steps, named, kind) -> None:
    index, held, n = FlatIndex(*kind), {}, 0
    for step, what in steps:
        if step == "add":
            codes = some_codes(what, kind, seed=n)
            names = [f"c{n + i}" for i in range(what)] if named else list(range(n, n + what))
            index.add(codes, ids=names)
            held |= dict(zip(names, codes.symbols(), strict=True))
            n += what
        else:
            gone = list({name for i, name in enumerate(held) if i in what})
            index.remove(gone) if gone else None
            held = {name: row for name, row in held.items() if name not in gone}
    assert index.ids.tolist() == list(held)
    if held:
        query = some_codes(1, kind, seed=99)
        kept = Codes.from_symbols(np.array(list(held.values())), kind[1], kind[2])
        apart = distances(query, kept)[0]
        D, I = index.search(query, len(held))
        order = np.lexsort((np.arange(len(held)), apart))
        assert I[0].tolist() == [list(held)[i] for i in order]
        assert D[0].tolist() == apart[order].tolist()
        name = list(held)[-1]
        assert np.array_equal(index.reconstruct([name]).symbols()[0], held[name])


def test_ids_that_are_not_there_or_of_two_kinds_are_refused() -> None:
    codes = some_codes(3, (64, 2, None))
    index = FlatIndex.of(codes, ids=["a", "b", "c"])
    for call in (index.remove, index.reconstruct):
        with pytest.raises(InputError, match="'d'"):
            call(["a", "d"])
    assert len(index) == 3
    with pytest.raises(InputError, match="all strings"):
        index.add(codes, ids=[1, 2, 3])
    with pytest.raises(InputError, match="c twice"):
        index.add(codes[:1], ids=["c"])
    assert len(index) == 3


def test_it_says_what_it_is() -> None:
    index = FlatIndex.of(some_codes(3, (64, 2, None)))
    assert repr(index) == "FlatIndex(3 hamming codes of 64 symbols (q = 2))"
