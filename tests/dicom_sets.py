"""Changes to written DICOM sets, for the tests of reading them."""

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from isohash.sources.reading import find, read_case


def change(path, to=None, **values):
    """Rewrite a DICOM file with other values (None deletes), perhaps as a new file."""
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(to or path)
    return to or path


def new_uid():
    """Fresh by number, so that tests stay the same from run to run."""
    new_uid.count += 1
    return generate_uid(entropy_srcs=[str(new_uid.count)])


new_uid.count = 0


def part(folder, kind, number=0):
    return folder / f"{kind}.{number:04d}.dcm"


def reasons(findings):
    return [skip.reason for skip in findings.skipped]


def assert_geometry(case, slices):
    """What was accepted is a sound case, and each slice lies where its own header says.

    Corners of every file are placed by the formula of PS3.3 C.7.6.2.1.1, apart from our code.
    """
    assert np.isfinite(case.ct.affine).all()
    assert all(0 < mm < 1000 for mm in case.ct.spacing_mm)
    for volume in (case.dose, *case.structures.values()):
        assert volume is None or volume.array.shape == case.ct.array.shape
    if case.dose is not None:
        assert np.isfinite(case.dose.array).all()
        assert 0 <= case.dose.array.min() <= case.dose.array.max() <= 1000
    uneven = any("unevenly spaced" in warning for warning in case.warnings)
    to_index, ends = np.linalg.inv(case.ct.affine), np.array(case.ct.array.shape) - 1
    for file in slices:
        dataset = pydicom.dcmread(file, force=True)
        position, turn = (
            np.array([[*dataset.ImagePositionPatient]], float),
            dataset.ImageOrientationPatient,
        )
        row, column = np.array(turn[:3], float), np.array(turn[3:], float)
        row_mm, column_mm = map(float, dataset.PixelSpacing)
        for r, c in ((0, 0), (dataset.Rows - 1, dataset.Columns - 1)):
            point = position[0] + c * column_mm * row + r * row_mm * column
            at = to_index[:3, :3] @ point + to_index[:3, 3]
            off = np.abs(at - np.rint(at))
            assert (off < 0.1).sum() >= (2 if uneven else 3), (file, at)
            assert (at > -0.5).all()
            assert (at < ends + 0.5).all()


def rewrite(folder, edit, kinds=("CT",)):
    """Change the data sets of some kinds of files by a function."""
    for path in sorted(folder.iterdir()):
        if path.name[:2] in kinds:
            dataset = pydicom.dcmread(path)
            edit(dataset)
            dataset.save_as(path)


def assert_same(read, case, dose_atol=1e-5):
    np.testing.assert_array_equal(read.ct.array, case.ct.array)
    np.testing.assert_allclose(read.ct.affine, case.ct.affine, atol=1e-9)
    np.testing.assert_allclose(read.dose.array, case.dose.array, atol=dose_atol)
    assert set(read.structures) == set(case.structures)
    for name, mask in case.structures.items():
        np.testing.assert_array_equal(read.structures[name].array, mask.array)


def item(**values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])


def told(case, *words):
    return any(all(word in warning for word in words) for warning in case.warnings)


def assert_dose_is_skipped(folder, reason):
    """The dose is passed over for that reason, and the CT is a case without it, which says so."""
    findings = find(folder)
    assert any(reason in skipped for skipped in reasons(findings))
    for found in findings.found:
        case = found.read()
        assert case.dose is None
        assert any("dose beside this CT cannot be used" in warning for warning in case.warnings)


def assert_dose_is_told(folder, message):
    """The dose turns out bad when it is read: the CT stays a case, with that warning."""
    case = read_case(folder)
    assert case.dose is None
    assert case.ct is not None
    assert len(case.structures) == 3
    (told,) = (w for w in case.warnings if "dose beside this CT cannot be used" in w)
    assert message in told
    assert str(folder) not in told  # a path may hold a name
