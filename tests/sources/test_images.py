"""Images of every form become the same record: upright, in sRGB, reduced; hostile ones one line."""

from __future__ import annotations

import io
import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil
from PIL import ImageCms
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from isohash.errors import InputError
from isohash.records import Image
from isohash.sources.found import Findings
from isohash.sources.identity.naming import Naming
from isohash.sources.reading import find, read_case

COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"


def corner() -> np.ndarray:
    """An asymmetric image: black, its left upper corner red."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:6, :6] = (255, 0, 0)
    return pixels


def only(path: Path) -> Image:
    found = find(path).found
    assert len(found) == 1
    read = found[0].read()
    assert isinstance(read, Image)
    return read


def reasons(findings: Findings) -> dict[str, str]:
    """Why each item cannot be read; every reason is one line that names the file."""
    told = {Path(one.path).name: one.reason for one in findings.skipped}
    for found in findings.found:
        with suppress(InputError):
            found.read()
            continue
        with pytest.raises(InputError, match=rf"^{found.path}: .*$") as error:
            found.read()
        told[Path(found.path).name] = str(error.value)
    return told


@pytest.mark.parametrize("ending", ["png", "tif", "jpg"])
def test_images_are_read_by_their_path_with_folder_and_label(tmp_path: Path, ending: str):
    (tmp_path / "lab" / "benign").mkdir(parents=True)
    file = tmp_path / "lab" / "benign" / f"a.{ending}"
    Pil.fromarray(corner()).save(file, quality=95)
    image = only(tmp_path)
    assert (image.id, image.label, image.patient) == (f"lab/benign/a.{ending}", "benign", image.id)
    assert image.facts == {"folder": "lab/benign", "width": 30, "height": 20}
    np.testing.assert_allclose(image.pixels[1:4, 1:4].mean(axis=(0, 1)), (255, 0, 0), atol=6)
    assert only(file).label is None


def test_images_are_turned_as_the_camera_says(tmp_path: Path):
    exif = Pil.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Pil.fromarray(corner()).save(tmp_path / "a.png", exif=exif)
    image = only(tmp_path)
    assert (image.facts["width"], image.facts["height"]) == (20, 30)
    np.testing.assert_array_equal(image.pixels, np.rot90(corner(), -1))


def test_colours_are_those_of_the_profile_and_a_damaged_one_is_told(tmp_path: Path):
    Pil.fromarray(corner()).save(tmp_path / "odd.png", icc_profile=b"nothing of the kind" * 9)
    read = {one.key: one.read() for one in find(tmp_path).found}
    assert "colour profile" in read["odd.png"].warnings[0]
    np.testing.assert_array_equal(read["odd.png"].pixels, corner())
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Pil.fromarray(corner()).save(tmp_path / "srgb.png", icc_profile=srgb)
    seen = only(tmp_path / "srgb.png")
    assert not seen.warnings
    np.testing.assert_allclose(seen.pixels, corner(), atol=1)


def test_deep_values_are_shown_from_the_least_to_the_largest(tmp_path: Path):
    ramp = np.linspace(100, 4000, 256).reshape(16, 16)
    Pil.fromarray(ramp.astype(np.uint16)).save(tmp_path / "a.tif")
    Pil.fromarray(ramp.astype(np.float32)).save(tmp_path / "b.tif")
    Pil.fromarray(ramp.astype(np.uint16)).save(tmp_path / "c.png")
    for found in find(tmp_path).found:
        pixels = found.read().pixels
        assert (pixels[0, 0].tolist(), pixels[-1, -1].tolist()) == ([0] * 3, [255] * 3)
        np.testing.assert_allclose(pixels[..., 1].ravel(), np.arange(256), atol=1)


def test_what_is_transparent_lies_on_paper(tmp_path: Path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, 4:, 3] = 255
    Pil.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    assert only(tmp_path).pixels[0, [0, 7], 0].tolist() == [255, 0]


def test_each_page_is_an_image(tmp_path: Path):
    pages = [Pil.fromarray(np.full((9, 9), value, np.uint8)) for value in (10, 200)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    found = find(tmp_path).found
    assert [one.key for one in found] == ["a.tif#1", "a.tif#2"]
    assert [int(one.read().pixels[0, 0, 0]) for one in found] == [10, 200]
    assert len({one.content for one in found}) == 2


def test_large_images_are_reduced_and_keep_their_size_as_a_fact(tmp_path: Path):
    Pil.fromarray(np.tile(corner(), (40, 40, 1))).save(tmp_path / "a.jpg")
    image = only(tmp_path)
    assert image.pixels.shape == (171, 256, 3)
    assert (image.facts["width"], image.facts["height"]) == (1200, 800)


def frame(**elements: object) -> bytes:
    """A radiograph of two by two pixels: 0, 100, 200 and 300."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = COMPUTED_RADIOGRAPHY
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    plain = {
        "SOPClassUID": COMPUTED_RADIOGRAPHY, "SOPInstanceUID": "1.2.3", "PatientID": "4711-Meier",
        "Modality": "CR", "Rows": 2, "Columns": 2, "SamplesPerPixel": 1, "BitsAllocated": 16,
        "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": np.array([0, 100, 200, 300], "<u2").tobytes(),
    }  # fmt: skip
    for name, value in {**plain, **elements}.items():
        setattr(dataset, name, value)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("elements", "shown"),
    [
        ({}, [0, 85, 170, 255]),
        ({"PhotometricInterpretation": "MONOCHROME1"}, [255, 170, 85, 0]),
        ({"WindowCenter": 150, "WindowWidth": 100}, [0, 1, 254, 255]),
        (
            {"WindowCenter": 150, "WindowWidth": 200, "VOILUTFunction": "LINEAR_EXACT"},
            [0, 64, 191, 255],
        ),
        ({"RescaleSlope": -1, "RescaleIntercept": 0}, [255, 170, 85, 0]),
    ],
)
def test_frames_of_dicom_are_shown_as_the_file_says(tmp_path: Path, elements, shown):
    (tmp_path / "a.dcm").write_bytes(frame(**elements))
    image = only(tmp_path)
    assert np.abs(image.pixels[..., 0].ravel().astype(int) - shown).max() <= 1
    assert image.facts["modality"] == "CR"
    assert image.patient.startswith("patient-")
    assert "Meier" not in repr(image)


def test_frames_with_text_in_their_pixels_or_more_frames_are_refused(tmp_path: Path):
    (tmp_path / "a.dcm").write_bytes(frame(BurnedInAnnotation="YES"))
    (tmp_path / "b.dcm").write_bytes(frame(NumberOfFrames=2))
    (tmp_path / "c.dcm").write_bytes(frame()[:-3])
    told = reasons(find(tmp_path))
    assert "text drawn into its pixels" in told["a.dcm"]
    assert "2 frames" in told["b.dcm"]
    assert "c.dcm" in told


def test_folders_and_labels_that_look_like_people_get_pseudonyms(tmp_path: Path):
    folder = tmp_path / "Meier_Hans"
    folder.mkdir()
    Pil.fromarray(corner()).save(folder / "a.png")
    findings = find(tmp_path).named_by(Naming(pseudonymous_ids=True))
    image = findings.found[0].read()
    assert findings.found[0].key.startswith("file-")
    assert image.facts["folder"].startswith("file-")
    assert image.label == image.facts["folder"]


def bomb(width: int, height: int) -> bytes:
    """A PNG that declares far more than it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_hostile_images_cost_one_line_each_and_spare_the_others(tmp_path: Path):
    good = io.BytesIO()
    Pil.fromarray(corner()).save(good, "PNG")
    jpeg = io.BytesIO()
    Pil.fromarray(np.tile(corner(), (8, 8, 1))).save(jpeg, "JPEG")
    files = {
        "bomb.png": bomb(60_000, 60_000),
        "flat.png": bomb(2**31 - 1, 1),
        "empty.png": b"",
        "half.png": good.getvalue()[:60],
        "half.jpg": jpeg.getvalue()[: len(jpeg.getvalue()) // 2],
        "text.png": b"no image at all",
        "page.jpg": b"<html><body>login</body></html>",
        "gif.png": b"GIF89a" + bytes(40),
        "half.tif": b"II*\0\x08\0\0\0\xff\xff",
        "loop.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    }
    for name, data in {**files, "good.png": good.getvalue()}.items():
        (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe.png")
    told = reasons(find(tmp_path))
    assert sorted(told) == sorted([*files, "pipe.png"])
    assert "60000 x 60000 pixels" in told["bomb.png"]
    assert "cut short" in told["half.jpg"]
    assert told["pipe.png"] == "not a regular file"


def test_images_are_no_cases(tmp_path: Path):
    Pil.fromarray(corner()).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="holds images, not a case"):
        read_case(tmp_path)


def test_a_picture_beside_a_case_is_passed_over(tmp_path: Path):
    np.savez(tmp_path / "X.npz", X=np.ones((3, 4)))
    Pil.fromarray(corner()).save(tmp_path / "a.png")
    findings = find(tmp_path)
    assert findings.holds == "vectors"
    assert "images beside vectors" in findings.skipped[0].reason
