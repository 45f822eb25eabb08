"""Cases in NIfTI lie in the patient where SimpleITK says that they do, or are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isohash import Archive, Case, InputError, build_archive, read_case, read_cases
from isohash.sources.phantom import phantom_case
from isohash.sources.values import values_in

nibabel = pytest.importorskip("nibabel")
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write(path: Path, array, affine, codes=(1, 1), unit="mm") -> Path:
    """A file as others write it: axes (x, y, z), affine to the right, the front and the head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, codes[0])
    image.set_qform(affine, codes[1])
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def write_case(case: Case, folder: Path, axes: str = "RAS", suffix: str = ".nii.gz") -> Path:
    """A case with its axes permuted and flipped as `axes` says."""
    want = nibabel.orientations.axcodes2ornt(axes)

    def save(name: str, volume, dtype) -> None:
        affine = (LPS @ volume.affine)[:, [2, 1, 0, 3]]
        image = nibabel.Nifti1Image(volume.array.astype(dtype).transpose(2, 1, 0), affine)
        have = nibabel.orientations.io_orientation(affine)
        turned = image.as_reoriented(nibabel.orientations.ornt_transform(have, want))
        write(folder / f"{name}{suffix}", np.asarray(turned.dataobj), turned.affine)

    save("ct", case.ct, np.int16)
    save("dose", case.dose, np.float32)
    for name, mask in case.structures.items():
        save(f"masks/{name}", mask, np.uint8)
    return folder


@pytest.fixture(scope="module")
def phantom() -> Case:
    return phantom_case(0, 1, shape=(12, 20, 24))


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "SRA", "PIR"])
def test_the_same_case_is_read_however_its_axes_run(tmp_path, phantom, axes):
    case = read_case(write_case(phantom, tmp_path / "patient-7", axes))
    assert case.id == "patient-7"
    assert case.ct.array.dtype == np.int16
    assert (case.ct.array == np.rint(phantom.ct.array)).all()
    assert np.allclose(case.ct.affine, phantom.ct.affine, atol=1e-3)
    assert np.allclose(case.dose.array, phantom.dose.array, atol=1e-4)
    assert case.prescription_gy == phantom.prescription_gy
    assert sum(mask.array.sum() for mask in case.structures.values()) == sum(
        mask.array.sum() for mask in phantom.structures.values()
    )
    assert not case.warnings


def test_voxels_lie_where_simpleitk_says(tmp_path, rng):
    sitk = pytest.importorskip("SimpleITK")
    affine = np.array([[0, -2.0, 0, 30], [0, 0, 1.5, -7], [3.0, 0, 0, 11], [0, 0, 0, 1]])
    array = rng.integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
    file = write(tmp_path / "p" / "ct.nii.gz", array, affine)
    ct, image = read_case(tmp_path / "p").ct, sitk.ReadImage(str(file))
    for index in np.ndindex(*ct.array.shape):
        at = ct.affine @ [*index, 1.0]
        place = image.TransformPhysicalPointToIndex(at[:3].tolist())
        assert ct.array[index] == image.GetPixel(place)


def test_a_dose_on_a_grid_of_its_own_comes_onto_the_ct(tmp_path):
    ct, coarse = np.diag([-2.0, -2.0, 2.0, 1.0]), np.diag([-4.0, -4.0, 4.0, 1.0])
    write(tmp_path / "p" / "ct.nii.gz", np.full((9, 9, 9), -5, np.int16), ct)
    gy = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, 5, 5), np.float32)
    write(tmp_path / "p" / "dose.nii", gy, coarse)
    case = read_case(tmp_path / "p")
    assert case.dose.array.shape == case.ct.array.shape
    assert np.allclose(case.dose.array[0, 0], np.arange(9) / 2.0)


def test_cases_of_many_folders_are_indexed_and_asked(tmp_path):
    for member in range(4):
        write_case(phantom_case(member, 0, shape=(12, 24, 24)), tmp_path / "all" / f"p{member}")
    (tmp_path / "all" / "other").mkdir()
    write(tmp_path / "all" / "other" / "mr.nii.gz", np.ones((3, 3, 3)), np.eye(4))
    report = build_archive(tmp_path / "all", tmp_path / "A", encoder="pca", dose_model=False)
    assert report.kind == "nifti"
    assert report.indexed == ("p0", "p1", "p2", "p3")
    assert [skip.reason for skip in report.skipped] == [
        "NIfTI files, but neither ct.nii.gz nor dose.nii.gz of a case"
    ]
    with Archive.open(tmp_path / "A") as archive:
        assert archive.query(tmp_path / "all" / "p2", by="joint", same_patient=True).ids[0] == "p2"
    again = build_archive(tmp_path / "all", tmp_path / "A", dose_model=False)
    assert len(again.unchanged) == 4


def wrong(folder: Path, what: str) -> None:
    """A folder with one thing wrong."""
    straight, ct = np.diag([-2.0, -2.0, 3.0, 1.0]), np.full((6, 6, 6), -5, np.int16)
    dose, mask = np.ones((6, 6, 6), np.float32), np.ones((6, 6, 6), np.uint8)
    angle = np.deg2rad(20)
    turned = straight @ np.array(
        [[np.cos(angle), -np.sin(angle), 0, 0], [np.sin(angle), np.cos(angle), 0, 0],
         [0, 0, 1, 0], [0, 0, 0, 1]])  # fmt: skip
    far = straight.copy()
    far[0, 3] = 1e4
    write(folder / "ct.nii.gz", ct, straight)
    {
        "no orientation": lambda: write(folder / "ct.nii.gz", ct, straight, codes=(0, 0)),
        "units": lambda: write(folder / "ct.nii.gz", ct, straight, unit="micron"),
        "axes": lambda: write(folder / "ct.nii.gz", np.ones((6, 6, 6, 2)), straight),
        "finite": lambda: write(folder / "ct.nii.gz", ct * np.float32(np.nan), straight),
        "scale": lambda: write(folder / "ct.nii.gz", ct * np.float32(1e5), straight),
        "cGy": lambda: write(folder / "dose.nii.gz", dose * 6000, straight),
        "negative": lambda: write(folder / "dose.nii.gz", -dose, straight),
        "elsewhere": lambda: write(folder / "dose.nii.gz", dose, far),
        "turned": lambda: write(folder / "dose.nii.gz", dose, turned),
        "grid": lambda: write(folder / "masks" / "Cord.nii.gz", mask[:5], straight),
        "values": lambda: write(folder / "masks" / "Cord.nii.gz", mask * 3, straight),
        "twice": lambda: write(folder / "ct.nii", ct, straight),
        "damaged": lambda: (folder / "ct.nii.gz").write_bytes(b"\x1f\x8b and no more"),
        "text": lambda: (
            (folder / "ct.nii").write_bytes(b"text") and (folder / "ct.nii.gz").unlink()
        ),
    }[what]()


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("no orientation", "says not how it lies in the patient"),
        ("units", "lengths are in micron, not mm"),
        ("axes", "a volume has 3 axes"),
        ("finite", "not finite"),
        ("scale", "are no CT; check its scale"),
        ("cGy", "dose reaches 6000 Gy, above 500; check its unit"),
        ("negative", "dose is negative"),
        ("elsewhere", "lies wholly outside the CT"),
        ("turned", "turned against the CT's"),
        ("grid", "lies on another grid"),
        ("values", "a mask holds 0 and 1, this has 1 values"),
        ("twice", "has the name of"),
        ("damaged", "damaged or not NIfTI"),
        ("text", "damaged or not NIfTI"),
    ],
)
def test_what_cannot_be_placed_or_trusted_is_refused(tmp_path, what, told):
    wrong(tmp_path / "p", what)
    with pytest.raises(InputError, match=told):
        read_case(tmp_path / "p")


def test_a_ct_that_is_hardly_in_hu_says_so(tmp_path):
    write(tmp_path / "p" / "ct.nii.gz", np.full((4, 4, 4), 7, np.int16), np.eye(4))
    assert "the CT has no value below 0" in "".join(read_case(tmp_path / "p").warnings)


def test_names_of_masks_that_no_table_knows_leave_as_numbers(tmp_path, phantom):
    write_case(phantom, tmp_path / "p")
    (tmp_path / "p" / "masks" / "Larynx.nii.gz").rename(tmp_path / "p" / "masks" / "Miller.nii.gz")
    (case,) = read_cases(tmp_path)
    assert not any("Miller" in name for name in case.structures)
    assert any(name.startswith("ROI ") for name in case.structures)


def test_what_identifies_in_headers_and_names_is_sought(tmp_path):
    array, affine = np.zeros((3, 3, 3), np.uint8), np.eye(4)
    image = nibabel.Nifti1Image(array, affine)
    image.header["descrip"] = b"Miller^John"
    (tmp_path / "p" / "masks").mkdir(parents=True)
    nibabel.save(image, tmp_path / "p" / "masks" / "Bauer.nii.gz")
    texts = {text for _, _, text, _ in values_in(tmp_path)}
    assert {"Miller^John", "Bauer"} <= texts
