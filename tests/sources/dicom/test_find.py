"""DICOM round trips: what is written comes back, in every patient position, whatever the names."""

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.sources.dicom.writer import POSITIONS, WriteOptions, write_dicom
from isohash.sources.openkbp import read_npz_case
from isohash.sources.phantom import phantom_case
from isohash.sources.reading import find, read_case, read_cases


def assert_same(read, written):
    np.testing.assert_array_equal(read.ct.array, written.ct.array)
    np.testing.assert_allclose(read.ct.affine, written.ct.affine, atol=1e-9)
    np.testing.assert_allclose(read.dose.array, written.dose.array, atol=1e-5)
    assert set(read.structures) == set(written.structures)
    for name, mask in written.structures.items():
        np.testing.assert_array_equal(read.structures[name].array, mask.array, err_msg=name)
    assert read.prescription_gy == written.prescription_gy


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("position", POSITIONS)
def test_a_case_comes_back_from_every_patient_position(tmp_path, case, position, absolute):
    options = WriteOptions(position=position, absolute_offsets=absolute)
    write_dicom(case, tmp_path, options)
    read = read_case(tmp_path)
    assert_same(read, case)
    assert read.warnings == ()


def test_file_names_and_folders_mean_nothing(tmp_path, rng, make_case):
    names = [f"{rng.integers(1 << 60):x}" for _ in range(100)]
    cases = [make_case(f"case{n}") for n in range(3)]
    for n, case in enumerate(cases):
        order = iter(names[30 * n :])
        options = WriteOptions(file_name=lambda kind, number, order=order: next(order))
        write_dicom(case, tmp_path / ("deeper" if n else ""), options)
    found = {case.patient: case for case in read_cases(tmp_path)}
    assert len(found) == 3
    for case in cases:
        doses = [read.dose.array for read in found.values()]
        assert sum(np.allclose(dose, case.dose.array, atol=1e-5) for dose in doses) == 1


def test_a_phantom_comes_back(tmp_path):
    case = phantom_case(1, 0, shape=(20, 64, 64))
    write_dicom(case, tmp_path)
    assert_same(read_case(tmp_path), case)


def test_a_real_patient_comes_back(tmp_path, shared_data):
    case = read_npz_case(shared_data / "openkbp" / "validation" / "pt_201.npz")
    write_dicom(case, tmp_path)
    read = read_case(tmp_path)
    np.testing.assert_array_equal(read.ct.array, case.ct.array[::-1])  # now from the feet up
    np.testing.assert_allclose(read.dose.array, case.dose.array[::-1], atol=1e-5)
    for name, mask in case.structures.items():
        np.testing.assert_array_equal(read.structures[name].array, mask.array[::-1])
    first = read.ct.affine @ [0, 0, 0, 1]
    np.testing.assert_allclose(first, case.ct.affine @ [127, 0, 0, 1])


def test_the_same_case_gives_the_same_files(tmp_path, case):
    for folder in ("a", "b"):
        write_dicom(case, tmp_path / folder)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_parts_that_a_case_lacks_are_none_when_read(tmp_path, case):
    for file in write_dicom(case, tmp_path):
        if file.name[:2] != "CT":
            file.unlink()
    read = read_case(tmp_path)
    assert read.dose is None
    assert read.structures == {}
    assert read.prescription_gy is None
    np.testing.assert_array_equal(read.ct.array, case.ct.array)


def test_a_dose_without_ct_keeps_its_grid_and_says_so(tmp_path, case):
    for file in write_dicom(case, tmp_path):
        if file.name[:2] == "CT":
            file.unlink()
    read = read_case(tmp_path)
    assert read.ct is None
    np.testing.assert_allclose(read.dose.array, case.dose.array, atol=1e-5)
    np.testing.assert_array_equal(read.structures["Larynx"].array, case.structures["Larynx"].array)
    assert any("keeps its grid" in warning for warning in read.warnings)


def test_the_fingerprint_follows_the_files_and_the_key_names_the_case(tmp_path, case):
    files = write_dicom(case, tmp_path)
    first = find(tmp_path).found[0]
    again = find(tmp_path).found[0]
    assert (first.key, first.fingerprint) == (again.key, again.fingerprint)
    files[-1].write_bytes(files[-1].read_bytes() + b"\0\0")
    assert find(tmp_path).found[0].fingerprint != first.fingerprint


def test_a_single_slice_is_refused_with_the_folder_as_next_step(tmp_path, case):
    write_dicom(case, tmp_path)
    with pytest.raises(InputError, match=r"one slice only.*give the folder"):
        find(tmp_path / "CT.0000.dcm")
