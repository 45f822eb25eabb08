"""Flipped, missing and added bytes: found by verify, never a wrong answer, never a crash."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from store_model import RECIPE, Model, assert_equal, perform

from isohash.archive.store import CaseStore
from isohash.archive.verify import verify
from isohash.errors import InputError

HISTORY = [
    ["put", "a", 1],
    ["put", "b", 3],
    ["file", "weights", 1],
    ["put", "a", 2],
    ["put", "c", 4],
    ["delete", "b"],
]


def build(folder: Path, compact: bool = False, closed: bool = True) -> Model:
    """A small archive; if not closed, as a killed writer leaves it, with the log beside it."""
    original = folder.with_name(folder.name + "-original")
    store, model = CaseStore.create(original, RECIPE), Model()
    for operation in [*HISTORY, *([["compact"], ["put", "d", 6]] if compact else [])]:
        perform(store, operation)
        model.apply(operation)
    if closed:
        store.close()
    shutil.copytree(original, folder)
    store.close()
    return model


def all_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read_or_refuse(folder: Path, model: Model) -> bool:
    """Whether everything can be read; what is read must be right, or one line must say why not."""
    try:
        with CaseStore.open(folder) as store:
            assert_equal(store, model)
            return True
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    return False


def flips(path: Path, places: Iterator[int] | range, rng) -> Iterator[int]:
    """The file with one byte changed, for each place; then as it was."""
    content = path.read_bytes()
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        yield place
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("compact", "n_places"),
    [
        (False, 800),
        (True, 400),
        pytest.param(False, None, marks=pytest.mark.slow),
        pytest.param(True, None, marks=[pytest.mark.slow]),
    ],
)
@pytest.mark.timeout(1200)
def test_every_changed_byte_of_a_closed_archive_is_found(
    quick_tmp, rng, figures, compact, n_places
):
    folder = quick_tmp / "archive"
    model = build(folder, compact)
    paths = [path for path in all_files(folder) if path.stat().st_size]
    total = sum(path.stat().st_size for path in paths)
    assert 10_000 < total < 60_000
    tries = 0
    for path in paths:
        size = path.stat().st_size
        n = size if n_places is None else -(-n_places * size // total)
        tries += n
        for place in flips(path, np.sort(rng.choice(size, n, replace=False)), rng):
            report = verify(folder)
            assert not report.ok, f"byte {place} of {path}"
            named = {problem.segment for problem in report.problems}
            if path.name == "catalogue.seal":
                assert "catalogue.sqlite" in named
            else:
                assert str(path.relative_to(folder)) in named
            read_or_refuse(folder, model)
    assert verify(folder).ok
    assert read_or_refuse(folder, model)
    figures(f"changed bytes of a closed archive: {tries} tries, {tries} found by verify")


@pytest.mark.parametrize("n_places", [300, pytest.param(20_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_a_changed_byte_of_an_archive_whose_writer_was_killed_is_never_a_wrong_answer(
    quick_tmp, rng, n_places
):
    folder = quick_tmp / "archive"
    model = build(folder, closed=False)
    paths = [path for path in all_files(folder) if path.stat().st_size]
    assert "catalogue.sqlite-wal" in {path.name for path in paths}
    total = sum(path.stat().st_size for path in paths)
    kept = quick_tmp / "kept"
    shutil.copytree(folder, kept)
    for path in paths:
        size = path.stat().st_size
        n = -(-n_places * size // total)
        for _ in flips(path, rng.choice(size, n), rng):
            readable = read_or_refuse(folder, model)
            assert verify(folder).ok <= readable
            for name in ("catalogue.sqlite-wal", "catalogue.sqlite-shm"):
                if name != path.name:
                    shutil.copy(kept / name, folder / name)


@pytest.mark.parametrize("compact", [False, True])
def test_every_missing_shortened_or_lengthened_file_is_found(quick_tmp, compact):
    folder = quick_tmp / "archive"
    model = build(folder, compact)
    for path in all_files(folder):
        content = path.read_bytes()
        name = str(path.relative_to(folder))
        for damaged in (content[:-1], content[: len(content) // 2], content[1:], content + b"\0"):
            if damaged != content:
                path.write_bytes(damaged)
                assert not verify(folder).ok, name
                read_or_refuse(folder, model)
        path.unlink()
        if content and path.name == "catalogue.seal":
            assert "not sealed" in verify(folder).notes[0]
        elif path.name == "recipe.json":
            assert not verify(folder).ok
        elif content:
            assert name in {problem.segment for problem in verify(folder).problems}
        read_or_refuse(folder, model)
        path.write_bytes(content)
    assert verify(folder).ok


def test_swapped_segments_are_found(quick_tmp):
    folder = quick_tmp / "archive"
    model = build(folder)
    first, second = sorted((folder / "segments").iterdir())[3:5]
    content = first.read_bytes(), second.read_bytes()
    first.write_bytes(content[1])
    second.write_bytes(content[0])
    assert len(verify(folder).problems) == 2
    assert not read_or_refuse(folder, model)


def test_a_damaged_case_does_not_stop_the_others(quick_tmp):
    folder = quick_tmp / "archive"
    build(folder)
    with CaseStore.open(folder) as store:
        path = folder / "segments" / "000000000005.seg"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(InputError, match=r"000000000005\.seg is damaged"):
            store.arrays("c")
        assert store.arrays("a")["codes"].shape == (2, 24)
