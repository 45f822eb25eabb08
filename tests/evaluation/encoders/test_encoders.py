"""Comparing encoders, and what they remember, drawn: on phantoms with hardly trained networks."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.evaluation.encoders.retrieval_examples import nearest_patients
from isohash.evaluation.kit.results import read_csv
from isohash.features.training.settings import TrainingSettings
from small_cases import phantom, write_openkbp

pytest.importorskip("matplotlib")
pytest.importorskip("skimage")
pytest.importorskip("torch")

from isohash.evaluation.encoders.domain import run_domain
from isohash.evaluation.encoders.encoder_table import TableSettings, autoencoder_file, run_table
from isohash.evaluation.encoders.reconstructions import (
    ReconstructionSettings,
    framed,
    run_reconstructions,
)
from isohash.evaluation.encoders.retrieval_examples import ExampleSettings, run_examples
from isohash.evaluation.encoders.small_archives import SmallSettings, run_small, structure_overlap
from isohash.evaluation.encoders.surfaces import IsodoseLevel, Scene, surfaces_of, write_page
from isohash.evaluation.encoders.volumes import run_volumes, train_from
from isohash.features.encoders.encoders import load_encoder
from isohash.features.encoders.networks import AutoencoderSettings
from isohash.features.encoders.volumes import VolumeEncoder

HARDLY = TrainingSettings(max_steps=2, batch_size=4, threads=1, precision="float32")
SMALL = TableSettings(bits=(64, 128), n_database=40, n_queries=10, k=5, every=4, hash_seeds=(0,))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with training and unseen phantoms and the table of encoders made from them."""
    folder = tmp_path_factory.mktemp("encoders")
    for part, members in (("train", (0, 1)), ("unseen", (2, 3, 4))):
        (folder / part).mkdir()
        for member in members:
            name = f"pt_{member}.npz"
            write_openkbp(phantom(member % 2, member), folder / part / name)
    run_table(
        folder / "train", folder / "unseen", folder / "weights", folder / "out", SMALL, HARDLY
    )
    return folder


def test_the_table_compares_every_encoder_of_both_views(made):
    rows = read_csv(made / "out" / "encoders.csv")
    assert [(row["view"], row["encoder"]) for row in rows] == [
        (view, encoder)
        for view in ("ct", "dose")
        for encoder in ("downsampled", "pca", "shallow", "deep")
    ]
    assert all(row["mse_low"] <= row["mse"] <= row["mse_high"] for row in rows)
    assert all(0 <= row["dice_64"] <= 1 for row in rows)


def measured(folder: Path) -> list[dict]:
    """The rows of a table but for the time that a training step took."""
    rows = read_csv(folder / "encoders.csv")
    return [{name: row[name] for name in row if name != "seconds_per_epoch"} for row in rows]


def test_a_table_made_again_trains_nothing_anew(made):
    before = {p.name: p.read_bytes() for p in (made / "weights").iterdir()}
    run_table(made / "train", made / "unseen", made / "weights", made / "again", SMALL, HARDLY)
    assert {p.name: p.read_bytes() for p in (made / "weights").iterdir()} == before
    assert measured(made / "again") == measured(made / "out")


def test_patients_on_both_sides_are_refused(made):
    with pytest.raises(InputError, match="in training and in validation"):
        run_table(made / "train", made / "train", made / "weights", made / "out", SMALL, HARDLY)


def test_reconstructions_are_drawn_with_their_errors_and_the_page_needs_nothing_else(made):
    settings = ReconstructionSettings(n_slices=2)
    results = run_reconstructions(made / "unseen", made / "weights", made / "out", settings)
    page = (made / "out" / "surfaces.html").read_text()
    assert not re.search(r"(?:src|href)\s*=|https?://|@import", page)
    for name in ("reconstructions-ct.png", "reconstructions-dose.png", "surfaces.png"):
        assert (made / "out" / name).stat().st_size > 1000
    assert len(results["reconstructions"]) == 2 * 2 * 2  # views, encoders, slices
    assert all(row["volume_ml"] > 0 for row in results["surfaces"] if row["level"] == "20 Gy")


def test_examples_are_drawn_for_every_way_of_asking(made):
    settings = ExampleSettings(n_queries=2, n_results=2, bits=128)
    rows = run_examples(made / "train", made / "unseen", made / "weights", made / "out", settings)
    assert len(rows) == 2 * 2 * 2 * 2  # queries, by, encoders, results
    assert (made / "out" / "retrieval-2.png").stat().st_size > 1000


def test_missing_weights_name_the_command_that_makes_them(tmp_path):
    with pytest.raises(InputError, match="isohash evaluate encoders"):
        autoencoder_file(tmp_path, "ct", "deep")


def test_only_the_best_slice_of_each_patient_is_shown():
    shares = np.array([0.3, 0.1, 0.2, 0.1, 0.4])
    patient = np.array(["a", "a", "b", "c", "d"])
    assert nearest_patients(shares, patient, 3) == [(1, 0.1), (3, 0.1), (2, 0.2)]


def test_the_frame_holds_everything_about_the_middle():
    images = np.zeros((2, 64, 64))
    images[0, 20, 30] = images[1, 33, 40] = 1
    frame = framed(images)
    assert (frame.start, frame.stop) == (18, 46)
    images[0, 0, 0] = 1
    assert framed(images) == slice(0, 64)


BALL = IsodoseLevel(1.0, "ball", "#ff0000", 1.0)


def ball() -> np.ndarray:
    """1 on a sphere of radius 15 mm about (x, y, z) = (3, 0, 0); voxels of 2 x 1 x 1 mm."""
    z, y, x = np.mgrid[-10:11, -20:21, -20:21].astype(np.float32)
    return np.maximum(16 - np.sqrt((2 * z) ** 2 + y**2 + (x - 3) ** 2), 0)


def test_a_surface_encloses_the_volume_it_should_and_faces_outwards():
    (surface,) = surfaces_of(ball(), (2.0, 1.0, 1.0), [BALL])
    a, b, c = (surface.vertices[surface.faces[:, i]].astype(float) for i in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.02)  # flat triangles cut corners
    np.testing.assert_allclose(surface.vertices.min(axis=0), [-12, -15, -15], atol=0.1)
    np.testing.assert_allclose(surface.vertices.max(axis=0), [18, 15, 15], atol=0.1)


def test_a_level_that_is_not_reached_has_no_surface():
    assert surfaces_of(ball(), (2.0, 1.0, 1.0), [IsodoseLevel(99.0, "hot", "#ff0000", 1.0)]) == ()


def test_the_page_holds_the_triangles(tmp_path):
    surfaces = surfaces_of(ball(), (2.0, 1.0, 1.0), [BALL])
    write_page([Scene("<ball>", surfaces)], "A ball", tmp_path / "ball.html")
    page = (tmp_path / "ball.html").read_text()
    assert "<ball>" not in page
    (pane,) = json.loads(re.search(r"const panes = (.*);\n", page)[1])
    kept = np.frombuffer(zlib.decompress(base64.b64decode(pane["surfaces"][0]["faces"])), "<i4")
    assert (np.cumsum(kept).reshape(-1, 3) == surfaces[0].faces).all()


NETWORK = AutoencoderSettings("shallow", size=64, latent=4, channels=(2, 2), dims=3, inputs=2)


def test_volumes_are_trained_by_every_objective_and_judged_on_unseen_patients(made):
    plan = replace(HARDLY, batch_size=2)
    where = made / "train", made / "unseen", made / "weights", made / "out"
    rows = run_volumes(*where, NETWORK, plan)
    assert [row["encoder"] for row in rows] == [
        "downsampled",
        "autoencoder",
        "variational",
        "siamese",
    ]
    assert all(-1 <= row["spearman"] <= 1 and row["nearest_gy"] >= 0 for row in rows)
    encoder = load_encoder(made / "weights" / "volume-siamese.safetensors", VolumeEncoder)
    assert np.isfinite(encoder.encode_case(phantom(0, 2))).all()


def test_an_unknown_loss_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(InputError, match="the loss must be one of"):
        train_from(tmp_path / "nowhere", tmp_path, "contrastive")


def test_small_archives_are_asked_by_patients_outside_them(tmp_path):
    for member in range(3):
        write_openkbp(phantom(member, 0), tmp_path / f"pt_{member}.npz")
    settings = SmallSettings(n_cases=(1, 2), n_query_cases=1, draws=2, every=6, bits=64, dim=8)
    rows = run_small(tmp_path, tmp_path / "out", settings)
    assert len(rows) == 2 * 2 * 3  # sizes, views, encoders
    assert all(0 <= row["structures"] <= 1 for row in rows)
    with pytest.raises(InputError, match="need more"):
        run_small(tmp_path, tmp_path / "out", replace(settings, n_cases=(3,)))


def test_structures_in_common_are_counted_where_either_slice_has_them():
    a, b = np.zeros((2, 4, 4), dtype=np.uint16)
    a[:2] |= 1  # structure 0: half of it in common
    b[1:3] |= 1
    a[0, 0] |= 2  # structure 1: on one slice only
    assert structure_overlap(a, b) == pytest.approx((0.5 + 0.0) / 2)
    assert structure_overlap(a, a) == 1.0
    assert np.isnan(structure_overlap(a * 0, b * 0))


def test_sources_are_measured_against_what_the_shipped_encoders_know(made):
    rows = run_domain([made / "unseen"], made / "out")
    assert [(row["source"], row["view"]) for row in rows] == [("unseen", "ct"), ("unseen", "dose")]
    for row in rows:
        assert row["lowest"] <= row["relative"] <= row["highest"]
        assert (row["taken"] == "pca") == (row["fitted"] < row["shipped"])


@pytest.mark.parametrize("variant", ["shallow", "deep"])
def test_the_diagram_counts_the_weights_that_are_trained(variant: str, tmp_path: Path) -> None:
    """Block by block against the module that torch makes of the same lists."""
    from isohash.evaluation.encoders.diagram import blocks, learned, run_diagram
    from isohash.features.encoders.networks import decoder_layers, encoder_layers
    from isohash.features.training.autoencoder import torch_network

    settings = AutoencoderSettings(variant=variant)
    lists = [learned(make(settings)) for make in (encoder_layers, decoder_layers)]
    wanted = sum(w.numel() for one in lists for w in torch_network(one).parameters())
    drawn = blocks(settings)
    assert sum(block.weights for block in drawn) == wanted
    assert (drawn[0].channels, drawn[0].side) == (drawn[-1].channels, drawn[-1].side) == (1, 128)
    assert [block.channels for block in drawn if block.side == 1] == [settings.latent]
    rows = run_diagram(tmp_path)
    assert len([row for row in rows if row["network"] == variant]) == len(drawn)
    assert (tmp_path / "networks.png").stat().st_size > 5_000
