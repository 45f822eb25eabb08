"""Case-level encoders: scaling, absent structures, files."""

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.features.cases.geometry_settings import GEOMETRY_PARTS, GeometrySettings
from isohash.features.cases.vector import PARTS, case_vector
from isohash.features.encoders.case_encoders import CaseEncoder, fit_geometry
from isohash.features.encoders.encoders import load_encoder
from small_patients import two_organs

SETTINGS = GeometrySettings(("PTV_70",), ("Larynx", "SpinalCord"), percentiles=(10, 50, 90))
N_VECTOR = 2 * 2 * 3 + 2 * 2 + 1 + 3 * 7  # overlap, heights, presence, signature


def random_vectors(rng: np.random.Generator, n: int = 60) -> np.ndarray:
    """Vectors of different units and means; a fifth of the cases lack the first organ."""
    vectors = rng.normal(5.0, rng.uniform(0.5, 20.0, N_VECTOR), size=(n, N_VECTOR))
    vectors[: n // 5, :3] = np.nan
    return vectors


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


def test_the_embedding_of_a_case_does_not_depend_on_its_company(rng):
    vectors = random_vectors(rng)
    encoder = fit_geometry(vectors, SETTINGS)
    together = encoder.encode_vectors(vectors)
    assert encoder.encode_vectors(vectors[7:8]).tobytes() == together[7].tobytes()


def test_a_case_encoder_survives_its_file(rng, tmp_path):
    case = two_organs(3.0, 3.0)
    encoder = fit_geometry(random_vectors(rng), SETTINGS)
    path = tmp_path / "geometry.safetensors"
    encoder.save(path)
    loaded = load_encoder(path, CaseEncoder)
    assert (loaded.digest, loaded.dim, loaded.name) == (encoder.digest, encoder.dim, encoder.name)
    assert loaded.encode_case(case).tobytes() == encoder.encode_case(case).tobytes()
    with pytest.raises(InputError, match="load_encoder\\(path, CaseEncoder\\)"):
        load_encoder(path)


def test_impossible_fits_are_refused(rng):
    with pytest.raises(InputError, match="at least 2 cases"):
        fit_geometry(random_vectors(rng)[:1], SETTINGS)
    with pytest.raises(InputError, match="unknown parts"):
        case_vector(two_organs(1.0, 3.0), SETTINGS, ("shape",))
