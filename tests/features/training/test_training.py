"""Training autoencoders: it learns, resumes, stops and splits by patient."""

import dataclasses
import sys

import numpy as np
import pytest

from isohash.errors import InputError, MissingExtra
from isohash.features.cases.groups import held_out_groups
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import case_slices
from isohash.features.training.settings import TrainingSettings
from isohash.features.training.training import train_autoencoder, train_encoder, training_images
from isohash.sources.phantom import phantom_case
from small_networks import BRIEF, TINY, TINY_DEEP, Interrupted, blobs, interrupt_at

torch = pytest.importorskip("torch")


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


@pytest.mark.parametrize(
    "wrong", [{"max_epochs": 0}, {"batch_size": 0}, {"validation_share": 1.0}, {"patience": 0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError):
        TrainingSettings(**wrong)


def test_images_without_groups_are_refused(rng):
    images, groups = blobs(rng)
    with pytest.raises(InputError, match="n groups"):
        train_autoencoder(images, groups[:-1], TINY, BRIEF)


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
