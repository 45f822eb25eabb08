"""Real head-and-neck patients, written as DICOM in all positions and mixed, come back unchanged."""

import random
import shutil

import numpy as np
import pydicom
import pydicom.data
import pytest

from isohash.dosimetry.dvh import dvh
from isohash.sources.dicom.writer import POSITIONS, WriteOptions, write_dicom
from isohash.sources.openkbp import read_npz_case
from isohash.sources.reading import find


@pytest.mark.slow
def test_real_patients_in_one_folder_come_back_whole(tmp_path, shared_data):
    chance = random.Random(0)
    files = sorted((shared_data / "openkbp" / "validation").glob("*.npz"))[:8]
    cases = [read_npz_case(file) for file in files]
    for case, position in zip(cases, POSITIONS, strict=True):
        options = WriteOptions(
            position=position,
            absolute_offsets=chance.random() < 0.5,
            file_name=lambda kind, number: f"{chance.getrandbits(60):015x}",
        )
        write_dicom(case, tmp_path, options)
    for name in ("MR_small.dcm", "reportsi.dcm", "rtplan.dcm"):
        shutil.copy(pydicom.data.get_testdata_file(name, download=False), tmp_path)
    findings = find(tmp_path)
    assert len(findings.found) == len(cases)
    assert len(findings.skipped) == 3
    matched = set()
    for found in findings.found:
        read = found.read()
        same = [n for n, case in enumerate(cases) if is_same(read, case)]
        assert len(same) == 1
        matched.add(same[0])
    assert len(matched) == len(cases)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_patient_comes_back_whole(tmp_path, shared_data):
    """All cases of OpenKBP, in patient positions by turns and both conventions of offsets."""
    files = sorted((shared_data / "openkbp").glob("*/pt_*.npz"))
    assert files
    for number, file in enumerate(files):
        case = read_npz_case(file)
        position = list(POSITIONS)[number % len(POSITIONS)]
        write_dicom(
            case, tmp_path, WriteOptions(position=position, absolute_offsets=number % 3 == 0)
        )
        (found,) = find(tmp_path).found
        assert is_same(found.read(), case), file.name
        for written in tmp_path.iterdir():
            written.unlink()


def is_same(read, written):
    """The CT decides which case it is; everything else must then agree."""
    if not np.array_equal(read.ct.array, written.ct.array[::-1]):
        return False
    np.testing.assert_allclose(read.dose.array, written.dose.array[::-1], atol=1e-6)
    assert read.warnings == ()
    assert read.prescription_gy == written.prescription_gy
    assert set(read.structures) == set(written.structures)
    for name, mask in written.structures.items():
        np.testing.assert_array_equal(read.structures[name].array, mask.array[::-1])
        # contours are sampled finely, so the mask is as well; spacings are written to 16 digits
        ours = dvh(read.dose, read.structures[name])
        theirs = dvh(written.dose, mask, supersample=3)
        assert ours.volume_cc == pytest.approx(theirs.volume_cc, rel=1e-5)
        assert ours.mean_gy == pytest.approx(theirs.mean_gy, abs=0.3)
    return True
