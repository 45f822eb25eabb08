"""Training autoencoders: it learns, resumes, stops, splits by patient and exports."""

import dataclasses
import sys

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from isohash.errors import InputError, MissingExtra
from isohash.features.cases.groups import held_out_groups
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import case_slices
from isohash.features.encoders.encoders import load_encoder
from isohash.features.encoders.networks import AutoencoderSettings
from isohash.features.encoders.onnx_encoder import onnx_encoder
from isohash.features.encoders.pca import fit_pca
from isohash.features.training.augmentation import Augmentation
from isohash.features.training.settings import TrainingSettings
from isohash.features.training.training import train_autoencoder, train_encoder, training_images
from isohash.sources.phantom import phantom_case

torch = pytest.importorskip("torch")

TINY = AutoencoderSettings("shallow", size=16, latent=6, channels=(4, 8))
TINY_DEEP = AutoencoderSettings("deep", size=16, latent=6, channels=(4, 8))
BRIEF = TrainingSettings(
    max_epochs=3, batch_size=16, learning_rate=5e-3, threads=1, precision="float32"
)


def blobs(rng: np.random.Generator, n: int = 96, size: int = 16) -> tuple[np.ndarray, list[str]]:
    """Bright ellipses of random place and shape on black, of 12 patients; in [0, 1]."""
    y, x = np.mgrid[:size, :size]
    centre = rng.uniform(5, 11, size=(n, 2, 1, 1))
    radius = rng.uniform(2, 5, size=(n, 2, 1, 1))
    inside = ((y - centre[:, 0]) / radius[:, 0]) ** 2 + ((x - centre[:, 1]) / radius[:, 1]) ** 2
    images = np.clip(1.5 - inside, 0.0, 1.0).astype(np.float32)
    return images, [f"patient {i % 12}" for i in range(n)]


class Interrupted(Exception):
    pass


def interrupt_at(step: int):
    def progress(done: int, total: int, message: str) -> None:
        if done == step:
            raise Interrupted

    return progress


def test_training_beats_the_mean_image(rng):
    images, groups = blobs(rng)
    settings = dataclasses.replace(BRIEF, max_epochs=20, learning_rate=1e-2)
    trained = train_autoencoder(images, groups, TINY, settings)
    held_out = held_out_groups(groups, settings.validation_share, settings.random_state)
    variance = np.mean((images[held_out] - images[~held_out].mean(axis=0)) ** 2)
    assert trained.history[trained.best_epoch].validation_loss < 0.5 * variance


@pytest.mark.parametrize("network", [TINY, TINY_DEEP])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(rng, network):
    images, groups = blobs(rng)
    digests = [
        train_autoencoder(
            images, groups, network, dataclasses.replace(BRIEF, random_state=seed)
        ).encoder.digest
        for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_training_leaves_the_global_random_state_and_threads_alone(rng):
    images, groups = blobs(rng)
    before = torch.random.get_rng_state(), torch.get_num_threads()
    train_autoencoder(images, groups, TINY, dataclasses.replace(BRIEF, max_epochs=1))
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert torch.get_num_threads() == before[1]


@pytest.mark.parametrize("step", [3, 6, 8])  # in the first epoch, at its end, in the second
def test_an_interrupted_training_ends_with_the_same_bytes(rng, tmp_path, step):
    images, groups = blobs(rng)
    whole = train_autoencoder(images, groups, TINY, BRIEF)
    assert whole.n_steps == 18
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Interrupted):
        train_autoencoder(images, groups, TINY, BRIEF, checkpoint=path, progress=interrupt_at(step))
    resumed = train_autoencoder(images, groups, TINY, BRIEF, checkpoint=path)
    assert resumed.encoder.digest == whole.encoder.digest
    losses = [[epoch.validation_loss for epoch in t.history] for t in (whole, resumed)]
    assert losses[0] == losses[1]


def test_a_finished_training_is_not_repeated(rng, tmp_path):
    images, groups = blobs(rng)
    path = tmp_path / "checkpoint.safetensors"
    first = train_autoencoder(images, groups, TINY, BRIEF, checkpoint=path)
    again = train_autoencoder(
        images, groups, TINY, BRIEF, checkpoint=path, progress=interrupt_at(1)
    )
    assert again.encoder.digest == first.encoder.digest


@pytest.mark.parametrize("change", ["images", "network", "settings"])
def test_a_checkpoint_of_another_training_is_refused(rng, tmp_path, change):
    images, groups = blobs(rng)
    path = tmp_path / "checkpoint.safetensors"
    train_autoencoder(images, groups, TINY, BRIEF, checkpoint=path)
    arguments = {
        "images": (images[:, ::-1], groups, TINY, BRIEF),
        "network": (images, groups, dataclasses.replace(TINY, latent=5), BRIEF),
        "settings": (images, groups, TINY, dataclasses.replace(BRIEF, batch_size=8)),
    }[change]
    with pytest.raises(InputError, match="belongs to a training with other"):
        train_autoencoder(*arguments, checkpoint=path)


def test_patience_stops_a_training_that_no_longer_improves(rng):
    images, groups = blobs(rng)
    frozen = dataclasses.replace(BRIEF, learning_rate=0.0, max_epochs=50, patience=2)
    trained = train_autoencoder(images, groups, TINY, frozen)
    assert trained.stopped_early
    assert trained.best_epoch == 0
    assert len(trained.history) == 3


def test_a_budget_of_steps_is_kept_exactly(rng):
    images, groups = blobs(rng)
    calls: list[tuple[int, int]] = []
    trained = train_autoencoder(
        images,
        groups,
        TINY,
        dataclasses.replace(BRIEF, max_steps=8),
        progress=lambda done, total, message: calls.append((done, total)),
    )
    assert trained.n_steps == 8
    assert calls == [(step, 8) for step in range(1, 9)]


def test_validation_patients_are_never_trained_on(rng):
    groups = rng.integers(0, 40, size=500).astype(str)
    held_out = held_out_groups(groups, 0.2, random_state=0)
    assert set(groups[held_out]).isdisjoint(groups[~held_out])
    assert len(set(groups[held_out])) == 8
    # Noise in the held-out patients' images changes their loss and nothing else.
    images, names = blobs(rng)
    out = held_out_groups(names, BRIEF.validation_share, BRIEF.random_state)
    spoiled = images.copy()
    spoiled[out] = rng.random(spoiled[out].shape)
    one_epoch = dataclasses.replace(BRIEF, max_epochs=1)
    a, b = (train_autoencoder(x, names, TINY, one_epoch) for x in (images, spoiled))
    assert a.encoder.encode(images).tobytes() == b.encoder.encode(images).tobytes()
    assert a.history[0].validation_loss != b.history[0].validation_loss


def test_one_patient_is_not_enough():
    with pytest.raises(InputError, match="at least 2 patients, got 1"):
        held_out_groups(["a", "a"], 0.1, 0)


def test_bytes_stand_for_the_unit_interval(rng):
    images, groups = blobs(rng)
    eight_bit = np.rint(images * 255).astype(np.uint8)
    as_float = eight_bit.astype(np.float32) * np.float32(1 / 255)
    a, b = (train_autoencoder(x, groups, TINY, BRIEF) for x in (eight_bit, as_float))
    assert [e.validation_loss for e in a.history] == [e.validation_loss for e in b.history]


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


@pytest.mark.parametrize(
    "wrong", [{"max_epochs": 0}, {"batch_size": 0}, {"validation_share": 1.0}, {"patience": 0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError):
        TrainingSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"size": 100}, {"latent": 0}, {"variant": "vast"}])
def test_impossible_networks_are_refused(wrong):
    with pytest.raises(InputError):
        AutoencoderSettings(**wrong)


def test_network_settings_survive_json():
    assert AutoencoderSettings.from_json(TINY_DEEP.to_json()) == TINY_DEEP


def test_images_without_groups_are_refused(rng):
    images, groups = blobs(rng)
    with pytest.raises(InputError, match="n groups"):
        train_autoencoder(images, groups[:-1], TINY, BRIEF)


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


def test_training_images_are_the_dosed_slices_of_every_case():
    cases = [phantom_case(family, member) for family in (0, 1) for member in (0, 1)]
    settings = SliceSettings(size=16, pixel_mm=32.0)
    images, patients = training_images(cases, "dose", settings)
    views = [case_slices(case, settings) for case in cases]
    assert len(images) == len(patients) == sum(int(view.has_dose.sum()) for view in views)
    assert images.dtype == np.uint8
    first = views[0].dose[views[0].has_dose]
    np.testing.assert_allclose(images[: len(first)] / 255.0, first, atol=0.5 / 255 + 1e-6)
    assert set(patients) == {case.patient for case in cases}


def test_an_encoder_trained_on_cases_keeps_its_slice_settings(tmp_path):
    cases = [phantom_case(family, member) for family in (0, 1) for member in (0, 1)]
    settings = SliceSettings(size=16, pixel_mm=32.0)
    trained = train_encoder(cases, "ct", TINY, dataclasses.replace(BRIEF, max_epochs=1), settings)
    assert trained.encoder.name == "ct-shallow"
    assert trained.encoder.settings["kind"] == "ct"
    assert SliceSettings.from_json(trained.encoder.settings["slices"]) == settings
    without_dose = [dataclasses.replace(case, dose=None) for case in cases]
    with pytest.raises(InputError, match="no case has slices of dose"):
        train_encoder(without_dose, "dose", TINY, BRIEF, settings)


def test_without_torch_training_names_the_missing_part(rng, monkeypatch):
    images, groups = blobs(rng)
    for module in ("trainer", "autoencoder", "devices", "images", "checkpoint"):
        monkeypatch.delitem(sys.modules, f"isohash.features.training.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'isohash\[train\]'"):
        train_autoencoder(images, groups, TINY, BRIEF)


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
