"""Case-level encoders: scaling, absent structures, prediction of the plan, files."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.kernel_ridge import KernelRidge

from isohash.errors import InputError
from isohash.features.case_encoders import (
    GEOMETRY_PARTS,
    PARTS,
    case_vector,
    fit_geometry,
    fit_plan,
)
from isohash.features.encoders import load_case_encoder, load_encoder
from isohash.features.geometry import (
    GeometrySettings,
    common_structures,
    dvh_features,
)
from isohash.records import Case, Volume

SETTINGS = GeometrySettings(("PTV_70",), ("Larynx", "SpinalCord"), percentiles=(10, 50, 90))
N_VECTOR = 2 * 2 * 3 + 2 * 2 + 1 + 3 * 7  # overlap, heights, presence, signature


def random_vectors(rng: np.random.Generator, n: int = 60) -> np.ndarray:
    """Vectors of different units and means; a fifth of the cases lack the first organ."""
    vectors = rng.normal(5.0, rng.uniform(0.5, 20.0, N_VECTOR), size=(n, N_VECTOR))
    vectors[: n // 5, :3] = np.nan
    return vectors


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    z, y, x = np.indices((24, 32, 32))
    return sum(((a - c) ** 2 for a, c in zip((z, y, x), centre, strict=True))) < radius**2


def patient(shift: float, radius: float) -> Case:
    """A target at `shift` voxels from the cord, and a dose that falls off around it."""
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, 4.0], [0, 4.0, 0], [-4.0, 0, 0]]
    target, cord = ball((12, 12, 6 + shift), radius), ball((12, 22, 16), 3.0)
    at = np.argwhere(target).mean(axis=0)
    distance = np.sqrt(sum((i - c) ** 2 for i, c in zip(np.indices(target.shape), at, strict=True)))
    dose = 70.0 / (1.0 + np.exp((distance - radius - 1.0) / 1.5))
    masks = {"PTV70": target, "Cord": cord, "Larynx": ball((12, 10, 16), 3.0)}
    return Case(
        f"{shift:.2f} {radius:.2f}",
        dose=Volume(dose, affine),
        structures={name: Volume(mask, affine) for name, mask in masks.items()},
    )


def test_every_part_has_the_variance_of_its_weight(rng):
    vectors = random_vectors(rng)
    embeddings = fit_geometry(vectors, SETTINGS).encode_vectors(vectors)
    parts = np.split(embeddings, np.cumsum([12, 4, 1]), axis=1)
    for name, part in zip(GEOMETRY_PARTS, parts, strict=True):
        assert part.var(axis=0).sum() == pytest.approx(PARTS[name].weight ** 2, rel=1e-5)


def test_entries_of_different_units_count_alike_and_those_of_one_unit_do_not(rng):
    vectors = random_vectors(rng)
    embeddings = fit_geometry(vectors, SETTINGS).encode_vectors(vectors)
    signature = embeddings[:, -21:].std(axis=0)
    np.testing.assert_allclose(signature, signature[0], rtol=1e-5)
    overlap = embeddings[:, :12].std(axis=0) / np.nan_to_num(vectors[:, :12], nan=0).std(axis=0)
    np.testing.assert_allclose(overlap[3:], overlap[3], rtol=1e-5)


def test_what_is_absent_is_the_average_case(rng):
    vectors = random_vectors(rng)
    encoder = fit_geometry(vectors, SETTINGS)
    nothing = encoder.encode_vectors(np.full((1, N_VECTOR), np.nan))
    np.testing.assert_array_equal(nothing, 0.0)
    assert (encoder.encode_vectors(vectors)[:12, :3] == 0).all()


def test_entries_that_never_vary_or_never_occur_play_no_part(rng):
    vectors = random_vectors(rng)
    vectors[:, 4] = 7.0
    vectors[:, 5] = np.nan
    encoder = fit_geometry(vectors, SETTINGS)
    vectors[:, 4:6] = rng.normal(size=(len(vectors), 2))
    assert (encoder.encode_vectors(vectors)[:, 4:6] == 0).all()


def test_the_prediction_is_that_of_kernel_ridge_regression(rng):
    vectors = random_vectors(rng)
    histograms = rng.uniform(0, 70, size=(60, 9))
    encoder = fit_plan(vectors[:40], histograms[:40], SETTINGS, ridge=0.2, width=2.0)
    geometry = fit_geometry(vectors[:40], SETTINGS)
    x = geometry.encode_vectors(vectors).astype(np.float64)
    oracle = KernelRidge(alpha=0.2, kernel="rbf", gamma=1.0 / encoder.bandwidth)
    oracle.fit(x[:40], histograms[:40] - histograms[:40].mean(axis=0))
    wanted = oracle.predict(x)
    wanted /= np.sqrt(wanted[:40].var(axis=0).sum())
    np.testing.assert_allclose(encoder.encode_vectors(vectors)[:, :9], wanted, atol=1e-4)


def test_near_in_the_plan_encoder_means_near_in_plan(rng):
    cases = [patient(rng.uniform(0, 12), rng.uniform(2.5, 5.0)) for _ in range(60)]
    settings = common_structures(cases)
    assert settings.organs == ("Larynx", "SpinalCord")
    vectors = np.array([case_vector(case, settings) for case in cases])
    histograms = np.array([dvh_features(case, settings) for case in cases])
    new = slice(40, 60)
    encoder = fit_plan(vectors[:40], histograms[:40], settings, mix=0.0)
    pairs = np.triu_indices(20, 1)

    def distances(values: np.ndarray) -> np.ndarray:
        return np.linalg.norm(values[pairs[0]] - values[pairs[1]], axis=1)

    found = encoder.encode_vectors(vectors[new])
    assert spearmanr(distances(found), distances(histograms[new])).statistic > 0.8


def test_the_embedding_of_a_case_does_not_depend_on_its_company(rng):
    vectors = random_vectors(rng)
    encoder = fit_plan(vectors, rng.normal(size=(60, 5)), SETTINGS)
    together = encoder.encode_vectors(vectors)
    assert encoder.encode_vectors(vectors[7:8]).tobytes() == together[7].tobytes()


def test_a_case_encoder_survives_its_file(rng, tmp_path):
    case = patient(3.0, 3.0)
    vectors = random_vectors(rng)
    for encoder in (
        fit_geometry(vectors, SETTINGS),
        fit_plan(vectors, rng.normal(size=(60, 5)), SETTINGS),
    ):
        path = tmp_path / f"{encoder.name}.safetensors"
        encoder.save(path)
        loaded = load_case_encoder(path)
        assert (loaded.digest, loaded.dim, loaded.name) == (
            encoder.digest,
            encoder.dim,
            encoder.name,
        )
        embedding = loaded.encode_case(case)
        assert embedding.shape == (encoder.dim,)
        assert embedding.tobytes() == encoder.encode_case(case).tobytes()
        with pytest.raises(InputError, match="load_case_encoder"):
            load_encoder(path)


def test_impossible_fits_are_refused(rng):
    vectors = random_vectors(rng)
    with pytest.raises(InputError, match="at least 2 cases"):
        fit_geometry(vectors[:1], SETTINGS)
    with pytest.raises(InputError, match="histograms of 59 cases"):
        fit_plan(vectors, np.zeros((59, 3)), SETTINGS)
    with pytest.raises(InputError, match="same geometry"):
        fit_plan(np.ones_like(vectors), np.zeros((60, 3)), SETTINGS)
    with pytest.raises(InputError, match="unknown parts"):
        case_vector(patient(1.0, 3.0), SETTINGS, ("shape",))
