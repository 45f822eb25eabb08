"""The encoding benchmarks measure every method and write what they found."""

from __future__ import annotations

from pathlib import Path

import pytest

from isohash.evaluation.kit.results import read_results
from isohash.evaluation.speed import encoding


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "N_CODED", 40)
    monkeypatch.setattr(encoding, "N_BITS", 64)
    monkeypatch.setattr(encoding, "DIMENSIONS", (8,))
    monkeypatch.setattr("isohash.evaluation.speed.search.SLICE_SECONDS", 1e-6)
    plain = encoding.clustered
    monkeypatch.setattr(encoding, "clustered", lambda n, dim: plain(600, 32, 20))
    monkeypatch.setattr(encoding, "CODE_BITS", (32,))


@pytest.mark.usefixtures("small")
def test_encoding_is_measured_beside_the_product(tmp_path: Path) -> None:
    rows = encoding.run_encode_bench(tmp_path, quick=True)
    assert rows[0]["of_product"] == 1.0
    assert all(row["vectors_per_second"] > 0 for row in rows)
    assert read_results(tmp_path, "encode")["rows"] == rows
    assert len(rows) == 3


@pytest.mark.usefixtures("small")
def test_hashes_are_measured_beside_their_peers(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    rows = encoding.run_hash_bench(tmp_path, quick=True)
    names = [row["codec"] for row in rows]
    assert "make_hasher" in names
    assert "FAISS LSH" in names
    assert all(0.0 <= row["overlap_at_10"] <= 1.0 for row in rows)
    best = max(rows, key=lambda row: row["overlap_at_10"])
    assert best["codec"] == "make_hasher"  # fitted to the data, as FAISS LSH is not
