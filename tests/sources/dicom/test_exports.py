"""What hospitals really export: odd but legal forms are read right, or refused with a reason."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_sets import assert_same, item, new_uid, part, reasons, rewrite
from isohash.errors import InputError
from isohash.records import Case, Volume
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.reading import find, read_case

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


@pytest.fixture
def folder(tmp_path, case):
    write_dicom(case, tmp_path)
    return tmp_path


# How the bytes are written


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("dose_bits", [16, 32])
def test_byte_orders_and_implicit_types(tmp_path, case, syntax, dose_bits):
    for path in write_dicom(case, tmp_path, WriteOptions(dose_bits=dose_bits)):
        dataset = pydicom.dcmread(path)
        if syntax == ExplicitVRBigEndian and "PixelData" in dataset:
            size = dataset.BitsAllocated // 8
            dataset.PixelData = (
                np.frombuffer(dataset.PixelData, f"<u{size}").astype(f">u{size}").tobytes()
            )
        dataset.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(
            path,
            dataset,
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=syntax != ExplicitVRBigEndian,
        )
    assert_same(read_case(tmp_path), case, 60 / 2**dose_bits + 1e-5)


@pytest.mark.parametrize("kept", ["nothing", "nothing, big endian", "meta"])
def test_files_without_preamble(folder, case, kept):
    for path in folder.iterdir():
        if kept == "nothing, big endian" and path.name[:2] in ("RS", "RP"):
            dataset = pydicom.dcmread(path)
            del dataset.file_meta
            dataset.preamble = None
            pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False)
        elif kept == "nothing, big endian":
            continue
        elif kept == "meta":
            path.write_bytes(path.read_bytes()[132:])
        else:
            dataset = pydicom.dcmread(path)
            del dataset.file_meta
            dataset.preamble = None
            pydicom.dcmwrite(path, dataset, implicit_vr=True, little_endian=True)
    assert_same(read_case(folder), case)


@pytest.fixture
def larger(make_case):
    return make_case(shape=(5, 64, 48))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_lossless_compression(tmp_path, larger, syntax):
    pytest.importorskip("openjpeg" if syntax == JPEG2000Lossless else "jpeg_ls")
    write_dicom(larger, tmp_path)
    rewrite(tmp_path, lambda dataset: dataset.compress(syntax, generate_instance_uid=False))
    assert_same(read_case(tmp_path), larger)


def test_jpeg_lossless_the_usual_form_in_archives(tmp_path, larger):
    gdcm = pytest.importorskip("gdcm")
    write_dicom(larger, tmp_path)
    for path in tmp_path.glob("CT*"):
        reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
        change = gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    assert_same(read_case(tmp_path), larger)


# How pixels stand for HU


def test_twelve_bits_with_an_offset_and_padding_written_unsigned(folder, case):
    def as_scanners_do(dataset):
        hu = np.clip(dataset.pixel_array, -1024, 2000)
        hu[0, 0] = -2000
        dataset.PixelData = hu.astype("<i2").tobytes()
        dataset.add_new("PixelPaddingValue", "US", 63536)  # -2000 in 16 bits

    rewrite(folder, as_scanners_do)
    read = read_case(folder)
    assert (read.ct.array[:, 0, 0] == -1024).all()
    np.testing.assert_array_equal(read.ct.array[:, 1:], np.clip(case.ct.array, -1024, 2000)[:, 1:])


def test_unsigned_pixels_of_twelve_bits(folder, case):
    def unsigned(dataset):
        stored = dataset.pixel_array.astype(np.int32) + 1024
        dataset.PixelData = stored.astype("<u2").tobytes()
        dataset.PixelRepresentation, dataset.RescaleIntercept = 0, -1024
        dataset.BitsStored, dataset.HighBit = 12, 11

    rewrite(folder, unsigned)
    assert_same(read_case(folder), case)


def test_a_slope_that_is_no_whole_number(folder, case):
    rewrite(folder, lambda dataset: setattr(dataset, "RescaleSlope", "0.5"))
    read = read_case(folder)
    assert read.ct.array.dtype == np.float32
    np.testing.assert_allclose(read.ct.array, 0.5 * case.ct.array, atol=1e-3)


def test_a_slice_without_intercept_is_refused(folder):
    rewrite(folder, lambda dataset: delattr(dataset, "RescaleIntercept"))
    with pytest.raises(InputError, match="RescaleIntercept is missing"):
        read_case(folder)


# How a volume is cut into images


def merge(folder, which, name):
    """Some slices as one multi-frame image, slices in any order, one slope for each."""
    slices = [pydicom.dcmread(part(folder, "CT", k)) for k in which]
    image = pydicom.dcmread(part(folder, "CT", which[0]))
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = ENHANCED_CT
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = new_uid()
    image.NumberOfFrames = len(slices)
    image.PixelData = b"".join(one.PixelData for one in slices)
    first = slices[0]
    shared, image.PerFrameFunctionalGroupsSequence = Dataset(), Sequence([])
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=first.ImageOrientationPatient)
    shared.PixelMeasuresSequence = item(PixelSpacing=first.PixelSpacing, SliceThickness=1)
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    for one in slices:
        frame = Dataset()
        frame.PlanePositionSequence = item(ImagePositionPatient=one.ImagePositionPatient)
        frame.PixelValueTransformationSequence = item(
            RescaleSlope=one.RescaleSlope, RescaleIntercept=one.RescaleIntercept, RescaleType="HU"
        )
        image.PerFrameFunctionalGroupsSequence.append(frame)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(image, keyword)
    del image.RescaleSlope, image.RescaleIntercept
    image.save_as(folder / name)
    for k in which:
        part(folder, "CT", k).unlink()


@pytest.mark.parametrize("parts", [[(3, 0, 4, 1, 2)], [(1, 0), (4, 2, 3)]])
def test_multi_frame_ct_in_one_or_several_files(folder, case, parts):
    for number, which in enumerate(parts):
        merge(folder, which, f"enhanced{number}.dcm")
    read = read_case(folder)
    assert_same(read, case)


def test_a_multi_frame_ct_that_lacks_a_frame_is_skipped(folder):
    merge(folder, (0, 1, 2, 3, 4), "enhanced.dcm")
    dataset = pydicom.dcmread(folder / "enhanced.dcm")
    dataset.PerFrameFunctionalGroupsSequence.pop()
    dataset.save_as(folder / "enhanced.dcm")
    assert "4 functional groups, not one for each frame" in reasons(find(folder))


LEVELS = np.array([*np.arange(0.0, 24.0, 2.0), *np.arange(24.0, 60.0, 4.0)])  # 2 mm, then 4 mm


@pytest.fixture
def uneven(tmp_path):
    """A cone about z in slices 2 and then 4 mm apart; HU and dose grow linearly along z."""
    affine = np.diag([2.0, 1.5, 1.5, 1.0])[[2, 1, 0, 3]] * 1.0
    affine[:3, 3] = (-30, -30, -7)
    shape = (len(LEVELS), 40, 40)
    y, x = np.mgrid[:40, :40]
    z = LEVELS[:, None, None]
    reach = 26.0 - z / 4
    cone = ((1.5 * (x - 19.5)) ** 2 + (1.5 * (y - 19.5)) ** 2 <= reach**2) & (z >= 4) & (z <= 52)
    hu = np.broadcast_to(np.rint(10 * z), shape).astype(np.int16)
    case = Case(
        "uneven",
        ct=Volume(hu, affine),
        dose=Volume(np.broadcast_to(20 + z / 2, shape).astype(np.float32), affine),
        structures={"Cochlea": Volume(cone, affine)},
        prescription_gy=45.0,
    )
    write_dicom(case, tmp_path)

    def stretch(dataset):
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, -7 + LEVELS[round((z + 7) / 2)]]

    rewrite(tmp_path, stretch)
    dose = pydicom.dcmread(part(tmp_path, "RD"))
    dose.GridFrameOffsetVector = LEVELS.tolist()
    dose.save_as(part(tmp_path, "RD"))
    structures = pydicom.dcmread(part(tmp_path, "RS"))
    for contour in structures.ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        points[:, 2] = -7 + LEVELS[np.rint((points[:, 2] + 7) / 2).astype(int)]
        contour.ContourData = [f"{number:.3f}" for number in points.ravel()]
    structures.save_as(part(tmp_path, "RS"))
    return tmp_path


def test_slices_that_grow_thicker_are_resampled_in_mm_with_a_warning(uneven):
    case = read_case(uneven)
    assert any("unevenly spaced" in warning for warning in case.warnings)
    z = np.arange(0, 56.1, 2.0)
    np.testing.assert_allclose(case.ct.spacing_mm, (2, 1.5, 1.5))
    np.testing.assert_array_equal(case.ct.array[:, 3, 3], np.rint(10 * z))
    np.testing.assert_allclose(case.dose.array[:, 3, 3], 20 + z / 2, atol=1e-4)
    radius_mm = 1.5 * np.sqrt(case.structures["Cochlea"].array.sum(axis=(1, 2)) / np.pi)
    inside = (z >= 4) & (z <= 52)
    # Half way between two planes the larger contour counts: half of 1 mm, and the pixels.
    np.testing.assert_allclose(radius_mm[inside], (26 - z / 4)[inside], atol=0.6)
    assert radius_mm[~inside].max() < 13.6  # the cap, half a step beyond 52 mm
    assert not radius_mm[z > 54].any()


def test_uneven_slices_come_back_alike_from_feet_first_and_descending_dose(uneven):
    straight = read_case(uneven)

    def feet_first(dataset):  # the same pixels in rows that run to the right
        dataset.PixelData = dataset.pixel_array[:, ::-1].tobytes()
        x, y, z = (float(v) for v in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x + 39 * 1.5, y, z]
        dataset.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]

    rewrite(uneven, feet_first)
    dose = pydicom.dcmread(part(uneven, "RD"))
    dose.PixelData = dose.pixel_array[::-1].tobytes()
    x, y, z = (float(v) for v in dose.ImagePositionPatient)
    dose.ImagePositionPatient = [x, y, z + LEVELS[-1]]
    dose.GridFrameOffsetVector = (LEVELS - LEVELS[-1])[::-1].tolist()
    dose.save_as(part(uneven, "RD"))
    turned = read_case(uneven)
    np.testing.assert_allclose(turned.ct.affine, straight.ct.affine, atol=1e-9)
    np.testing.assert_array_equal(turned.ct.array, straight.ct.array)
    np.testing.assert_allclose(turned.dose.array, straight.dose.array, atol=1e-4)
    np.testing.assert_array_equal(
        turned.structures["Cochlea"].array, straight.structures["Cochlea"].array
    )


def test_a_sagittal_series_gives_the_same_volume(folder, case):
    """Slices along x, rows to the back, columns to the feet."""
    for k in range(5):
        part(folder, "CT", k).unlink()
    affine = case.ct.affine
    template = pydicom.dcmread(part(folder, "RD"))
    for i in range(case.ct.array.shape[2]):
        pixels = case.ct.array[::-1, :, i]
        dataset = Dataset()
        dataset.file_meta = template.file_meta
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
            setattr(dataset, keyword, getattr(template, keyword))
        dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.2", "CT"
        dataset.SOPInstanceUID, dataset.SeriesInstanceUID = new_uid(), "1.2.3"
        dataset.ImagePositionPatient = (affine @ [len(pixels) - 1, 0, i, 1])[:3].tolist()
        dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        dataset.PixelSpacing = [5.0, 2.0]
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.save_as(folder / f"sagittal{i}.dcm")
    assert_same(read_case(folder), case)
