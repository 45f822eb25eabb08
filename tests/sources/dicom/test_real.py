"""Real DICOM files: the shared clinical sets, and the odd files that pydicom ships."""

import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pydicom.dicomio
import pytest

from isohash.dosimetry.dvh import dvh
from isohash.dosimetry.structures import rasterise
from isohash.errors import InputError
from isohash.records import Volume
from isohash.sources.reading import find, read_case, read_cases


@pytest.fixture(scope="module")
def breast(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("breast")
    with zipfile.ZipFile(shared_data / "rt_breast_boost_dicom" / "breast_boost_rt.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def lung(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lung")
    path = shared_data / "lung_ct_rtstruct_dicom" / "lung_ct_rtstruct_4pat.zip"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def plan(breast, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISOHASH_KEY_FILE", str(tmp_path_factory.mktemp("key") / "pseudonym.key"))
        return read_case(breast)


@pytest.fixture(scope="module")
def contours_by_name(breast):
    """The contours as pydicom gives them, past our own reader."""
    file = next(path for path in breast.rglob("*.dcm") if path.name == "rtss.dcm")
    dataset = pydicom.dcmread(file)
    names = {roi.ROINumber: roi.ROIName for roi in dataset.StructureSetROISequence}
    return {
        names[roi.ReferencedROINumber]: [
            np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            for contour in roi.get("ContourSequence", [])
        ]
        for roi in dataset.ROIContourSequence
    }


def stored_dvhs(folder):
    """Doses in Gy and volumes in cc that the planning system stored, by ROI number."""
    dataset = pydicom.dcmread(next(folder.rglob("rtdose.dcm")), stop_before_pixels=True)
    for item in dataset.DVHSequence:
        data = np.array(item.DVHData, dtype=float).reshape(-1, 2)
        doses = np.concatenate([[0.0], np.cumsum(data[:, 0])])
        yield item.DVHReferencedROISequence[0].ReferencedROINumber, doses, np.append(data[:, 1], 0)


def test_the_breast_plan_is_read_on_its_dose_grid(plan):
    case = plan
    assert case.prescription_gy == 14.0
    assert case.ct is None  # one slice only
    assert case.dose.array.shape == (98, 129, 194)
    assert case.dose.array.max() == pytest.approx(14.680764)
    assert "structure ROI 2 (organ) left out: it is empty: it has no contours" in case.warnings
    assert len(case.structures) == 9


@pytest.mark.parametrize("name", ["Breast", "Heart", "Lt Lung", "Nodes", "Tumor Bed", "BODY"])
def test_dvhs_match_those_the_planning_system_stored(breast, plan, contours_by_name, name):
    """Everywhere within 1 % of volume or 1 % of the prescribed dose (0.14 Gy).

    This planning system continues no structure beyond its outer contours, hence end_cap = 0.
    """
    case = plan
    number = list(contours_by_name).index(name) + 1
    doses, volumes = next((d, v) for roi, d, v in stored_dvhs(breast) if roi == number)
    stored = volumes / volumes[0]
    shape = case.dose.array.shape
    drawn = rasterise(contours_by_name[name], case.dose.affine, shape, end_cap=0.0)
    ours = dvh(case.dose, Volume(drawn.shares, case.dose.affine), bin_gy=0.01)
    share = np.array([ours.v(gy) for gy in doses]) / 100
    low = np.interp(doses + 0.14, doses, stored, right=0)
    high = np.interp(doses - 0.14, doses, stored, left=1)
    assert (share >= low - 0.01).all()
    assert (share <= high + 0.01).all()
    if volumes[0] > 10 and name != "BODY":  # the system cuts the body at the couch
        assert ours.volume_cc == pytest.approx(volumes[0], rel=0.01)


@pytest.mark.parametrize("name", ["Heart", "Tumor Bed", "Tumor Bed Block"])
def test_volumes_are_those_of_the_polygons(breast, plan, contours_by_name, name):
    """Areas by the shoelace formula: these structures have one contour in each plane."""
    case = plan
    contours = contours_by_name[name]
    areas = [
        abs(c[:, 0] @ np.roll(c[:, 1], -1) - c[:, 1] @ np.roll(c[:, 0], -1)) / 2 for c in contours
    ]
    shares = rasterise(contours, case.dose.affine, case.dose.array.shape).shares
    assert shares.sum() * case.dose.voxel_cc == pytest.approx(sum(areas) * 3 / 1000, rel=1e-3)


def test_dvhs_agree_with_dicompyler(breast, plan, monkeypatch):
    """An independent program on the same files, without its interpolation."""
    # Its last release asks for a name that pydicom 3 has dropped.
    monkeypatch.setattr(pydicom.dicomio, "read_file", pydicom.dcmread, raising=False)
    dvhcalc = pytest.importorskip("dicompylercore.dvhcalc")
    files = [str(next(breast.rglob(name))) for name in ("rtss.dcm", "rtdose.dcm")]
    case = plan
    for number, name in ((5, "Heart"), (4, "Breast"), (6, "Lt Lung")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = dvhcalc.get_dvh(*files, number)
        ours = dvh(case.dose, case.structures[name], bin_gy=0.01)
        assert ours.mean_gy == pytest.approx(theirs.mean, rel=0.01)
        assert ours.volume_cc == pytest.approx(theirs.volume, rel=0.01)
        counts = theirs.counts / theirs.counts[0]
        share = np.array([ours.v(gy) for gy in theirs.bins[:-1]]) / 100
        low = np.interp(theirs.bins[:-1] + 0.14, theirs.bins[:-1], counts, right=0)
        high = np.interp(theirs.bins[:-1] - 0.14, theirs.bins[:-1], counts, left=1)
        assert (share >= low - 0.01).all()
        assert (share <= high + 0.01).all()


def test_lung_patients_whose_structures_name_no_slice_are_read(lung):
    cases = list(read_cases(lung, lambda skipped: None))
    assert sorted(case.ct.array.shape[0] for case in cases) == [41, 46, 56, 60]
    assert len({case.patient for case in cases}) == 4
    for case in cases:
        assert list(case.structures) == ["GTV-1"]
        tumour = case.ct.array[case.structures["GTV-1"].array]
        assert -300 < np.median(tumour) < 150  # tissue, though it lies in the lung


def test_the_odd_files_of_pydicom_crash_nothing(tmp_path):
    folder = Path(pydicom.data.__file__).parent / "test_files"
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    for number, file in enumerate(files):
        shutil.copy(file, tmp_path / f"{number:03d}.dcm")
    findings = find(tmp_path)
    n_used = 0
    for found in findings.found:
        skipped = []
        cases = list(_readable(found, skipped))
        n_used += len(cases)
        assert cases or "\n" not in skipped[0]
    assert n_used > 0
    assert all(skip.reason for skip in findings.skipped)
    assert len(findings.skipped) + 10 * len(findings.found) >= len(files)


def _readable(found, skipped):
    try:
        yield found.read()
    except InputError as error:
        skipped.append(str(error))
