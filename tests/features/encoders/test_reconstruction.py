"""Down-sampling as an encoder, and the errors of what encoders remember."""

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.encoders.downsampled import DownsampledEncoder
from isohash.features.encoders.encoders import load_encoder
from isohash.features.encoders.reconstruction import reconstruct, reconstruction_errors

SETTINGS = SliceSettings(size=8, hu_window=(-100.0, 300.0), dose_scale_gy=50.0)


def test_downsampling_takes_means_of_squares(rng):
    images = rng.random((5, 8, 8)).astype(np.float32)
    encoder = DownsampledEncoder(size=8, side=2)
    found = encoder.encode(images)
    assert found.shape == (5, encoder.dim) == (5, 4)
    np.testing.assert_allclose(found[3, 1], images[3, :4, 4:].mean(), rtol=1e-6)
    np.testing.assert_allclose(found[3, 2], images[3, 4:, :4].mean(), rtol=1e-6)


def test_downsampling_to_the_same_size_changes_nothing(rng):
    images = rng.random((3, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(DownsampledEncoder(size=8, side=8).reconstruct(images), images)


def test_a_downsampling_encoder_survives_its_file(rng, tmp_path):
    images = rng.random((19, 8, 8)).astype(np.float32)
    encoder = DownsampledEncoder("ct-16", 8, 4, {"kind": "ct"})
    encoder.save(tmp_path / "a.safetensors")
    loaded = load_encoder(tmp_path / "a.safetensors")
    assert (loaded.name, loaded.digest) == (encoder.name, encoder.digest)
    assert loaded.encode(images).tobytes() == encoder.encode(images).tobytes()
    assert encoder.encode(images[5:6]).tobytes() == encoder.encode(images)[5].tobytes()


@pytest.mark.parametrize("side", [0, 3, 16])
def test_sides_that_do_not_divide_are_refused(side):
    with pytest.raises(InputError, match="side must divide"):
        DownsampledEncoder(size=8, side=side)


class OffByOneTenth:
    """Gives back every image 0.1 too bright."""

    def reconstruct(self, images):
        return np.asarray(images, dtype=np.float32) + np.float32(0.1)


def test_errors_are_in_hu_and_gy_over_the_body(rng):
    images = rng.uniform(0.1, 0.9, size=(600, 8, 8)).astype(np.float32)
    images[:, :, :4] = 0.0  # outside the body
    images[7] = 0.0
    for kind, unit in (("ct", 400.0), ("dose", 50.0)):
        found = reconstruct(OffByOneTenth(), images, kind, SETTINGS)
        np.testing.assert_allclose(found.mse, 0.01, rtol=1e-5)
        np.testing.assert_allclose(np.delete(found.body_error, 7), 0.1 * unit, rtol=1e-5)
        assert found.body_error[7] == 0.0
        mse, body_error = reconstruction_errors(OffByOneTenth(), images, kind, SETTINGS)
        np.testing.assert_array_equal(mse, found.mse)
        np.testing.assert_array_equal(body_error, found.body_error)
