"""Numbers in DICOM are those of DICOM: what Python takes beside them is refused."""

import contextlib
import io
import math
import re
import struct

import pydicom
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isohash.errors import InputError
from isohash.sources.dicom.elements import frame_count, numbers, quietly, whole_number
from isohash.sources.dicom.writer import write_dicom
from isohash.sources.reading import find
from small_cases import phantom

SLOPE, NUMBER, SPACING = (0x28, 0x1053), (0x3006, 0x22), (0x28, 0x30)
FRAMES = (0x28, 0x08)
# PS3.5 table 6.2-1, padding aside.
DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
INTEGER = re.compile(r"[+-]?[0-9]+")
PYTHONIC = ["1_0", "1e5_0", "nan", "inf", "-inf", "infinity", "Infinity", "NaN", "0x10", "0b1",
            "\uff11\uff12", "\u0661", "1j", "1,5", "2.5d0", "1e", "--1", "1 0", "1e999", "True",
"0x1p3", "\u22121"]  # fmt: skip


def element(tag, vr, text):
    value = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    value += b" " * (len(value) % 2)
    return struct.pack("<HH2sH", *tag, vr, len(value)) + value


def dataset_of(*elements, charset="ISO_IR 192"):
    data = element((0x08, 0x05), b"CS", charset) + b"".join(elements)
    return pydicom.dcmread(io.BytesIO(data), force=True)


def read(text, vr=b"DS", tag=SLOPE, keyword="RescaleSlope"):
    """The number both as it lies in the file and after pydicom has taken it apart; None if none."""
    found = []
    for touched in (False, True):
        dataset = dataset_of(element(tag, vr, text))
        with quietly():
            if touched:
                with contextlib.suppress(Exception):
                    dataset[tag].value  # noqa: B018 - what other code may have asked for
            try:
                found.append(numbers(dataset, keyword))
            except InputError:
                found.append(None)
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("text", PYTHONIC)
def test_what_only_python_takes_for_a_number_is_none(text):
    assert read(text) is None
    assert read(f"1\\{text}", tag=SPACING, keyword="PixelSpacing") is None
    for vr in (b"IS", b"DS", b"LO"):
        assert whole_number(dataset_of(element(NUMBER, vr, text)), "ROINumber") is None


@given(st.text(st.sampled_from("0123456789+-.eE_ naifx\uff11\u0661"), min_size=1, max_size=9))
@example("1.")
@example(".5")
@example(" +1e-3 ")
def test_a_decimal_string_is_one_by_the_standards_grammar(text):
    stripped = text.strip(" ")
    is_number = DECIMAL.fullmatch(stripped) is not None and math.isfinite(float(stripped))
    assert (read(text) is not None) == is_number
    if is_number:
        assert read(text) == (float(stripped),)


@given(st.text(st.sampled_from("0123456789+-_ .e\uff11\u0661"), min_size=1, max_size=7))
def test_an_integer_string_is_one_by_the_standards_grammar(text):
    found = whole_number(dataset_of(element(NUMBER, b"IS", text)), "ROINumber")
    stripped = text.strip(" ")
    assert found == (int(stripped) if INTEGER.fullmatch(stripped) else None)


@pytest.mark.parametrize("text", ["1_0", "nan", "1.5", "0x2", "\uff12", "two", "9" * 5000])
def test_a_number_of_frames_that_is_none_is_refused(text):
    with quietly(), pytest.raises(InputError, match="NumberOfFrames is not a number"):
        frame_count(dataset_of(element(FRAMES, b"IS", text)))


def test_frames_that_are_not_told_are_one():
    assert frame_count(dataset_of()) == frame_count(dataset_of(element(FRAMES, b"IS", ""))) == 1


def test_a_binary_number_that_is_not_finite_is_refused():
    dataset = dataset_of(element(SLOPE, b"FD", struct.pack("<d", math.nan)))
    with pytest.raises(InputError, match="not a number"):
        numbers(dataset, "RescaleSlope")


@pytest.mark.parametrize(
    ("files", "tag", "text"),
    [
        ("CT*", (0x28, 0x1053), b"1_0"),
        ("CT*", (0x28, 0x30), b"1_0\\1_0"),
        ("RD*", (0x3004, 0x0E), b"1_0"),
        ("RD*", (0x3004, 0x0C), b"nan"),
    ],
)
def test_a_case_whose_geometry_or_scale_is_such_is_refused_or_read_without_that_part(
    tmp_path, files, tag, text
):
    write_dicom(phantom(0, 0), tmp_path)
    for file in tmp_path.glob(files):
        file.write_bytes(with_value(file.read_bytes(), tag, text))
    try:
        found = find(tmp_path)
        case = found.found[0].read()
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either way is right
        return
    assert (case.ct if files == "CT*" else case.dose) is None


def with_value(data, tag, text):
    """An explicit file with another value of one element."""
    text += b" " * (len(text) % 2)
    at = data.index(struct.pack("<HH", *tag) + b"DS")
    (length,) = struct.unpack("<H", data[at + 6 : at + 8])
    return data[: at + 6] + struct.pack("<H", len(text)) + text + data[at + 8 + length :]
