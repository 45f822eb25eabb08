"""Geometry of DICOM stacks: right for every direction of axes, refused where it is not one."""

import itertools

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from isohash.errors import InputError
from isohash.sources.dicom.geometry import Plane, canonical, frame_stack, stack
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.reading import find, read_case

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def plane(z=0.0, x=0.0, y=0.0, orientation=AXIAL, spacing=(2.0, 1.0), rows=4, columns=6):
    return Plane((x, y, z), orientation, spacing, rows, columns)


def test_slices_are_ordered_by_place_and_spaced_by_it():
    order, ladder = stack([plane(z) for z in (7.5, -2.5, 2.5, 12.5)])
    affine = ladder.affine
    np.testing.assert_array_equal(order, [1, 2, 0, 3])
    np.testing.assert_allclose(affine[:3, 0], [0, 0, 5])
    np.testing.assert_allclose(affine[:3, 1], [0, 2, 0])  # between rows: down
    np.testing.assert_allclose(affine[:3, 2], [1, 0, 0])  # between columns: across
    np.testing.assert_allclose(affine[:3, 3], [0, 0, -2.5])


TILTED = (1.0, 0.0, 0.0, 0.0, np.cos(0.2), np.sin(0.2))


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ([plane(0)], "one slice only"),
        ([plane(z) for z in (0, 3, 6, 12, 15)], r"one distance is 6.000 mm \(at 6.00 mm"),
        ([plane(z) for z in (0, 3, 6, 11, 16)], "missing or uneven"),
        ([plane(z) for z in (0, 6, 9, 12, 15)], "missing or uneven"),
        ([plane(z) for z in (*range(0, 90, 3), *range(99, 180, 3))], "missing or uneven"),
        ([plane(z) for z in (*range(0, 90, 3), *range(102, 180, 15))], "missing or uneven"),
        ([plane(z) for z in (*range(0, 30, 3), 31, *range(34, 60, 3))], "missing or uneven"),
        ([plane(z) for z in (0, 3, 3.001, 6)], "same place"),
        ([plane(0), plane(3, rows=5)], "differ in size"),
        ([plane(0), plane(3, spacing=(1.0, 1.0))], "differ in PixelSpacing"),
        ([plane(0), plane(3, orientation=TILTED)], "differ in orientation"),
        ([plane(3 * k, y=0.3 * k) for k in range(5)], "gantry tilt"),
        ([plane(3 * k, orientation=TILTED) for k in range(5)], "gantry tilt"),
        ([plane(0, spacing=(0.0, 1.0)), plane(3)], "PixelSpacing must be"),
        ([plane(0, spacing=(np.nan, 1.0)), plane(3)], "PixelSpacing must be"),
        ([plane(np.nan), plane(3)], "not finite"),
        ([plane(0), plane(np.inf)], "not finite"),
        ([plane(0, orientation=(1, 0, 0, 1, 0, 0)), plane(3)], "perpendicular"),
        ([plane(0, orientation=(1, 0, 0, 0, np.nan, 0)), plane(3)], "perpendicular"),
        ([plane(0, orientation=(2, 0, 0, 0, 1, 0)), plane(3)], "perpendicular"),
        ([plane(0, rows=0), plane(3, rows=0)], "Rows x Columns"),
    ],
)
def test_what_is_no_stack_is_refused(planes, message):
    with pytest.raises(InputError, match=message):
        stack(planes)


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_rounded_positions_are_still_even(digits):
    _, ladder = stack([plane(round(-30.0 + 1.25 * k, digits)) for k in range(49)])
    assert ladder.levels is None
    assert ladder.affine[2, 0] == pytest.approx(1.25, abs=1e-12)


def test_tilted_slices_that_step_along_their_normal_are_a_turned_stack():
    normal = np.cross(TILTED[:3], TILTED[3:])
    planes = [Plane(tuple(4.0 * k * normal), TILTED, (2.0, 1.0), 4, 6) for k in (2, 0, 1)]
    order, ladder = stack(planes)
    np.testing.assert_array_equal(order, [1, 2, 0])
    np.testing.assert_allclose(ladder.affine[:3, 0], 4.0 * normal, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([-1, 1])] * 3), st.integers(0, 999))
def test_canonical_keeps_every_voxel_at_its_place(axes, signs, seed):
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 1000, (3, 4, 5))
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3)[axes] * np.multiply(signs, (5.0, 2.0, 1.0))).T[:, ::-1]
    affine[:3, :3] += 0.01 * rng.standard_normal((3, 3))  # slightly turned
    affine[:3, 3] = rng.normal(size=3) * 50
    volume = canonical(array, affine)
    assert (np.diag(volume.affine[[2, 1, 0], :3]) > 0).all()
    back = np.linalg.inv(affine) @ volume.affine
    for index in itertools.product(*map(range, volume.array.shape)):
        source = np.rint(back @ [*index, 1])[:3].astype(int)
        assert volume.array[index] == array[tuple(source)]


def test_a_grid_whose_axes_have_no_nearest_direction_is_refused():
    c = np.sqrt(0.5)
    affine = np.eye(4)
    affine[:3, :3] = [[0, c, c], [0, c, -c], [1, 0, 0]]
    with pytest.raises(InputError, match="45 degrees"):
        canonical(np.zeros((2, 2, 2)), affine)


FEET = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # feet first supine: the normal points to the feet


@pytest.mark.parametrize(
    ("first", "offsets", "step"),
    [
        (plane(-100), [0, 3, 6], [0, 0, 3]),  # offsets from the first plane
        (plane(-100), [-100, -97, -94], [0, 0, 3]),  # z of every plane
        (plane(-100), [0, -3, -6], [0, 0, -3]),  # descending
        (plane(-100), [-100, -103, -106], [0, 0, -3]),
        (plane(50, orientation=FEET), [0, 3, 6], [0, 0, -3]),  # along the normal
        (plane(50, orientation=FEET), [50, 53, 56], [0, 0, 3]),  # patient z
        (plane(0), [0, 3, 6], [0, 0, 3]),  # both readings agree
    ],
)
def test_both_conventions_of_grid_frame_offsets_are_read(first, offsets, step):
    ladder, backwards = frame_stack(first, offsets)
    assert backwards == (offsets[1] < offsets[0])
    last = (len(offsets) - 1) * backwards  # the ladder's first plane is then the last frame
    np.testing.assert_allclose(ladder.step, np.multiply(step, -1 if backwards else 1))
    np.testing.assert_allclose(ladder.affine[:3, 3], first.position + np.multiply(step, last))


@pytest.mark.parametrize(
    ("first", "offsets", "message"),
    [
        (plane(0, orientation=FEET), [0, 3, 6], "two ways"),
        (plane(7), [0, 3, 7], "uneven"),
        (plane(7), [5, 8, 11], "neither 0 nor"),
        (plane(7), [0], "one plane only"),
        (plane(7), [0, np.nan, 6], "not finite"),
        (plane(7), [0, 0, 0], "uneven"),
        (plane(7, orientation=(1, 0, 0, 0, 0, -1)), [7, 10, 13], "neither 0 nor"),
    ],
)
def test_offsets_that_can_be_misread_are_refused(first, offsets, message):
    with pytest.raises(InputError, match=message):
        frame_stack(first, offsets)


@pytest.mark.parametrize("position", ["HFS", "FFS", "HFP", "FFDR"])
def test_places_agree_with_simpleitks_own_reading(tmp_path, case, position):
    """Values at random points in mm, read by SimpleITK (GDCM) and by us."""
    write_dicom(case, tmp_path, WriteOptions(position=position))
    for file in tmp_path.iterdir():
        if file.name[:2] != "CT":
            file.unlink()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image, ours = reader.Execute(), read_case(tmp_path).ct
    for index in itertools.product(*map(range, ours.array.shape)):
        at = image.TransformPhysicalPointToIndex((ours.affine @ [*index, 1])[:3].tolist())
        assert image[at] == ours.array[index]


def edit(folder, number, **values):
    path = folder / f"CT.{number:04d}.dcm"
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


@pytest.fixture
def ct_folder(tmp_path, case):
    for file in write_dicom(case, tmp_path):
        if file.name[:2] != "CT":
            file.unlink()
    return tmp_path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"RescaleType": "OD"}, "not HU"),
        ({"RescaleSlope": "0"}, "make no HU"),
        ({"RescaleSlope": "-1"}, "make no HU"),
        ({"RescaleIntercept": None}, "RescaleIntercept is missing"),
        ({"RescaleIntercept": "60000"}, "are no CT"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1"),
        ({"HighBit": 11, "BitsStored": 14}, "HighBit"),
        ({"PixelRepresentation": None}, "PixelRepresentation is missing"),
        ({"PixelData": b"\0\0"}, "truncated"),
        ({"BitsAllocated": 12}, "not supported"),
    ],
)
def test_a_slice_that_cannot_be_understood_is_refused_by_name(ct_folder, values, message):
    edit(ct_folder, 2, **values)
    with pytest.raises(InputError, match=message) as error:
        find(ct_folder).found[0].read()
    assert "CT.0002.dcm" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ImagePositionPatient": None}, "ImagePositionPatient is missing"),
        ({"ImagePositionPatient": [1, 2]}, "must have 3"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
        ({"PixelSpacing": [1, 0]}, "positive mm"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "scout"),
        ({"SOPInstanceUID": None}, "SOPInstanceUID is missing"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1"}, "0 functional groups"),
        ({"SOPClassUID": "1.2.3.4"}, "neither CT nor"),
    ],
)
def test_a_slice_whose_header_is_of_no_use_is_skipped_with_its_reason(ct_folder, values, message):
    edit(ct_folder, 4, **values)
    findings = find(ct_folder)
    (skipped,) = findings.skipped
    assert message in skipped.reason
    assert findings.found[0].read().ct.array.shape[0] == 4


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_slope_intercept_and_padding_make_hu(ct_folder, case, syntax):
    fill = -2000  # in HU below all tissue, for padding within it would be kept
    for path in ct_folder.iterdir():
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array.copy()
        pixels[2, 3] = fill
        dataset.PixelData = pixels.tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", "-10"
        dataset.add_new("PixelPaddingValue", "SS", fill)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    ct = read_case(ct_folder).ct.array
    expected = case.ct.array * 0.5 - 10
    expected[:, 2, 3] = -1024
    assert ct.dtype == np.float32
    np.testing.assert_allclose(ct, expected)


def test_bits_above_those_stored_are_cut_away(ct_folder, case):
    for k in range(5):
        dataset = pydicom.dcmread(ct_folder / f"CT.{k:04d}.dcm")
        stored = (case.ct.array[k] + 1024).astype(np.uint16) | 0xA000
        edit(
            ct_folder, k, PixelData=stored.tobytes(), PixelRepresentation=0, BitsStored=12,
            HighBit=11, RescaleIntercept="-1024",
        )  # fmt: skip
        assert dataset.BitsStored == 16
    np.testing.assert_array_equal(read_case(ct_folder).ct.array, case.ct.array)
