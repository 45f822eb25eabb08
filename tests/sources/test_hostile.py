"""Hostile and damaged files: refused within limits, and never the end of a run."""

import random
import sys
import time
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from dicom_sets import assert_geometry
from isohash.errors import InputError
from isohash.sandbox import Child, ChildFailed, Pool
from isohash.sources.dicom.case import read_files
from isohash.sources.dicom.elements import quietly
from isohash.sources.dicom.link import link
from isohash.sources.dicom.scan import read_header
from isohash.sources.dicom.writer import write_dicom
from isohash.sources.reading import find, read_case


@pytest.fixture
def folder(tmp_path, case):
    write_dicom(case, tmp_path)
    return tmp_path


def the_only_reason(folder, name):
    findings = find(folder)
    assert len(findings.found) == 1
    return next(skip.reason for skip in findings.skipped if skip.path.endswith(name))


def test_endless_nesting_is_one_skipped_file(folder):
    dose = folder / "RD.0000.dcm"
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    sequence = b"\x0c\x30\x02\x00SQ\0\0\xff\xff\xff\xff"  # (300C,0002), undefined length
    (folder / "deep.dcm").write_bytes(dose.read_bytes()[:600] + (sequence + item) * 20000)
    assert the_only_reason(folder, "deep.dcm")


def test_a_deflated_file_is_refused_unopened(folder):
    dataset = pydicom.dcmread(folder / "RP.0000.dcm")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(folder / "deflated.dcm")
    assert "deflated" in the_only_reason(folder, "deflated.dcm")


def test_a_deflated_file_that_hides_its_syntax_behind_a_long_preface_is_refused(folder):
    meta = pydicom.dcmread(folder / "RP.0000.dcm").file_meta
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    body = pydicom.filebase.DicomBytesIO()
    body.is_little_endian, body.is_implicit_VR = True, False
    pydicom.filewriter.write_file_meta_info(body, meta)
    head = body.getvalue()
    padding = b"\x02\x00\x02\x01OB\0\0" + (8000).to_bytes(4, "little") + b"\0" * 8000
    at = head.index(b"\x02\x00\x10\x00UI")
    bomb = zlib.compress(b"\0" * (1 << 24))
    path = folder / "bomb.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + head[:at] + padding + head[at:] + bomb)
    assert "names no transfer syntax" in the_only_reason(folder, "bomb.dcm")


@pytest.mark.parametrize("name", ["RS.0000.dcm", "RD.0000.dcm", "RP.0000.dcm"])
def test_a_length_beyond_the_file_is_one_skipped_file_or_a_clear_error(folder, name):
    data = bytearray((folder / name).read_bytes())
    at = bytes(data).index(b"DS", 400)
    data[at + 2 : at + 4] = b"\xff\xff"
    (folder / name).write_bytes(data)
    findings = find(folder)
    try:
        findings.found[0].read()
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - damage may also be harmless


def test_compressed_pixels_are_decoded_after_their_size_was_checked(folder, case):
    for k in range(5):
        dataset = pydicom.dcmread(folder / f"CT.{k:04d}.dcm")
        dataset.compress(RLELossless)
        dataset.SOPInstanceUID = f"1.2.3.{k}"
        dataset.save_as(folder / f"CT.{k:04d}.dcm")
    read = read_case(folder)
    np.testing.assert_array_equal(read.ct.array, case.ct.array)
    dataset = pydicom.dcmread(folder / "CT.0003.dcm")
    dataset.Rows = dataset.Columns = 65535
    dataset.save_as(folder / "CT.0003.dcm")
    with pytest.raises(InputError, match="differ in size"):
        find(folder)


def test_random_damage_never_escapes_as_anything_but_an_input_error(folder, rng):
    """Bytes changed, cut, repeated and inserted, mostly in the headers; a fixed time.

    What is accepted all the same must lie where the files say. See also tests/fuzz/dicom.py.
    """
    chance = random.Random(int(rng.integers(1 << 30)))
    originals = {file: file.read_bytes() for file in sorted(folder.iterdir())}
    with quietly():
        headers = {file: read_header(file, b"key") for file in originals}
    targets = [file for file in originals if file.name[:2] != "CT"] + [folder / "CT.0002.dcm"]
    end, n_tried = time.monotonic() + 5.0, 0
    while time.monotonic() < end:
        file = chance.choice(targets)
        file.write_bytes(damaged(originals[file], chance))
        try:
            with quietly():
                read = {**headers, file: read_header(file, b"key")}
                for files in link(read.values(), []):
                    accepted = read_files("x", files)
                    if accepted.ct is not None:
                        assert_geometry(accepted, [instance.path for instance in files.ct])
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most damage is harmless
        file.write_bytes(originals[file])
        n_tried += 1
    assert n_tried > 30


def damaged(data, chance):
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        at = chance.randrange(132, max(133, min(len(data), chance.choice([3000, len(data)]))))
        which = chance.randrange(5)
        if which == 0:
            data[at : at + 1] = chance.randbytes(1)
        elif which == 1:
            data[at : at + 4] = b"\xff\xff\xff\xff"
        elif which == 2:
            del data[at : at + chance.randrange(1, 40)]
        elif which == 3:
            data[at:at] = chance.randbytes(chance.randrange(1, 20))
        else:
            data = data[: max(at, 140)]
    return bytes(data)


def test_a_child_that_hangs_or_dies_is_replaced():
    child = Child("wild_child")
    assert child.call({"task": "a"}, 20) == ({"echo": "a"}, [b"abc"])
    start = time.monotonic()
    with pytest.raises(ChildFailed, match="longer than"):
        child.call({"task": "hang"}, 0.2)
    assert time.monotonic() - start < 10
    with pytest.raises(ChildFailed, match="crashes"):
        child.call({"task": "die"}, 20)
    assert child.call({"task": "b"}, 20) == ({"echo": "b"}, [b"abc"])
    child.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="processor time is told by Linux only")
def test_a_child_may_wait_for_its_core_but_not_use_more_time_than_its_own():
    """The limit is processor time: on a busy machine a child waits, and is not at fault."""
    child = Child("wild_child")
    child.call({"task": "a"}, 20)
    assert child.call({"task": "wait"}, 0.5)[0] == {"echo": "wait"}
    with pytest.raises(ChildFailed, match="s of processor time"):
        child.call({"task": "spin"}, 0.3)
    child.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="no address-space limit there")
def test_a_child_that_swells_answers_with_an_error():
    pool = Pool("wild_child")
    with pytest.raises(InputError, match="too big"):
        pool.call({"task": "swell"}, 20)
    pool.stop()


def test_a_file_that_hangs_the_parser_is_named_and_the_others_are_read(folder, monkeypatch):
    """The batch fails, then each file is tried by itself."""
    from isohash.sources.dicom import find as dicom

    def call(self, header, timeout_s):
        if any("CT.0004" in path for path in header["paths"]):
            raise ChildFailed("takes longer than 20 s to read")
        return real(self, header, timeout_s)

    real = Pool.call
    monkeypatch.setattr(Pool, "call", call)
    skipped = []
    found = dicom.find_dicom(sorted(folder.iterdir()), skipped)
    assert len(found) == 1
    assert [skip.reason for skip in skipped] == ["takes longer than 20 s to read"]
