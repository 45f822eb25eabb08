"""The literature's figures on slices, and the comparison of codes, on small data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isohash.distances import nearest
from isohash.errors import InputError
from isohash.evaluation.codes.equal_bits import CodesSettings, compare, run_codes
from isohash.evaluation.codes.slices import LITERATURE, OURS, SliceFigures, k_panels, run_slices
from isohash.evaluation.kit.baselines import baselines, sign_projection, spectral
from isohash.evaluation.kit.benchmark import DiceSettings, embed_views
from isohash.evaluation.kit.metrics import expected_overlap
from isohash.evaluation.kit.results import bootstrap_interval
from isohash.evaluation.kit.views import Embedded
from small_cases import phantom, write_openkbp

pytest.importorskip("matplotlib")

DICE = DiceSettings(encoder="pca", n_database=40, n_queries=10, k=5)
SMALL = SliceFigures(
    DICE,
    violin_bits=(1, 32, 512),
    scatter_bits=(64,),
    ks=(1, 5, 20),
    n_pairs=100,
    range_pairs=500,
    kernel_particles=20,
    kernel_steps=60,
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("openkbp")
    for part, numbers in (("train", range(3)), ("validation", range(3, 5))):
        (folder / part).mkdir()
        for number in numbers:
            write_openkbp(phantom(number % 2, number), folder / part / f"pt_{number + 1}.npz")
    return folder / "train", folder / "validation"


@pytest.fixture(scope="module")
def found(sources: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("out")
    return out, run_slices(*sources, out, SMALL)


@pytest.fixture(scope="module")
def view() -> Embedded:
    rng = np.random.default_rng(1)
    spread = np.geomspace(3, 0.3, 24)
    base, query = ((rng.standard_normal((n, 24)) * spread).astype(np.float32) for n in (400, 30))
    return Embedded("ct", base, query, np.arange(30) // 3)


def test_every_figure_has_its_picture_table_and_digests(found) -> None:
    out, results = found
    for name in results:
        assert (out / f"{name}.png").stat().st_size > 5_000
        assert (out / f"{name}.csv").is_file()
        told = json.loads((out / f"{name}.json").read_text())
        assert told["database"]["n"] == 40
        assert told["database"]["patients"] == 3
        assert len(told["queries"]["digest"]) == 64


def test_dice_rises_with_bits_and_beats_chance(found) -> None:
    for view in ("ct", "dose"):
        rows = [r for r in found[1]["slices-violin"] if (r["view"], r["score"]) == (view, "Dice")]
        for family in {row["family"] for row in rows}:
            means = [row["mean"] for row in rows if row["family"] == family]
            assert means[0] < means[1] < means[2]
            assert means[1] > 2 * 5 / 40
        assert next(r for r in rows if r["family"] == OURS and r["bits"] == 512)["mean"] > 0.9


def test_jaccard_is_dice_over_two_minus_dice_query_by_query(found) -> None:
    rows = found[1]["slices-violin"]
    pairs = zip(rows[::2], rows[1::2], strict=True)
    for dice, jaccard in pairs:
        for quantile in ("q25", "median", "q75"):  # the map is monotone: quantiles go along
            d = dice[quantile]
            assert jaccard[quantile] == pytest.approx(d / (2 - d), abs=0.02)
        assert jaccard["mean"] <= dice["mean"]


def test_scores_against_k_end_at_one_when_everything_is_retrieved(view: Embedded) -> None:
    panels = k_panels(view, LITERATURE, SliceFigures(DICE, k_bits=64, ks=(1, 20, 400)))
    dice, jaccard = (panel["mean"] for panel in panels)
    assert dice[0] < dice[2] == jaccard[2] == 1.0
    assert panels[0]["chance_of_dice"] == [0.0025, 0.05, 1.0]
    # Jaccard is a convex function of Dice: the mean of one bounds the other
    assert all(j >= d / (2 - d) - 1e-4 for d, j in zip(dice, jaccard, strict=True))


def test_a_patient_on_both_sides_is_refused(sources, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is in the database and among the queries"):
        run_slices(sources[0], sources[0], tmp_path, SMALL)


def test_bad_sources_are_refused_by_name(sources, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none does not exist"):
        run_slices(tmp_path / "none", sources[1], tmp_path / "out", SMALL)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        run_slices(tmp_path / "empty", sources[1], tmp_path / "out", SMALL)
    with pytest.raises(InputError, match="7000 slices are wanted, the source has"):
        embed_views(*sources, tmp_path, DiceSettings(encoder="pca", n_queries=10))


def test_all_families_are_scored_at_all_lengths_and_kept(view: Embedded, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    settings = CodesSettings(bits=(24, 48), n_features=50)
    rows = compare([view], settings, tmp_path)
    for row in rows:
        assert row["stored_bits"] >= row["bits"]
        for name in ("dice10", "dice50", "dice100", "recall10@100"):
            assert 0 <= row[f"{name}_low"] <= row[name] <= row[f"{name}_high"] <= 1
    dice = {(r["family"], r["query"], r["bits"]): r["dice50"] for r in rows}
    assert dice["make_hasher", "code", 48] > dice["make_hasher", "code", 24] > 50 / 400
    assert dice["make_hasher", "code", 48] > dice["random t, gamma = 1", "code", 48]
    assert {("FAISS RaBitQ", "real", 24), ("FAISS OPQ", "real", 24)} <= set(dice)
    said: list[str] = []
    assert compare([view], settings, tmp_path, lambda *told: said.append(told[2])) == rows
    assert len(said) == len(rows)


def test_an_optimised_rotation_helps_product_quantisation(view: Embedded) -> None:
    pytest.importorskip("faiss")
    trials = {t.family: t for t in baselines(24, 24) if t.asymmetric}
    truth = nearest(view.base, view.query, 50)
    plain, rotated = (
        expected_overlap(trials[name].measure(view.base, view.query, 0), truth, 50).mean()
        for name in ("FAISS PQ", "FAISS OPQ")
    )
    assert rotated > plain > 50 / 400


def test_a_folder_without_the_data_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mnist\.npz is not mnist\.npz"):
        run_codes(tmp_path, tmp_path / "out")


def test_only_the_baselines_that_exist_at_a_length_are_tried() -> None:
    assert "FAISS ITQ" in {t.family for t in baselines(64, 128)}
    assert "FAISS ITQ" not in {t.family for t in baselines(256, 128)}
    rabitq = {t.bits: t.stored_bits for b in (64, 128, 256) for t in baselines(b, 128)
              if t.family == "FAISS RaBitQ"}  # fmt: skip
    assert rabitq == {128: 192, 256: 416}


def test_sign_projections_differ_as_often_as_the_angle_says(rng: np.random.Generator) -> None:
    X = rng.standard_normal((2000, 10))
    X -= X.mean(axis=0)
    bits = 4096
    a, b = (sign_projection(X, bits, 0)(X[rows]) for rows in (slice(0, 40), slice(40, 80)))
    share = np.bitwise_count(a.packed ^ b.packed).sum(axis=1) / bits
    cosine = np.sum(X[:40] * X[40:80], axis=1)
    cosine /= np.linalg.norm(X[:40], axis=1) * np.linalg.norm(X[40:80], axis=1)
    band = np.sqrt(np.log(2 * 40 / 1e-9) / (2 * bits))
    assert np.abs(share - np.arccos(cosine) / np.pi).max() < band


def test_spectral_hashing_halves_the_longest_axis_first(rng: np.random.Generator) -> None:
    X = rng.uniform(-1, 1, (3000, 2)) * [8.0, 1.0]
    bits = np.unpackbits(spectral(X, 2, 0)(X).packed, axis=1)[:, :2]
    assert abs(np.corrcoef(bits[:, 0], X[:, 0] > 0)[0, 1]) > 0.95  # cos(pi x / 8): one change
    inner = np.abs(X[:, 0]) < 4
    assert abs(np.corrcoef(bits[:, 1], inner)[0, 1]) > 0.95  # the second mode of the same axis


def test_the_bootstrap_covers_the_mean_as_often_as_it_says(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(60), 5)
    hits = 0
    for _ in range(300):
        scores = rng.normal(0, 1, 60)[groups] + rng.normal(0, 1, 300)
        low, high = bootstrap_interval(scores, groups, rng, 300)
        hits += low <= 0 <= high
    # nominal 95 %; with 60 groups the percentile bootstrap is a little narrow; 4 sd of 300 trials
    assert hits / 300 > 0.90 - 4 * np.sqrt(0.9 * 0.1 / 300)
    assert hits / 300 < 0.995
