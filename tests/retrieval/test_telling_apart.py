"""Names of files are no identity: nothing is replaced but by a later version of itself."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohash.errors import InputError
from isohash.retrieval.building.indexing import build_archive
from isohash.retrieval.engine import Archive
from isohash.retrieval.telling_apart import tell_apart
from isohash.sources.fingerprint import Fingerprint
from isohash.sources.found import Found, Origin
from small_cases import OPTIONS, phantom, write_openkbp

BITS = {"bits": 64}


def vectors(path: Path, n: int, seed: int, **more: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng(seed).standard_normal((n, 8)).astype(np.float32)
    np.savez(path, X=rows, **more) if more else np.save(path, rows)
    return path


def names(archive: Path) -> set[str]:
    with Archive.open(archive) as opened:
        return set(opened)


def test_another_file_of_a_known_name_is_kept_beside_it(tmp_path: Path) -> None:
    first, other = (
        vectors(tmp_path / "a" / "v.npy", 300, 0),
        vectors(tmp_path / "b" / "v.npy", 5, 1),
    )
    build_archive(first, tmp_path / "A", **BITS)
    report = build_archive(other, tmp_path / "A")
    (new,) = report.indexed
    assert report.apart == {new: "v"}
    assert new.startswith("v~")
    assert report.n_cases == 305
    assert not report.replaced
    for source in (first, other):
        assert not build_archive(source, tmp_path / "A").indexed


def test_a_new_version_of_a_file_replaces_it_and_rows_that_are_gone_are_named(
    tmp_path: Path,
) -> None:
    path = vectors(tmp_path / "v.npy", 300, 0)
    build_archive(path, tmp_path / "A", **BITS)
    report = build_archive(vectors(path, 297, 1), tmp_path / "A")
    assert report.replaced == report.indexed == ("v",)
    assert report.vanished == {"v": ("v:297 to v:299",)}
    assert report.n_cases == 297


def test_rows_with_ids_that_are_gone_are_named_by_them(tmp_path: Path) -> None:
    ids = np.array([f"row-{i}" for i in range(200)])
    path = vectors(tmp_path / "v.npz", 200, 0, ids=ids)
    build_archive(path, tmp_path / "A", **BITS)
    report = build_archive(vectors(path, 199, 0, ids=np.delete(ids, 7)), tmp_path / "A")
    assert report.vanished == {"v": ("row-7",)}


def test_a_source_that_moves_keeps_its_names(tmp_path: Path) -> None:
    path = vectors(tmp_path / "a" / "v.npy", 200, 0)
    build_archive(path, tmp_path / "A", **BITS)
    moved = tmp_path / "b" / "v.npy"
    moved.parent.mkdir()
    shutil.copy2(path, moved)
    assert build_archive(moved, tmp_path / "A").unchanged == ("v",)
    os.utime(moved, ns=(1, 1))
    again = build_archive(moved, tmp_path / "A")
    assert (again.indexed, again.replaced) == (("v",), ())
    assert names(tmp_path / "A") == {f"v:{i}" for i in range(200)}


def test_arrays_in_memory_are_added_not_replaced(tmp_path: Path, rng: np.random.Generator) -> None:
    first, second = rng.standard_normal((2, 100, 8))
    build_archive(first, tmp_path / "A", **BITS)
    assert build_archive(second, tmp_path / "A").n_cases == 200
    assert build_archive(second, tmp_path / "A").n_cases == 200


def test_a_case_in_memory_of_another_patient_is_kept_beside_the_first(tmp_path: Path) -> None:
    from dataclasses import replace

    cases = [replace(phantom(0, member), id=f"case-{member}") for member in range(4)]
    named = [replace(case, patient=f"patient-{i}") for i, case in enumerate(cases)]
    build_archive(named, tmp_path / "A", **OPTIONS)
    other = replace(phantom(1, 1), id="case-1", patient="patient-9")
    report = build_archive([other], tmp_path / "A")
    assert list(report.apart.values()) == ["case-1"]
    update = replace(phantom(1, 2), id="case-2", patient="patient-2")
    assert build_archive([update], tmp_path / "A").replaced == ("case-2",)
    assert report.n_cases == 5


def test_a_query_by_path_is_no_other_patient_of_its_name(tmp_path: Path) -> None:
    for member in range(4):
        (tmp_path / "a").mkdir(exist_ok=True)
        write_openkbp(phantom(0, member), tmp_path / "a" / f"pt_{member}.npz")
    build_archive(tmp_path / "a", tmp_path / "A", **OPTIONS)
    (tmp_path / "b").mkdir()
    write_openkbp(phantom(1, 0), tmp_path / "b" / "pt_1.npz")
    shutil.copy(tmp_path / "a" / "pt_1.npz", tmp_path / "b" / "copy.npz")
    with Archive.open(tmp_path / "A") as archive:
        other = archive.query(tmp_path / "b" / "pt_1.npz", k=4)
        own = archive.query(tmp_path / "a" / "pt_1.npz", k=4)
        copy = archive.query(tmp_path / "b" / "copy.npz", k=4)
    assert other.query.startswith("pt_1~")
    assert "pt_1" in other.ids
    assert own.query == "pt_1"
    assert "pt_1" not in own.ids
    assert "pt_1" not in copy.ids


def test_an_archive_of_another_key_is_not_added_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = vectors(tmp_path / "v.npy", 200, 0)
    build_archive(path, tmp_path / "A", **BITS)
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(tmp_path / "other.key"))
    with pytest.raises(InputError, match="another key"):
        build_archive(path, tmp_path / "A")


things = st.tuples(st.sampled_from("ab"), st.sampled_from("pqr"), st.sampled_from("xyz"))


@given(st.lists(things, max_size=12))
def test_what_a_name_means_changes_only_in_its_place_or_to_a_copy(
    arrivals: list[tuple[str, str, str]],
) -> None:
    """Each name, whatever arrives: its new content comes from where the last came from."""
    archive: dict[str, tuple[str, str]] = {}  # place, content
    kept: dict[str, str] = {}
    for name, place, content in arrivals:
        state = f"{place}{content}"
        origin = Origin(name, place, lambda content=content: content)
        found = Found(name, state, place, lambda _: None, origin=origin)  # type: ignore[arg-type,return-value]
        known = {key: Fingerprint.of(text) for key, text in kept.items()}
        named, news = tell_apart(found, known.get)
        before = archive.get(named.key)
        if news == "new":
            assert before is None
        else:
            assert before is not None
            assert before[0] == place or before[1] == content
            assert (news == "replaced") == (before[1] != content)
            assert (news == "unchanged") <= (before == (place, content))
        archive[named.key], kept[named.key] = (place, content), named.to_keep()
