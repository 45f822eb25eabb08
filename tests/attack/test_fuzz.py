"""The DICOM reader against a fuzzer for a fixed time; see tests/fuzz/dicom.py."""

import importlib.util
import struct
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from isohash.errors import InputError
from isohash.sources.dicom.elements import numbers, quietly, read_dataset, text, whole_number
from processes import small_parent

SECONDS = 60
TARGET = Path(__file__).parents[1] / "fuzz" / "dicom.py"


@pytest.mark.parametrize("vr", [b"\x55\x01", b"ZZ", b"\x00\x00", b"\xff\xff", b"UI"])
def test_an_element_of_a_type_that_there_is_not_is_no_value(tmp_path, vr):
    """The fuzzer's finding: pydicom raises what it does not document, and only when asked."""
    file = tmp_path / "x.dcm"
    first = struct.pack("<HH2sH", 8, 0x16, b"UI", 2) + b"1\0"
    file.write_bytes(first + struct.pack("<HH2sH", 0x20, 0x0E, vr, 4) + b"1_0\0")
    with quietly():
        dataset = read_dataset(file)
        assert isinstance(dataset, pydicom.Dataset)
        assert text(dataset, "SeriesInstanceUID") in ("", "1_0")
        assert whole_number(dataset, "SeriesInstanceUID") is None
        with pytest.raises(InputError):
            numbers(dataset, "SeriesInstanceUID")


def test_a_sequence_in_place_of_a_text_is_no_text(tmp_path):
    """The fuzzer's finding: its items may be of a type that there is not."""
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 12) + struct.pack("<HH2sHI", 8, 5, b"SQ", 0, 0)
    file = tmp_path / "x.dcm"
    head = struct.pack("<HH2sH", 8, 0x16, b"UI", 2) + b"1\0"
    file.write_bytes(head + struct.pack("<HH2sHI", 0x10, 0x20, b"SQ", 0, len(item)) + item)
    with quietly():
        dataset = read_dataset(file)
        assert text(dataset, "PatientID") == ""
        with pytest.raises(InputError, match="PatientID is missing"):
            text(dataset, "PatientID", required=True)


@pytest.mark.slow
@pytest.mark.timeout(10 * SECONDS)
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs the extra 'fuzz'")
def test_fuzzed_dicom_is_read_right_or_refused(tmp_path):
    done = subprocess.run(
        small_parent(
            sys.executable, str(TARGET), str(tmp_path / "corpus"), f"-max_total_time={SECONDS}"
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done" in done.stderr + done.stdout
