"""Principal components: the right subspace, the same bytes, the same file."""

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.features.encoders.encoders import load_encoder
from isohash.features.encoders.pca import fit_pca


def smooth_images(rng: np.random.Generator, n: int, size: int = 16) -> np.ndarray:
    """Random mixtures of 40 smooth patterns with falling weights, constant on 2 x 2 squares."""
    patterns = rng.standard_normal((40, size // 2, size // 2)).repeat(2, axis=1).repeat(2, axis=2)
    weights = rng.standard_normal((n, 40)) * 0.8 ** np.arange(40)
    return np.einsum("nk,kyx->nyx", weights, patterns).astype(np.float32)


def test_components_agree_with_the_eigenvectors_of_the_covariance(rng):
    images = smooth_images(rng, 200)
    encoder = fit_pca(images, dim=10, pool=2)
    pooled = images[:, ::2, ::2].reshape(200, -1).astype(np.float64)  # constant on the squares
    values, vectors = np.linalg.eigh(np.cov(pooled.T))
    for i in range(10):
        assert abs(encoder.components[i] @ vectors[:, -1 - i]) == pytest.approx(1.0, abs=1e-4)
    share = values[::-1][:10] / values.sum()
    np.testing.assert_allclose(encoder.explained, share, rtol=1e-4)


def test_components_are_orthonormal_with_a_fixed_sign(rng):
    encoder = fit_pca(smooth_images(rng, 60), dim=12)
    np.testing.assert_allclose(encoder.components @ encoder.components.T, np.eye(12), atol=1e-5)
    peaks = np.abs(encoder.components).argmax(axis=1)
    assert (encoder.components[np.arange(12), peaks] > 0).all()


def test_with_all_components_distances_are_kept(rng):
    images = smooth_images(rng, 90)
    encoder = fit_pca(images, dim=40, pool=1)
    embeddings = encoder.encode(images).astype(np.float64)
    for a, b in rng.integers(0, 90, size=(50, 2)):
        pixels = np.linalg.norm(images[a].astype(np.float64) - images[b])
        assert np.linalg.norm(embeddings[a] - embeddings[b]) == pytest.approx(pixels, abs=1e-3)
    np.testing.assert_allclose(encoder.reconstruct(images), images, atol=1e-4)


def test_the_embedding_of_an_image_does_not_depend_on_its_company(rng):
    images = smooth_images(rng, 53)
    encoder = fit_pca(images, dim=8)
    together = encoder.encode(images)
    for i in (0, 15, 16, 37, 52):
        assert encoder.encode(images[i : i + 1]).tobytes() == together[i].tobytes()
    assert encoder.encode(images[::-1]).tobytes() == together[::-1].tobytes()
    assert encoder.encode(images[:0]).shape == (0, 8)


def test_blocks_give_the_same_encoder_as_one_array(rng):
    images = smooth_images(rng, 70)
    whole = fit_pca(images, dim=6, random_state=3)
    blocks = fit_pca((images[i : i + 11] for i in range(0, 70, 11)), dim=6, random_state=3)
    assert whole.digest == blocks.digest


def test_fitting_leaves_the_images_alone(rng):
    images = smooth_images(rng, 40)
    before = images.copy()
    fit_pca(images, dim=4, pool=1)
    np.testing.assert_array_equal(images, before)


def test_the_file_gives_back_the_same_encoder(rng, tmp_path):
    images = smooth_images(rng, 40)
    encoder = fit_pca(images, dim=5, name="ct-pca", settings={"slices": {"size": 16}})
    encoder.save(tmp_path / "a.safetensors")
    loaded = load_encoder(tmp_path / "a.safetensors")
    assert (loaded.name, loaded.dim, loaded.size, loaded.digest) == (
        "ct-pca",
        5,
        16,
        encoder.digest,
    )
    assert loaded.encode(images).tobytes() == encoder.encode(images).tobytes()
    loaded.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_the_digest_follows_weights_and_settings(rng):
    images = smooth_images(rng, 40)
    digests = {
        fit_pca(images, dim=5).digest,
        fit_pca(images, dim=5, settings={"window": 1}).digest,
        fit_pca(images + np.float32(0.5), dim=5).digest,
        fit_pca(images, dim=4).digest,
    }
    assert len(digests) == 4
    assert fit_pca(images, dim=5).digest in digests


def test_a_damaged_file_is_refused(rng, tmp_path):
    path = tmp_path / "a.safetensors"
    fit_pca(smooth_images(rng, 40), dim=5).save(path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        load_encoder(path)
    path.write_bytes(content[:100])
    with pytest.raises(InputError, match="not an isohash safetensors file"):
        load_encoder(path)
    with pytest.raises(InputError, match="no encoder file"):
        load_encoder(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("dim", [0, 41, 65])
def test_impossible_dimensions_are_refused(rng, dim):
    with pytest.raises(InputError, match="dim must lie between 1 and 40"):
        fit_pca(smooth_images(rng, 40), dim=dim)


def test_images_of_another_size_are_refused(rng):
    encoder = fit_pca(smooth_images(rng, 40), dim=4)
    with pytest.raises(InputError, match=r"\(n, 16, 16\)"):
        encoder.encode(np.zeros((3, 8, 8)))
    with pytest.raises(InputError, match="pool must divide"):
        fit_pca(smooth_images(rng, 40), dim=4, pool=3)
