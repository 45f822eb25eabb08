"""The encoders in the package: there, whole, and usable without torch."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from isohash.dosimetry.plan_distance import plan_distances
from isohash.errors import InputError
from isohash.features.cases.measures import measure
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import case_slices, encoder_input
from isohash.features.encoders.downsampled import DownsampledEncoder
from isohash.features.encoders.reconstruction import reconstruction_errors
from isohash.features.encoders.shipped import (
    OPENKBP_GEOMETRY,
    shipped_by_digest,
    shipped_dose_calibration,
    shipped_dose_model,
    shipped_encoder,
    shipped_names,
    shipped_plan_encoder,
)
from isohash.sources.phantom import phantom_case
from isohash.sources.reading import read_cases

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_encoder_encodes_a_phantom(name):
    encoder = shipped_encoder(name)
    settings = SliceSettings.from_json(encoder.settings["slices"])
    view = case_slices(phantom_case(0, 0), settings)
    embeddings = encoder.encode(encoder_input(view, encoder.settings["kind"]))
    assert embeddings.shape == (len(view), encoder.dim)
    assert np.isfinite(embeddings).all()
    assert encoder.name == name


def test_an_unknown_shipped_encoder_is_refused():
    with pytest.raises(InputError, match="no shipped encoder 'ct-vast'"):
        shipped_encoder("ct-vast")


def test_the_shipped_plan_encoder_foresees_the_doses_of_a_phantom():
    case = phantom_case(0, 0)
    encoder = shipped_plan_encoder()
    assert encoder.settings == OPENKBP_GEOMETRY
    predicted = encoder.predict(measure(case, encoder.settings))
    has = measure(case).has(encoder.settings)
    assert (np.isfinite(predicted).all(axis=1) == has).all()
    assert (np.diff(predicted[has], axis=1) <= 0).all()  # doses fall as the volume grows


def test_shipped_encoders_need_neither_torch_nor_sklearn():
    program = """
import sys, numpy as np
from isohash.features.encoders.shipped import shipped_encoder, shipped_names, shipped_plan_encoder
shipped_plan_encoder()
for name in shipped_names():
    encoder = shipped_encoder(name)
    encoder.encode(np.zeros((1, encoder.size, encoder.size)))
print(sorted({"torch", "sklearn", "onnx", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_names())
def test_shipped_encoders_remember_unseen_patients_better_than_a_coarse_grid(name, shared_data):
    encoder = shipped_encoder(name)
    kind = encoder.settings["kind"]
    settings = SliceSettings.from_json(encoder.settings["slices"])
    cases = read_cases(shared_data / "openkbp" / "validation")
    views = [case_slices(case, settings) for case in cases]
    images = np.concatenate([encoder_input(v, kind)[v.has_dose][::10] for v in views])
    learned, _ = reconstruction_errors(encoder, images, kind, settings)
    coarse, _ = reconstruction_errors(DownsampledEncoder(side=16), images, kind, settings)
    assert learned.mean() < 0.5 * coarse.mean()  # with half as many numbers


@pytest.mark.slow
def test_the_plan_encoder_is_made_again_and_ranks_plans_it_has_not_seen(shared_data, tmp_path):
    train = shared_data / "openkbp" / "train"
    program = runpy.run_path(str(ROOT / "benchmarks" / "train_shipped.py"))
    remade, shipped = program["make_shipped_plan"](train, tmp_path), shipped_plan_encoder()
    new = [measure(case) for case in read_cases(shared_data / "openkbp" / "validation")]
    predicted = np.array([shipped.predict(case) for case in new])
    # Not to the bit: the solution of 169 equations depends on the linear algebra library.
    again = np.array([remade.predict(case) for case in new])
    np.testing.assert_allclose(again, predicted, atol=1e-3)
    doses = np.array([case.doses(OPENKBP_GEOMETRY) for case in new])
    pairs = ~np.eye(len(new), dtype=bool)
    told, true = plan_distances(predicted, doses), plan_distances(doses, doses)
    assert spearmanr(told[pairs], true[pairs]).statistic > 0.85


def test_the_dose_model_and_its_bands_are_of_the_same_plans() -> None:
    model, calibration = shipped_dose_model(), shipped_dose_calibration()
    assert model.about["plans"] == 169
    assert model.about["data_digest"] == calibration.about["data_digest"]
    assert calibration.settings == OPENKBP_GEOMETRY
    assert shipped_by_digest(model.digest) == model.to_bytes()
