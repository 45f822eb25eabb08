"""Which encoder an archive gets: the shipped one where it knows the slices, or one's own."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isohash.archive.recipe import IndexSettings
from isohash.errors import InputError
from isohash.features.cases.kind import VIEWS
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import case_slices, encoder_input
from isohash.features.encoders.domain import FAR, relative_error
from isohash.features.encoders.downsampled import DownsampledEncoder
from isohash.features.encoders.shipped import shipped_encoder
from isohash.retrieval.building.encoder_choice import PIN, choose, named_encoders, slices_for
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.engine import Archive
from small_cases import OPTIONS, phantom, some_phantoms

AUTO = IndexSettings()
ONE = np.array(["a"] * 24)
TWO = np.array(["a"] * 12 + ["b"] * 12)


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """24 CT slices of a synthetic head and neck, as the encoder takes them."""
    return encoder_input(case_slices(phantom(0, 0)), "ct")[:24]


@pytest.fixture(scope="module")
def unlike() -> np.ndarray:
    """Noise in blocks, the same in both halves: what no patient looks like, and easily learned."""
    rng = np.random.default_rng(0)
    half = rng.random((12, 32, 32), dtype=np.float32).repeat(4, axis=1).repeat(4, axis=2)
    return np.concatenate([half, half])


def test_auto_takes_the_shipped_encoder_where_it_knows_unseen_patients_better(head):
    named = named_encoders("auto", VIEWS)
    assert set(named) == {"ct", "dose"}
    flipped = np.concatenate([head[:12], head[12:, ::-1]])  # two that tell nothing of each other
    choice = choose("ct", named, AUTO, flipped, TWO)
    assert choice.encoder is shipped_encoder("ct-deep")


def test_auto_takes_the_shipped_encoder_for_a_single_patient(head):
    assert relative_error(shipped_encoder("ct-deep"), head) < FAR
    choice = choose("ct", named_encoders("auto", VIEWS), AUTO, head, ONE)
    assert (choice.encoder, choice.note) == (shipped_encoder("ct-deep"), None)


def test_auto_fits_components_where_they_know_unseen_patients_better(unlike):
    choice = choose("ct", named_encoders("auto", VIEWS), replace(AUTO, dim=6), unlike, TWO)
    assert choice.encoder is None
    assert "principal components were fitted" in choice.note


def test_an_encoder_asked_for_by_name_is_used_but_the_note_says_how_far_it_is(unlike):
    choice = choose("ct", named_encoders("deep", VIEWS), IndexSettings(encoder="deep"), unlike, TWO)
    assert choice.encoder is shipped_encoder("ct-deep")
    assert "times as much as on its own patients" in choice.note


def test_an_encoder_that_cannot_reconstruct_is_taken_at_its_word(unlike):
    own = {"ct": DownsampledEncoder()}
    settings = IndexSettings(encoder="mine.safetensors")
    assert choose("ct", own, settings, unlike, TWO).encoder is own["ct"]


def test_a_new_archive_says_which_encoders_it_took(tmp_path):
    index_found(some_phantoms(2, 2), tmp_path / "A", {**OPTIONS, "encoder": "deep"})
    with Archive.open(tmp_path / "A") as archive:
        assert archive.contents.pipeline.encoders["dose"].name == "dose-deep"


@pytest.fixture(scope="module")
def own_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file that gives the means of 16 x 16 squares of images of 64 x 64."""
    onnx = pytest.importorskip("onnx")
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["x"], ["m"], kernel_shape=[16, 16], strides=[16, 16]),
            helper.make_node("Flatten", ["m"], ["y"]),
        ],
        "means",
        [helper.make_tensor_value_info("x", real, ["batch", 1, 64, 64])],
        [helper.make_tensor_value_info("y", real, ["batch", 16])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("own") / "mine.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_an_onnx_network_of_ones_own_makes_an_archive_that_no_longer_needs_it(
    isohash, own_network, tmp_path
):
    from small_cases import write_openkbp

    (tmp_path / "plans").mkdir()
    for member in range(2):
        write_openkbp(phantom(member, 0), tmp_path / "plans" / f"pt_{member}.npz")
    copied = tmp_path / "mine.onnx"
    copied.write_bytes(own_network.read_bytes())
    pinned = f"{copied}{PIN}{hashlib.sha256(copied.read_bytes()).hexdigest()}"
    done = isohash("index", tmp_path / "plans", tmp_path / "A", "--encoder", pinned, "--bits", 64)
    assert done.status == 0, done.err
    copied.unlink()
    found = isohash("query", tmp_path / "A", "pt_0", "--same-patient", "-k", 1, "--json")
    assert found.status == 0, found.err
    with Archive.open(tmp_path / "A") as archive:
        grid = archive.contents.pipeline.slices
        assert (grid.size, grid.pixel_mm) == (64, 8.0)  # the same field of view


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.onnx", "cannot read the ONNX encoder"),
        ("nowhere.safetensors", "no encoder file"),
        ("vast", "--encoder 'vast' is unknown: use auto, pca"),
    ],
)
def test_an_encoder_that_is_not_there_is_refused_before_any_case_is_read(name, message):
    with pytest.raises(InputError, match=message):
        named_encoders(name, VIEWS)


def test_an_onnx_file_with_another_digest_is_refused(own_network):
    with pytest.raises(InputError, match="not the pinned 0000"):
        named_encoders(f"{own_network}{PIN}{'0' * 64}", VIEWS)


def test_a_folder_without_encoders_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no encoder"):
        named_encoders(str(tmp_path), VIEWS)


def test_a_view_without_an_encoder_is_refused(tmp_path, head):
    DownsampledEncoder().save(tmp_path / "dose.safetensors")
    with pytest.raises(InputError, match="there is no encoder for ct"):
        choose("ct", named_encoders(str(tmp_path), VIEWS), AUTO, head, ONE)


def test_encoders_of_different_slices_do_not_go_together():
    encoders = {"ct": DownsampledEncoder(size=64, side=8), "dose": DownsampledEncoder()}
    with pytest.raises(InputError, match="different slices"):
        slices_for(encoders, SliceSettings())


def test_an_encoder_keeps_the_slices_of_its_training():
    shipped = shipped_encoder("ct-deep")
    grid = SliceSettings.from_json(shipped.settings["slices"])
    assert slices_for({"ct": shipped}, replace(grid, pixel_mm=3.0)) == grid


def test_losses_of_volumes_are_refused_for_slices(isohash, tmp_path):
    outcome = isohash("train", "autoencoder", tmp_path, "--out", tmp_path, "--loss", "siamese")
    assert outcome.status == 1
    assert "--loss siamese needs --dims 3" in outcome.err
