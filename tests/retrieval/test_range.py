"""What an archive's codes can tell apart, and how long a code must be, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isohash.hashing.resolution import bits_planner


@pytest.fixture
def clusters(rng, tmp_path: Path) -> Path:
    """Tight clusters far apart: nearly all pairs are far compared with neighbours."""
    centers = 30.0 * rng.standard_normal((20, 16))
    rows = np.repeat(centers, 80, axis=0) + 0.1 * rng.standard_normal((1600, 16))
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    return tmp_path / "rows.npy"


def test_info_warns_of_codes_that_see_few_pairs(isohash, clusters: Path, tmp_path: Path) -> None:
    isohash("index", clusters, tmp_path / "kernel", "--hash", "kernel", "--bits", 256)
    told = json.loads(isohash("info", tmp_path / "kernel", "--json").out)
    assert told["saturated"]["vector"] > 0.8
    assert "beyond the range of the vector codes" in told["warnings"][0]
    assert "--hash adaptive" in told["warnings"][0]
    assert "warning: " in isohash("info", tmp_path / "kernel").out


def test_codes_fitted_to_the_data_see_all_pairs(isohash, clusters: Path, tmp_path: Path) -> None:
    isohash("index", clusters, tmp_path / "adaptive", "--bits", 256)
    told = json.loads(isohash("info", tmp_path / "adaptive", "--json").out)
    assert told["recipe"]["settings"]["hash"] == "adaptive"
    assert told["saturated"]["vector"] < 0.05
    assert told["warnings"] == []


def test_the_planner_answers_on_the_command_line(isohash) -> None:
    rows = json.loads(isohash("plan-bits", "--error", 0.1, "--at-distance", 3, "--json").out)
    by_alphabet = {(row["q"], row["dither"]): row for row in rows}
    for q, dither in ((2, True), (2, False), (16, None)):
        plan = bits_planner(0.1, 3.0, q, dither is not False)
        assert by_alphabet[q, dither]["n_symbols"] == plan.n_symbols
        assert by_alphabet[q, dither]["stored_bits"] == plan.stored_bits
    only = json.loads(isohash("plan-bits", "--q", 8, "--json").out)
    assert [row["q"] for row in only] == [8]


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--error", 0], "error must lie in"), (["--at-distance", -1], "positive"), (["--q", 1], "q")],
)
def test_impossible_plans_are_refused(isohash, options, message) -> None:
    outcome = isohash("plan-bits", *options)
    assert outcome.status == 1
    assert message in outcome.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hash", "magic"], "--hash must be"),
        (["--hash", "adaptive", "--q", 4], "--q is for --hash kernel"),
    ],
)
def test_impossible_hashes_are_refused(isohash, clusters, tmp_path, options, message) -> None:
    outcome = isohash("index", clusters, tmp_path / "A", *options)
    assert outcome.status == 1
    assert message in outcome.err
    assert not (tmp_path / "A").exists()


def test_an_alphabet_implies_the_kernel_hash_and_archives_keep_theirs(
    isohash, clusters, tmp_path
) -> None:
    isohash("index", clusters, tmp_path / "A", "--q", 16, "--bits", 128)
    settings = json.loads(isohash("info", tmp_path / "A", "--json").out)["recipe"]["settings"]
    assert (settings["hash"], settings["q"]) == ("kernel", 16)
    assert isohash("index", clusters, tmp_path / "A", "--hash", "kernel").status == 0
    outcome = isohash("index", clusters, tmp_path / "A", "--hash", "adaptive")
    assert "was made with hash = kernel" in outcome.err


def test_too_few_rows_for_fitted_codes_get_the_kernel_hash(isohash, rng, tmp_path) -> None:
    np.save(tmp_path / "few.npy", rng.standard_normal((20, 8)).astype(np.float32))
    isohash("index", tmp_path / "few.npy", tmp_path / "A")
    settings = json.loads(isohash("info", tmp_path / "A", "--json").out)["recipe"]["settings"]
    assert (settings["hash"], settings["q"]) == ("kernel", 2)
