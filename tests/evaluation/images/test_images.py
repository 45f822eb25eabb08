"""The study of images: scores with known answers, and a run from archive to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from isohash.errors import InputError
from isohash.evaluation.images.scores import scores_of
from isohash.evaluation.images.study import FOLDER, ITSELF, ImagesSettings, run_images
from isohash.evaluation.kit.results import read_results
from isohash.retrieval.building.indexing import build_archive


def test_scores_are_those_counted_by_hand():
    distances = np.array([[0, 1, 1, 3, 9], [5, 4, 3, 2, 1]])
    relevant = np.array([[True, True, False, True, True], [True, False, False, False, False]])
    hidden = np.array([[True, False, False, False, False], [True, False, False, False, False]])
    scores = scores_of(distances, relevant, hidden, 2)
    assert scores.answerable.tolist() == [True, False]
    # 1 of 1, then position 2 before 3: 2 of 3, 3 of 4
    np.testing.assert_allclose(scores.named["map"], [(1 + 2 / 3 + 3 / 4) / 3])
    assert scores.named["p_at_2"].tolist() == [0.5]
    assert scores.named["p_at_1"].tolist() == [1.0]
    with pytest.raises(InputError, match="no image has another of its class"):
        scores_of(distances, relevant, np.ones_like(hidden), 2)


def labelled(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for lab in ("a", "b"):
        for channel, name in enumerate(("red", "green", "blue")):
            (root / lab / name).mkdir(parents=True)
            for number in range(6):
                pixels = rng.integers(0, 60, (20, 20, 3), dtype=np.uint8)
                pixels[..., channel] += 150
                Pil.fromarray(pixels).save(root / lab / name / f"{number}.png")
    return root


def test_a_study_tells_codes_vectors_and_pixels_with_intervals(tmp_path: Path):
    build_archive(labelled(tmp_path / "source"), tmp_path / "archive", bits=64)
    settings = ImagesSettings(bits=(32, 64), n_queries=20)
    found = run_images(tmp_path / "archive", tmp_path / "out", settings)["images"]
    told = read_results(tmp_path / "out", "images")
    assert told["asked"] == 20
    assert len(told["rows"]) == len(found) == 2 * (2 + 2)
    assert {row["left_out"] for row in found} == {ITSELF, FOLDER}
    for row in found:
        assert row["map_low"] <= row["map"] <= row["map_high"]
    euclid = [row for row in found if row["method"] == "embeddings, Euclidean"]
    assert min(row["map"] for row in euclid) > 0.95
    assert (tmp_path / "out" / "labels.png").exists()
    labels = read_results(tmp_path / "out", "labels")["rows"]
    assert {row["label"] for row in labels} == {"red", "green", "blue"}


def test_an_archive_without_labels_is_refused(tmp_path: Path):
    for number in range(3):
        pixels = np.full((20, 20, 3), 60 * number, np.uint8)
        Pil.fromarray(pixels).save(tmp_path / f"{number}.png")
    build_archive(tmp_path, tmp_path / "archive", bits=64)
    with pytest.raises(InputError, match="two labels are needed"):
        run_images(tmp_path / "archive", tmp_path / "out")
