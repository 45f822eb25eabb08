"""The map of an archive: exact where a plane is enough, the same every time, and what it lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import isohash
from isohash.distances import distance_matrix
from isohash.errors import InputError
from isohash.retrieval.archive_map import (
    ArchiveMap,
    archive_map,
    coloured,
    principal_coordinates,
    query_place,
)
from isohash.retrieval.engine import Archive


def test_points_of_a_plane_are_found_again(rng) -> None:
    plane = rng.standard_normal((30, 2)) * [3.0, 1.0]
    apart = distance_matrix(plane, plane)
    found, kept = principal_coordinates(apart)
    np.testing.assert_allclose(distance_matrix(found, found), apart, atol=1e-6)
    assert kept == pytest.approx(1.0)
    again, _ = principal_coordinates(apart.copy())
    np.testing.assert_array_equal(found, again)


def test_a_query_falls_where_its_distances_put_it(rng) -> None:
    plane = rng.standard_normal((30, 2))
    apart = distance_matrix(plane, plane)
    points, kept = principal_coordinates(apart)
    ids = tuple(map(str, range(30)))
    found = ArchiveMap(ids, np.arange(30), points, apart, kept, "", "", (), ())
    new = rng.standard_normal((1, 2))
    to_all = distance_matrix(new, plane)[0]
    place = np.array([found.place(to_all)])
    np.testing.assert_allclose(distance_matrix(place, points)[0], to_all, atol=1e-6)
    np.testing.assert_allclose(found.place(apart[7]), points[7], atol=1e-9)


def test_vectors_list_the_lonely_and_the_twins(tmp_path: Path, rng) -> None:
    rows = rng.standard_normal((60, 8)).astype(np.float32)
    rows[5], rows[9] = rows[31], 30.0
    isohash.build_archive(rows, tmp_path / "archive", bits=128)
    with Archive.open(tmp_path / "archive") as archive:
        found = archive_map(archive)
        assert found.outliers[0].id == "array:9"
        assert ("array:5", "array:31") in [one.ids for one in found.twice]
        assert found.twice[0].distance == 0.0
        new = query_place(found, archive.session(rows[31] + np.float32(1e-4)))
        np.testing.assert_allclose(new, found.points[31], atol=0.3)
        assert query_place(found, archive.session("array:9")) == tuple(found.points[9])


def test_plans_lie_as_their_histograms_do(dosed: Archive, new_patient) -> None:
    found = archive_map(dosed)
    assert found.unit == "Gy"
    assert "bare" in found.ids or len(found.ids) == len(dosed) - 1
    family = [name.split("-")[1] for name in found.ids if name != "bare"]
    kept = [at for at, name in enumerate(found.ids) if name != "bare"]
    apart = found.apart[np.ix_(kept, kept)]
    same = np.equal.outer(family, family)
    assert apart[same].mean() < apart[~same].mean()
    assert all(np.isfinite(query_place(found, dosed.session(new_patient))))
    words, counts = coloured(dosed, found.positions, "label")
    assert sum(counts.values()) == len(words) == len(found.ids)
    assert {"family-00", "family-01"} <= set(counts)


def test_cases_without_plans_lie_as_their_codes_do(archive: Archive, monkeypatch) -> None:
    monkeypatch.setattr(type(archive.contents), "plans", None)
    found = archive_map(archive)
    assert "codes" in found.space
    assert len(found.ids) == len(archive)
    assert query_place(found, archive.session("phantom-00-01")) is not None


def test_three_are_needed(tmp_path: Path, rng) -> None:
    isohash.build_archive(rng.standard_normal((2, 8)), tmp_path / "archive", bits=64)
    with (
        Archive.open(tmp_path / "archive") as archive,
        pytest.raises(InputError, match="three cases"),
    ):
        archive_map(archive)
