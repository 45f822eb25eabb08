"""File meta information that is read without the parser is what the parser reads."""

import io

import pydicom
import pytest
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from isohash.sources.dicom.elements import HEAD_BYTES, read_dataset
from isohash.sources.dicom.meta import usual_meta
from isohash.sources.dicom.writer import write_dicom


@pytest.fixture
def files(tmp_path, case):
    return write_dicom(case, tmp_path)


def head(path):
    return path.read_bytes()[:HEAD_BYTES]


def test_usual_meta_information_and_what_follows_are_those_of_the_parser(files):
    for path in files:
        found, parsed = usual_meta(head(path)), pydicom.dcmread(path)
        assert found is not None
        assert found.elements == read_file_meta_info(path)
        assert read_dataset(path) == parsed
        assert read_dataset(path).original_encoding == parsed.original_encoding


def test_implicit_types_are_usual_too(files):
    dataset = pydicom.dcmread(files[0])
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    pydicom.dcmwrite(files[0], dataset, implicit_vr=True, little_endian=True)
    assert usual_meta(head(files[0])).implicit
    assert read_dataset(files[0]) == pydicom.dcmread(files[0])


def of_length(bytes_):
    """The group said to be of another length."""
    return lambda data: data[:140] + (data[140] + bytes_).to_bytes(4, "little") + data[144:]


def of_syntax(uid):
    def change(data):
        stream = io.BytesIO()
        dataset = pydicom.dcmread(io.BytesIO(data))
        dataset.file_meta.TransferSyntaxUID = uid
        pydicom.filewriter.write_file_meta_info(stream, dataset.file_meta)
        return data[:132] + stream.getvalue() + b"\x08\x00\x05\x00CS\x00\x00"

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[132:],
        lambda data: data[:132] + data[144:],
        lambda data: data[:144] + data[144:158] * 2 + data[158:],
        lambda data: data[:150],
        lambda data: data[:136] + b"UN" + data[138:],
        of_length(2),
        of_length(-8),
        of_syntax(ExplicitVRBigEndian),
        of_syntax(RLELossless),
        of_syntax("1.2.3"),
    ],
    ids=["bare", "no length", "twice", "cut", "type", "longer", "shorter", "big", "rle", "unknown"],
)
def test_any_other_form_is_left_to_the_parser(files, change):
    data = files[0].read_bytes()
    assert usual_meta(data[:HEAD_BYTES]) is not None
    assert usual_meta(change(data)[:HEAD_BYTES]) is None
