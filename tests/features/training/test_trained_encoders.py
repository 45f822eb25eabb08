"""What training makes: networks as files of their own, augmented, halved, started from PCA."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from isohash.errors import InputError
from isohash.features.cases.groups import held_out_groups
from isohash.features.encoders.encoders import load_encoder
from isohash.features.encoders.networks import AutoencoderSettings
from isohash.features.encoders.onnx_encoder import onnx_encoder
from isohash.features.encoders.pca import fit_pca
from isohash.features.training.augmentation import Augmentation
from isohash.features.training.settings import TrainingSettings
from isohash.features.training.training import train_autoencoder
from small_networks import BRIEF, TINY, TINY_DEEP, Interrupted, blobs, interrupt_at

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("network", [TINY, TINY_DEEP])
def test_the_exported_encoder_agrees_with_torch_to_1e_4(rng, network):
    from isohash.features.training.autoencoder import Autoencoder, export_encoder, weights_of

    torch.manual_seed(5)
    model = Autoencoder(network)
    for parameter in model.parameters():  # residual layers start as the identity
        torch.nn.init.normal_(parameter, std=0.2)
    images, _ = blobs(rng, 37)
    encoder = export_encoder(network, weights_of(model), "x", {})
    with torch.no_grad():
        latent = model.encoder(torch.from_numpy(images[:, None]))
        output = model.decoder(latent)[:, 0].numpy()
    np.testing.assert_allclose(encoder.encode(images), latent.numpy(), atol=1e-4)
    np.testing.assert_allclose(encoder.reconstruct(images), output, atol=1e-4)


def test_an_exported_encoder_is_one_file_and_needs_no_company(rng, tmp_path):
    images, groups = blobs(rng)
    trained = train_autoencoder(images, groups, TINY, BRIEF, name="ct", about={"kind": "ct"})
    path = tmp_path / "ct.safetensors"
    trained.encoder.save(path)
    loaded = load_encoder(path)
    assert (loaded.digest, loaded.name, loaded.dim, loaded.size) == (
        trained.encoder.digest,
        "ct",
        6,
        16,
    )
    assert loaded.settings["kind"] == "ct"
    assert loaded.settings["training"]["settings"]["random_state"] == 0
    together = loaded.encode(images)
    for i in (0, 15, 16, 60):
        assert loaded.encode(images[i : i + 1]).tobytes() == together[i].tobytes()
    assert loaded.encode(images[:0]).shape == (0, 6)
    assert loaded.reconstruct(images).shape == images.shape


def test_an_onnx_file_of_ones_own_is_pinned_by_its_digest(rng, tmp_path):
    import hashlib

    images, groups = blobs(rng)
    network = train_autoencoder(images, groups, TINY, BRIEF).encoder.network
    path = tmp_path / "own.onnx"
    path.write_bytes(network)
    digest = hashlib.sha256(network).hexdigest()
    own = onnx_encoder(path, sha256=digest)
    assert (own.name, own.dim, own.size) == ("own", 6, 16)
    own.save(tmp_path / "kept.safetensors")
    path.unlink()
    kept = load_encoder(tmp_path / "kept.safetensors")
    assert kept.digest == own.digest
    assert kept.encode(images).tobytes() == own.encode(images).tobytes()
    with pytest.raises(InputError, match="has no decoder"):
        kept.reconstruct(images)


def test_a_wrong_onnx_file_is_refused(tmp_path):
    path = tmp_path / "own.onnx"
    with pytest.raises(InputError, match="cannot read"):
        onnx_encoder(path)
    path.write_bytes(b"not a network")
    with pytest.raises(InputError, match="not a usable ONNX network"):
        onnx_encoder(path)
    with pytest.raises(InputError, match="not the pinned"):
        onnx_encoder(path, sha256="0" * 64)


@pytest.mark.parametrize("wrong", [{"size": 100}, {"latent": 0}, {"variant": "vast"}])
def test_impossible_networks_are_refused(wrong):
    with pytest.raises(InputError):
        AutoencoderSettings(**wrong)


def test_network_settings_survive_json():
    assert AutoencoderSettings.from_json(TINY_DEEP.to_json()) == TINY_DEEP


def test_augmentation_disturbs_intensities_and_keeps_geometry(rng):
    images, _ = blobs(rng, 20)
    disturbed, wanted = Augmentation(shift=0, gain=0.05, offset=0.02, noise=0.0)(images, rng)
    np.testing.assert_array_equal(wanted, images)
    assert (disturbed[images == 0] == 0).all()
    assert np.abs(disturbed - images).max() <= 0.07 + 1e-6
    inner = (images > 0.1) & (images < 0.9)
    for clean, shown, where in zip(images, disturbed, inner, strict=True):
        assert np.corrcoef(clean[where], shown[where])[0, 1] > 0.99999  # one line for all pixels
    noisy, _ = Augmentation(shift=0, gain=0, offset=0, noise=0.02)(images, rng)
    assert np.std((noisy - images)[inner]) == pytest.approx(0.02, rel=0.15)
    for still in Augmentation(0, 0, 0, 0)(images, rng):
        np.testing.assert_array_equal(still, images)


def test_augmentation_moves_what_is_shown_and_what_is_wanted_alike(rng):
    images = rng.random((800, 1, 9, 12)).astype(np.float32)
    shown, wanted = Augmentation(shift=2, gain=0, offset=0, noise=0)(images, rng)
    np.testing.assert_array_equal(shown, wanted)
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    seen = set()
    for big, moved in zip(padded, wanted, strict=True):
        fits = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if np.array_equal(moved, big[:, 2 - down : 11 - down, 2 - right : 14 - right])
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) == 25


def test_augmented_training_resumes_to_the_same_bytes_and_differs_from_plain(rng, tmp_path):
    images, groups = blobs(rng)
    settings = dataclasses.replace(BRIEF, augmentation=Augmentation())
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Interrupted):
        train_autoencoder(images, groups, TINY, settings, checkpoint=path, progress=interrupt_at(8))
    resumed = train_autoencoder(images, groups, TINY, settings, checkpoint=path)
    whole = train_autoencoder(images, groups, TINY, settings)
    assert resumed.encoder.digest == whole.encoder.digest
    plain = train_autoencoder(images, groups, TINY, BRIEF)
    assert plain.encoder.encode(images).tobytes() != whole.encoder.encode(images).tobytes()


def test_half_weights_halve_the_file_and_hardly_change_the_embedding(rng):
    images, groups = blobs(rng)
    network = dataclasses.replace(TINY, channels=(16, 32))
    full, half = (
        train_autoencoder(
            images, groups, network, dataclasses.replace(BRIEF, half_weights=half)
        ).encoder
        for half in (False, True)
    )
    assert len(half.network) < 0.6 * len(full.network)
    a, b = full.encode(images), half.encode(images)
    # Rounding to 11 bits in three layers: a few times 2^-11 of the embedding's size.
    assert np.abs(a - b).max() < 10 * 2.0**-11 * np.abs(a).max()


def test_a_deep_network_starts_as_the_principal_components(rng):
    images, groups = blobs(rng)
    still = dataclasses.replace(BRIEF, learning_rate=1e-9, max_steps=1)
    encoder = train_autoencoder(images, groups, TINY_DEEP, still).encoder
    training = images[~held_out_groups(groups, still.validation_share, still.random_state)]
    components = fit_pca(training, TINY_DEEP.latent)
    # the same geometry up to one common factor
    ratio = pdist(encoder.encode(images)) / pdist(components.encode(images))
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
    blurred = images.reshape(-1, 8, 2, 8, 2).mean(axis=(2, 4))
    remembered = encoder.reconstruct(images).reshape(-1, 8, 2, 8, 2).mean(axis=(2, 4))
    expected = components.reconstruct(images).reshape(-1, 8, 2, 8, 2).mean(axis=(2, 4))
    assert np.abs(remembered - blurred).mean() < 1.3 * np.abs(expected - blurred).mean()


def test_the_straight_path_of_a_deep_network_is_left_alone(rng):
    images, groups = blobs(rng)
    still = dataclasses.replace(BRIEF, learning_rate=1e-9, max_steps=1)

    def straight(settings: TrainingSettings) -> list[np.ndarray]:
        onnx = pytest.importorskip("onnx")
        graph = onnx.load_from_string(
            train_autoencoder(images, groups, TINY_DEEP, settings).encoder.network
        ).graph
        kept = [t for t in graph.initializer if ".straight." in t.name]
        return [onnx.numpy_helper.to_array(t) for t in kept]

    for before, after in zip(straight(still), straight(BRIEF), strict=True):
        np.testing.assert_array_equal(before, after)
