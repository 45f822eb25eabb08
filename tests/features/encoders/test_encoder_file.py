from __future__ import annotations

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.features.encoders.case_encoders import CaseEncoder
from isohash.features.encoders.downsampled import DownsampledEncoder
from isohash.features.encoders.encoder_file import EncoderHeader, encoder_bytes
from isohash.features.encoders.encoders import encoder_from_bytes, load_encoder
from isohash.features.encoders.onnx_encoder import OnnxEncoder
from isohash.features.encoders.pca import PcaEncoder, fit_pca
from isohash.features.encoders.plan import PlanEncoder
from isohash.features.encoders.shipped import shipped_encoder, shipped_plan_encoder
from isohash.features.encoders.volumes import VolumeEncoder


def encoders(rng):
    return {
        PcaEncoder: fit_pca(rng.random((20, 8, 8)), dim=3),
        DownsampledEncoder: DownsampledEncoder(size=8, side=2),
        OnnxEncoder: shipped_encoder("ct-deep"),
        PlanEncoder: shipped_plan_encoder(),
    }


def test_an_encoder_is_the_same_from_bytes_and_from_its_file(rng, tmp_path):
    for kind, encoder in encoders(rng).items():
        encoder.save(tmp_path / "encoder")
        assert (tmp_path / "encoder").read_bytes() == encoder.to_bytes()
        copies = [kind.from_bytes(encoder.to_bytes()), load_encoder(tmp_path / "encoder", kind)]
        if kind is not PlanEncoder:
            copies.append(encoder_from_bytes(encoder.to_bytes()))
            copies.append(load_encoder(tmp_path / "encoder"))
        for copy in copies:
            assert type(copy) is kind
            assert copy.digest == encoder.digest
            assert copy.to_bytes() == encoder.to_bytes()


@pytest.mark.parametrize("kind", [PcaEncoder, PlanEncoder, CaseEncoder])
def test_bytes_of_another_kind_are_refused_by_name(kind):
    with pytest.raises(InputError, match=rf"x\.y holds .* 'downsampled', {kind.__name__} reads"):
        kind.from_bytes(DownsampledEncoder().to_bytes(), "x.y")


def test_networks_of_images_are_no_encoders_of_volumes():
    with pytest.raises(InputError, match=r"x\.y holds an encoder of images"):
        VolumeEncoder.from_bytes(shipped_encoder("ct-deep").to_bytes(), "x.y")


def test_kinds_of_a_newer_version_are_refused():
    header = EncoderHeader("novel", "n", 2, 8, {})
    with pytest.raises(InputError, match="unknown kind of encoder, 'novel': update"):
        encoder_from_bytes(encoder_bytes(header, {"a": np.zeros(2)}))


@pytest.mark.parametrize("data", [b"", b"x", b"\xff" * 40, b"\x02" + bytes(7) + b"{}", bytes(8)])
def test_bytes_that_hold_no_encoder_are_refused(data):
    with pytest.raises(InputError, match=r"x\.y is not an isohash safetensors file"):
        encoder_from_bytes(data, "x.y")
