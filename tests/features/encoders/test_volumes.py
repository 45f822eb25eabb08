"""Whole cases as small volumes, their encoder, and the objectives that it is trained for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.features.encoders.encoders import load_encoder
from isohash.features.encoders.networks import AutoencoderSettings, decoder_layers, encoder_layers
from isohash.features.encoders.volumes import (
    ORGAN,
    PRIMARY,
    VolumeEncoder,
    VolumeSettings,
    case_volume,
    primary_target,
    target_kind,
)
from isohash.features.training.objectives import (
    Reconstruction,
    Siamese,
    Variational,
    objective_named,
)
from isohash.features.training.settings import TrainingSettings
from isohash.features.training.training import train_autoencoder
from isohash.records import Case, Volume
from small_cases import phantom

torch = pytest.importorskip("torch")

TINY = AutoencoderSettings("deep", size=16, latent=6, channels=(4, 8), dims=3, inputs=2)
BRIEF = TrainingSettings(
    max_epochs=2, batch_size=4, learning_rate=5e-3, threads=1, precision="float32"
)
OBJECTIVES = (Reconstruction(), Variational(), Siamese())


def balls(rng: np.random.Generator, n: int = 20) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Two channels of a ball (large or small) of random place, their kinds, and 5 patients."""
    z, y, x = np.mgrid[:16, :16, :16]
    kind = np.arange(n) % 2
    made = []
    for one in kind:
        at, radius = rng.uniform(5, 11, 3), 2.0 + 2.0 * one
        inside = ((z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2) / radius**2
        ball = np.clip(1.5 - inside, 0, 1)
        made.append(np.stack([ball, ball > 0.5]))
    return np.array(made, dtype=np.float32), kind, [f"patient {i % 5}" for i in range(n)]


def trained(rng, objective, **more):
    volumes, kind, patients = balls(rng)
    network = replace(TINY, unit=isinstance(objective, Siamese))
    siamese = isinstance(objective, Siamese)
    given = {"second": volumes[:, ::-1].copy(), "labels": kind} if siamese else {}
    return volumes, train_autoencoder(
        volumes, patients, network, BRIEF, objective=objective, **given, **more
    )


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.name)
def test_the_exported_encoder_of_volumes_agrees_with_torch_to_1e_4(rng, objective):
    from isohash.features.training.autoencoder import torch_network

    volumes, training = trained(rng, objective)
    encoder = training.encoder
    settings = AutoencoderSettings.from_json(encoder.settings["autoencoder"])
    import onnx

    for layers, network, given in (
        (encoder_layers(settings), encoder.network, volumes),
        (decoder_layers(settings), encoder.decoder, encoder.encode(volumes)),
    ):
        graph = onnx.load_from_string(network).graph
        weights = {
            t.name.split(".", 1)[1]: torch.from_numpy(onnx.numpy_helper.to_array(t).copy())
            for t in graph.initializer
            if not t.name.endswith(".shape")
        }
        model = torch_network(layers)
        model.load_state_dict(weights)
        with torch.no_grad():
            wanted = model(torch.from_numpy(given)).numpy()
        found = encoder.encode(volumes) if given is volumes else encoder.decode(given)
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.name)
def test_an_interrupted_training_of_volumes_ends_with_the_same_bytes(rng, tmp_path, objective):
    class Interrupted(Exception):
        pass

    def stop(done: int, total: int, message: str) -> None:
        if done == 5:  # 16 volumes are trained on: within the second epoch
            raise Interrupted

    state = rng.bit_generator.state
    _, whole = trained(rng, objective)
    path = tmp_path / "checkpoint.safetensors"
    for progress in (stop, None):
        rng.bit_generator.state = state
        try:
            _, resumed = trained(rng, objective, checkpoint=path, progress=progress)
        except Interrupted:
            continue
    assert resumed.encoder.digest == whole.encoder.digest


def test_a_checkpoint_of_another_objective_is_refused(rng, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    state = rng.bit_generator.state
    trained(rng, Reconstruction(), checkpoint=path)
    rng.bit_generator.state = state
    with pytest.raises(InputError, match="other objective"):
        trained(rng, Variational(), checkpoint=path)


def test_volumes_embed_the_same_alone_or_together_and_survive_their_file(rng, tmp_path):
    volumes, training = trained(rng, Siamese())
    encoder = training.encoder
    together = encoder.encode(volumes)
    assert encoder.encode(volumes[3:4]).tobytes() == together[3].tobytes()
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    encoder.save(tmp_path / "volume.safetensors")
    kept = load_encoder(tmp_path / "volume.safetensors")
    assert kept.encode(volumes).tobytes() == together.tobytes()
    assert kept.reconstruct(volumes).shape == volumes.shape
    with pytest.raises(InputError, match=r"\(n, 2, 16, 16, 16\)"):
        kept.encode(volumes[:, 0])


def test_triplets_ask_that_the_same_kind_be_nearer():
    from isohash.features.training.losses import triplet_loss

    kinds = np.array([0, 0, 1, 1])
    apart = torch.tensor([[0.0, 0.0], [0.1, 0.0], [3.0, 0.0], [3.1, 0.0]])
    assert triplet_loss(apart, kinds, 1.0).item() == 0.0
    mixed = apart[[0, 2, 1, 3]]
    assert triplet_loss(mixed, kinds, 1.0).item() > 1.0
    assert triplet_loss(apart, np.arange(4), 1.0).item() == 0.0  # no two of a kind: no triplet


def test_the_discrepancy_from_the_prior_is_small_for_samples_of_the_prior(rng):
    from isohash.features.training.losses import _discrepancy

    prior = torch.from_numpy(np.sqrt(2.0) * rng.standard_normal((400, 8)).astype(np.float32))
    near = _discrepancy(prior, rng, 2.0).item()
    far = _discrepancy(prior + 3.0, rng, 2.0).item()
    assert abs(near) < 0.02  # the estimate is unbiased; its error falls as 1 / n
    assert far > 0.2


def test_losses_have_names():
    assert objective_named("siamese") == Siamese()
    with pytest.raises(InputError, match="autoencoder, variational, siamese"):
        objective_named("contrastive")


# The volume itself.


def test_a_case_becomes_a_volume_about_its_targets():
    grid = VolumeSettings(size=32, pixel_mm=9.0, slice_mm=8.0)
    volume = case_volume(phantom(0, 0), grid)
    assert volume.shape == (2, 32, 32, 32)
    assert (volume.min(), volume.max()) == (0.0, 1.0)
    targets = np.flatnonzero((volume[1] > 0.5).any(axis=(1, 2)))
    assert abs((targets[0] + targets[-1]) / 2 - 15.5) <= 1.0  # in the middle of the height


def test_a_volume_is_that_of_the_patient_whatever_the_order_of_its_slices():
    case = phantom(1, 0)
    turned = replace(
        case,
        ct=_upside_down(case.ct),
        dose=_upside_down(case.dose),
        structures={name: _upside_down(mask) for name, mask in case.structures.items()},
    )
    grid = VolumeSettings(size=32, pixel_mm=9.0, slice_mm=8.0)
    np.testing.assert_allclose(case_volume(turned, grid), case_volume(case, grid), atol=1e-6)


def _upside_down(volume: Volume) -> Volume:
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (volume.array.shape[0] - 1)
    affine[:3, 0] *= -1
    return Volume(volume.array[::-1], affine)


def marked(targets: dict[str, tuple[slice, slice, slice]]) -> Case:
    """An empty body with parotids on both sides of x = 0 and boxes for targets (2 mm voxels)."""
    affine = np.eye(4)
    affine[:3, :3] = 2.0 * np.eye(3)[::-1]
    affine[0, 3] = -63.0

    def box(z: slice, y: slice, x: slice) -> Volume:
        mask = np.zeros((32, 64, 64), dtype=bool)
        mask[z, y, x] = True
        return Volume(mask, affine)

    parotids = {
        "LeftParotid": box(slice(4, 8), slice(30, 34), slice(50, 54)),
        "RightParotid": box(slice(4, 8), slice(30, 34), slice(10, 14)),
    }
    boxes = {name: box(*where) for name, where in targets.items()}
    body = Volume(np.zeros((32, 64, 64), dtype=np.int16), affine)
    return Case("a", patient="a", ct=body, structures={**parotids, **boxes})


WHOLE, MIDDLE = slice(8, 16), slice(28, 36)


@pytest.mark.parametrize(
    ("targets", "kind"),
    [
        ({"PTV70": (WHOLE, MIDDLE, slice(8, 16))}, 1),
        ({"PTV70": (WHOLE, MIDDLE, slice(48, 56))}, 2),
        ({"PTV70": (WHOLE, MIDDLE, slice(30, 34))}, 0),
        ({"PTV70": (WHOLE, MIDDLE, slice(4, 60))}, 3),
        ({"PTV70": (slice(0, 32), slice(0, 64), slice(0, 20))}, 4 + 1),
        (
            {
                "PTV56": (WHOLE, MIDDLE, slice(8, 16)),
                "PTV70": (WHOLE, MIDDLE, slice(48, 56)),
            },
            8 + 2,
        ),
        ({}, -1),
    ],
)
def test_targets_are_told_apart_by_number_size_and_side(targets, kind):
    assert target_kind(marked(targets)) == kind


def test_the_primary_target_has_the_highest_level_and_the_brightest_label():
    box = (WHOLE, MIDDLE, slice(28, 36))
    case = marked({"PTV56": (WHOLE, slice(40, 48), slice(28, 36)), "PTV70": box})
    assert primary_target(case) == "PTV_70"
    grid = VolumeSettings(size=32, pixel_mm=4.0, slice_mm=2.0, channels=("structures",))
    labels = np.unique(np.round(case_volume(case, grid), 3))
    assert PRIMARY in labels
    assert round(ORGAN, 3) in labels


def test_a_missing_channel_is_named():
    with pytest.raises(InputError, match="has no dose"):
        case_volume(replace(phantom(0, 0), dose=None), VolumeSettings(channels=("dose",)))
    with pytest.raises(InputError, match="channels must be some of"):
        VolumeSettings(channels=("mr",))


def test_an_encoder_of_volumes_encodes_cases(rng, tmp_path):
    grid = VolumeSettings(size=16, pixel_mm=16.0, slice_mm=16.0)
    _, training = trained(rng, Reconstruction(), about={"volume": grid.to_json()})
    VolumeEncoder(training.encoder).save(tmp_path / "volume.safetensors")
    kept = load_encoder(tmp_path / "volume.safetensors", VolumeEncoder)
    case = phantom(0, 0)
    expected = training.encoder.encode(case_volume(case, grid)[None])[0]
    assert kept.encode_case(case).tobytes() == expected.tobytes()
    assert (kept.dim, kept.digest) == (6, training.encoder.digest)
