"""OpenKBP cases: the two formats agree, axes and units are right, damage is refused in one line."""

import random
import warnings

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.sources.openkbp import CSV_SHAPE, MASK_BITS, read_csv_case, read_npz_case
from isohash.sources.reading import find


@pytest.fixture
def arrays(rng):
    """A small asymmetric case in the stored form, axes (y, x, z)."""
    ct = np.zeros((6, 7, 5), dtype=np.int16)
    ct[1:5, 2:6, 1:4] = rng.integers(1, 3000, (4, 4, 3))
    dose = (ct * 2).astype(np.uint16)
    masks = np.zeros(ct.shape, dtype=np.uint16)
    masks[2, 3, 1] |= 1 << MASK_BITS.index("LeftParotid")
    masks[1:4, 2, 2] |= 1 << MASK_BITS.index("PTV56")
    masks[2, 2, 2] |= 1 << MASK_BITS.index("PTV70")
    masks[...] |= 1 << MASK_BITS.index("possible_dose_mask")
    return {"ct": ct, "dose": dose, "masks": masks, "voxel": np.array([2.0, 3.0, 5.0])}


def save(folder, arrays, name="pt_7.npz"):
    np.savez_compressed(folder / name, **arrays)
    return folder / name


def test_stored_numbers_become_hu_gy_and_patient_axes(tmp_path, arrays):
    case = read_npz_case(save(tmp_path, arrays))
    assert (case.id, case.patient, case.prescription_gy) == ("pt_7", "pt_7", 70.0)
    assert case.ct.array.dtype == np.int16
    assert case.dose.array.dtype == np.float32
    assert case.ct.array[1, 2, 3] == arrays["ct"][2, 3, 1] - 1024
    assert case.ct.array[0, 0, 0] == -1024
    assert case.dose.array[1, 2, 3] == pytest.approx(arrays["dose"][2, 3, 1] / 100)
    assert case.ct.spacing_mm == (5.0, 2.0, 3.0)
    np.testing.assert_array_equal(case.ct.affine @ [1, 0, 0, 0], [0, 0, -5, 0])  # to the feet
    np.testing.assert_array_equal(case.ct.affine @ [0, 1, 0, 0], [0, 2, 0, 0])  # to the back
    np.testing.assert_array_equal(case.ct.affine @ [0, 0, 1, 0], [3, 0, 0, 0])  # to the left
    assert case.warnings == ()


def test_only_structures_that_exist_are_listed_and_the_scoring_region_is_not(tmp_path, arrays):
    case = read_npz_case(save(tmp_path, arrays))
    assert set(case.structures) == {"LeftParotid", "PTV56", "PTV70"}
    assert case.structures["PTV56"].array.sum() == 3
    assert case.structures["LeftParotid"].array[1, 2, 3]
    assert case.possible.array.all()


def test_a_case_without_dose_or_masks_is_still_a_case(tmp_path, arrays):
    del arrays["dose"], arrays["masks"]
    case = read_npz_case(save(tmp_path, arrays))
    assert case.dose is None
    assert case.prescription_gy is None
    assert case.warnings == ("the case has no dose", "the case has no structures")


DAMAGE = {
    "no voxel": (lambda a: a.pop("voxel"), "has no array voxel"),
    "no ct": (lambda a: a.pop("ct"), "has no array ct"),
    "shapes differ": (lambda a: a.update(dose=a["dose"][1:]), "one shape"),
    "NaN dose": (lambda a: a.update(dose=np.full(a["ct"].shape, np.nan)), "not finite"),
    "negative dose": (lambda a: a.update(dose=a["dose"].astype(int) - 9), "negative"),
    "huge dose": (lambda a: a.update(dose=a["dose"].astype(int) + 10**6), "check its unit"),
    "negative ct": (lambda a: a.update(ct=a["ct"] - 5), "0 or more"),
    "text ct": (lambda a: a.update(ct=a["ct"].astype("U4")), "finite numbers"),
    "flat voxel": (lambda a: a.update(voxel=np.array([2.0, 0.0, 1.0])), "positive mm"),
    "two voxel sizes": (lambda a: a.update(voxel=np.ones(2)), "positive mm"),
    "unknown bit": (lambda a: a.update(masks=a["masks"] | 1 << 12), "bits beyond"),
    "float masks": (lambda a: a.update(masks=a["masks"] * 1.0), "one bit each"),
    "pickled": (lambda a: a.update(ct=a["ct"].astype(object)), "never loaded"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_npz_is_refused_in_one_line_naming_the_file(tmp_path, arrays, damage):
    change, message = DAMAGE[damage]
    change(arrays)
    path = save(tmp_path, arrays)
    with pytest.raises(InputError, match=message) as error:
        read_npz_case(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0, 10, 300, -30])
def test_a_truncated_npz_is_refused(tmp_path, arrays, keep):
    path = save(tmp_path, arrays)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="truncated"):
        read_npz_case(path)


def test_a_flipped_byte_in_the_values_is_refused(tmp_path, arrays):
    np.savez(tmp_path / "pt_1.npz", **arrays)
    data = bytearray((tmp_path / "pt_1.npz").read_bytes())
    where = bytes(data).index(arrays["dose"].tobytes()) + 40
    data[where] ^= 1
    (tmp_path / "pt_1.npz").write_bytes(data)
    with pytest.raises(InputError, match="truncated or not"):
        read_npz_case(tmp_path / "pt_1.npz")


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_random_damage_is_refused_or_harmless(tmp_path, arrays, rng, suffix):
    """Bytes changed, cut out and put in, half of them in the headers."""
    chance = random.Random(int(rng.integers(1 << 30)))
    path = save(tmp_path, arrays)
    if suffix == "npy":
        path = tmp_path / "table.npy"
        np.save(path, rng.standard_normal((5, 4)))
    whole, refused = path.read_bytes(), 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 3])):
            at = chance.randrange(chance.choice([128, len(data)]))
            cut, paste = chance.choice([(1, 1), (4, 0), (0, 4)])
            data[at : at + cut] = chance.randbytes(paste)
        path.write_bytes(data)
        try:
            find(path).found[0].read()
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017 - damage may also be harmless
    assert refused > 30


def write_csv(folder, ct, dose, masks, voxel):
    """The format of the challenge, written independently of the reader."""
    folder.mkdir()
    for name, dense in (("ct", ct), ("dose", dose)):
        rows = [f"{i},{float(dense.flat[i])}" for i in np.flatnonzero(dense)]
        (folder / f"{name}.csv").write_text("\n".join([",data", *rows]) + "\n")
    for name, mask in masks.items():
        rows = [f"{i}," for i in np.flatnonzero(mask)]
        (folder / f"{name}.csv").write_text("\n".join([",data", *rows]) + "\n")
    (folder / "voxel_dimensions.csv").write_text("\n".join(str(v) for v in voxel) + "\n")
    return folder


@pytest.fixture
def csv_case(tmp_path, rng):
    ct, dose = np.zeros(CSV_SHAPE), np.zeros(CSV_SHAPE)
    ct[10:14, 20:25, 30:33] = rng.integers(1, 3000, (4, 5, 3))
    dose[11:14, 21:25, 30:32] = rng.uniform(1, 70, (3, 4, 2))
    masks = {"PTV63": dose > 30, "Mandible": ct > 2000, "possible_dose_mask": ct > 0}
    return write_csv(tmp_path / "pt_9", ct, dose, masks, (2.0, 3.0, 5.0)), ct, dose, masks


def test_the_csv_form_is_read_into_the_same_axes(csv_case):
    folder, ct, dose, masks = csv_case
    case = read_csv_case(folder)
    assert (case.id, case.prescription_gy) == ("pt_9", 63.0)
    assert case.ct.spacing_mm == (5.0, 2.0, 3.0)
    np.testing.assert_array_equal(case.ct.array, ct.transpose(2, 0, 1) - 1024)
    np.testing.assert_allclose(case.dose.array, dose.transpose(2, 0, 1), rtol=1e-6)
    assert set(case.structures) == {"PTV63", "Mandible"}
    np.testing.assert_array_equal(
        case.structures["Mandible"].array, masks["Mandible"].transpose(2, 0, 1)
    )


def test_a_csv_folder_without_dose_is_a_case_that_says_so(csv_case):
    folder, *_ = csv_case
    (folder / "dose.csv").unlink()
    case = read_csv_case(folder)
    assert case.dose is None
    assert case.warnings == ("the case has no dose",)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("dose.csv", ",data\n12,nan\n", "more than numbers"),
        ("dose.csv", ",data\n12,1e999\n", "not finite"),
        ("dose.csv", ",data\n12,-3\n", "negative"),
        ("dose.csv", ",data\n12,\n", "not the CSV"),
        ("dose.csv", ",data\n99999999,1\n", "indices must lie"),
        ("dose.csv", ",data\n-1,1\n", "indices must lie"),
        ("ct.csv", "a poem\nof two lines\n", "not the CSV"),
        ("voxel_dimensions.csv", "1\n2\n", "three positive mm"),
        ("voxel_dimensions.csv", None, "no voxel_dimensions"),
    ],
)
def test_a_damaged_csv_is_refused_in_one_line(csv_case, file, text, message):
    folder, *_ = csv_case
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_csv_case(folder)
    assert "\n" not in str(error.value)


def test_real_patients_lie_as_the_data_set_says(shared_data):
    case = read_npz_case(shared_data / "openkbp" / "validation" / "pt_201.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        centre = {
            name: mask.affine @ [*np.argwhere(mask.array).mean(axis=0), 1]
            for name, mask in case.structures.items()
        }
    assert centre["LeftParotid"][0] > centre["RightParotid"][0]  # LPS: x to the left
    assert centre["SpinalCord"][1] > centre["Larynx"][1]  # y to the back
    assert centre["Brainstem"][2] > centre["Larynx"][2] > centre["Esophagus"][2]  # z to the head
    assert case.dose.array[case.structures["PTV70"].array].mean() == pytest.approx(67.4, abs=0.1)
    assert case.prescription_gy == 70
