"""A key of pseudonyms for the tests, and small cases that are quick to write as DICOM."""

import functools

import numpy as np
import pytest

from isohash.records import Case, Volume


@pytest.fixture(autouse=True)
def key_file(tmp_path_factory, monkeypatch):
    """Never touch the user's own key."""
    path = tmp_path_factory.mktemp("key") / "pseudonym.key"
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(path))
    return path


def small_case(rng, name="small", shape=(5, 9, 12), spacing=(5.0, 2.0, 1.0), patient=""):
    """An asymmetric case on an anisotropic grid: an L, a ring, two islands."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[:3, 3], affine[3, 3] = (-7.5, 12.25, -30.0), 1
    masks = {name: np.zeros(shape, dtype=bool) for name in ("Larynx", "Rectum", "PTV60")}
    masks["Larynx"][1:4, 2:7, 3] = masks["Larynx"][1:4, 6, 3:6] = True
    masks["Rectum"][2, 1:8, 2:11] = True
    masks["Rectum"][2, 3:6, 4:9] = False
    masks["PTV60"][1, 1:3, 1:3] = masks["PTV60"][1, 3:5, 3:5] = masks["PTV60"][3, 7, 9] = True
    return Case(
        id=name,
        ct=Volume(rng.integers(-1024, 2000, shape).astype(np.int16), affine),
        dose=Volume(rng.uniform(0, 60, shape).astype(np.float32), affine),
        structures={name: Volume(mask, affine) for name, mask in masks.items()},
        prescription_gy=60.0,
        patient=patient,
    )


@pytest.fixture
def make_case(rng):
    """`small_case` with the test's generator."""
    return functools.partial(small_case, rng)


@pytest.fixture
def case(make_case):
    return make_case()


@pytest.fixture
def folder(tmp_path, case):
    """The case as DICOM files."""
    from isohash.sources.dicom.writer import write_dicom

    write_dicom(case, tmp_path)
    return tmp_path
