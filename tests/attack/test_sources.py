"""Folders of any kind may hold links, pipes, devices and files of any size; none of it is met."""

import os

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.sources import openkbp
from isohash.sources.dicom.writer import write_dicom
from isohash.sources.openkbp import read_csv_case
from isohash.sources.phi_scan import scan
from isohash.sources.reading import find
from isohash.sources.typed_names import unknown_names
from isohash.sources.values import values_in
from small_cases import phantom, write_openkbp

SECRET = "daemon:x:1:1:daemon:/usr/sbin"
pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes among files here")


def csv_folder(folder):
    folder.mkdir(parents=True)
    for name in ("ct", "dose", "PTV70", "possible_dose_mask"):
        (folder / f"{name}.csv").write_text(",data\n5,100\n6,20\n")
    (folder / "voxel_dimensions.csv").write_text("1\n1\n1\n")


def sources(folder, kind):
    """A source of the kind, and the names that files of it have."""
    inside = folder / "source" / "one"
    if kind == "dicom":
        write_dicom(phantom(0, 0), inside)
        return inside, ["CT.x.dcm", "RD.x.dcm"]
    if kind == "openkbp-csv":
        csv_folder(inside)
        return inside, ["PTV56.csv", "Larynx.csv", "possible_dose_mask.csv"]
    inside.mkdir(parents=True)
    if kind == "openkbp":
        write_openkbp(phantom(0, 0), inside / "pt_1.npz")
        return inside, ["pt_2.npz"]
    np.save(inside / "v.npy", np.eye(4))
    return inside, ["w.npy", "x.npz"]


@pytest.mark.parametrize("kind", ["dicom", "openkbp", "openkbp-csv", "vectors"])
def test_nothing_leads_out_of_a_source_and_no_pipe_or_device_is_opened(tmp_path, kind):
    inside, names = sources(tmp_path, kind)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    for name in names:
        os.mkfifo(inside / f"pipe {name}")
        loop = inside / f"loop {name}"
        for trick, target in (("link", secret), ("device", "/dev/zero"), ("nowhere", "no/such")):
            os.symlink(target, inside / f"{trick} {name}")
        os.symlink(loop, loop)
    found = find(tmp_path / "source")
    assert len(found.found) == 1
    told = [skip.reason for skip in found.skipped]
    assert len(told) == 5 * len(names)
    assert all("not a regular file" in why or "leads out of the source" in why for why in told)
    found.found[0].read()
    assert SECRET not in f"{found.skipped} {list(values_in(tmp_path / 'source'))}"
    if kind in ("dicom", "openkbp-csv"):
        unknown_names(tmp_path / "source")


def test_phi_scan_says_what_it_did_not_open(tmp_path):
    write_dicom(phantom(0, 0), tmp_path / "source")
    (tmp_path / "archive").mkdir()
    os.mkfifo(tmp_path / "archive" / "pipe")
    os.symlink("/etc/passwd", tmp_path / "archive" / "link")
    cannot = scan(tmp_path / "archive", tmp_path / "source").cannot
    assert any(one.startswith("2 links, pipes, devices") for one in cannot)


def test_a_case_in_csv_files_that_is_read_by_itself_keeps_the_rules(tmp_path):
    """Also where a mask that a study asks for is the link."""
    csv_folder(tmp_path / "pt_1")
    secret = tmp_path / "PTV56.csv"
    secret.write_text(SECRET)
    for name in ("PTV56.csv", "possible_dose_mask.csv"):
        (tmp_path / "pt_1" / name).unlink(missing_ok=True)
        os.symlink(secret, tmp_path / "pt_1" / name)
    case = read_csv_case(tmp_path / "pt_1")
    assert set(case.structures) == {"PTV70"}
    assert case.possible is None


def test_a_link_within_the_source_is_followed(tmp_path):
    csv_folder(tmp_path / "pt_1")
    os.symlink(tmp_path / "pt_1" / "PTV70.csv", tmp_path / "pt_1" / "PTV63.csv")
    assert set(find(tmp_path).found[0].read().structures) == {"PTV70", "PTV63"}


@pytest.mark.parametrize(
    "text",
    [SECRET, "5,1_0", "5,0x10", "5,nan", "5,inf", "5,infinity", "5,\uff11", "5,1;6,2", '"5",1'],
)
def test_what_is_no_number_of_a_csv_file_is_refused_and_not_repeated(tmp_path, text):
    csv_folder(tmp_path / "pt_1")
    (tmp_path / "pt_1" / "dose.csv").write_text(f",data\n{text}\n", encoding="utf-8")
    with pytest.raises(InputError, match="not the CSV") as told:
        find(tmp_path).found[0].read()
    assert text not in str(told.value)


def test_files_that_are_too_large_are_refused_before_they_are_read(tmp_path, monkeypatch):
    csv_folder(tmp_path / "pt_1")
    with (tmp_path / "pt_1" / "PTV56.csv").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match="larger than 256 MiB"):
        find(tmp_path).found[0].read()
    (tmp_path / "pt_1" / "PTV56.csv").write_text("\n" * (openkbp.MAX_CSV_ROWS + 1))
    with pytest.raises(InputError, match="more rows than"):
        find(tmp_path).found[0].read()
    (tmp_path / "pt_1" / "PTV56.csv").unlink()
    monkeypatch.setattr(openkbp, "MAX_CSV_STRUCTURES", 0)
    with pytest.raises(InputError, match="1 structures, above"):
        find(tmp_path).found[0].read()


def test_a_pipe_or_a_device_is_no_source(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    for path in (tmp_path / "pipe.npy", "/dev/null"):
        with pytest.raises(InputError, match="neither a regular file nor a folder"):
            find(path)


@pytest.mark.parametrize("kind", ["dicom", "openkbp", "openkbp-csv", "vectors"])
def test_files_whose_names_are_no_utf8_are_read(tmp_path, kind, isohash):
    """Names in Latin-1 are common on older shares."""
    inside, _ = sources(tmp_path, kind)
    odd = os.fsdecode(b"M\xfcller")
    if kind in ("dicom", "openkbp-csv"):
        inside = inside.rename(inside.with_name(odd))
    else:
        (file,) = inside.iterdir()
        file.rename(file.with_name(odd + file.suffix))
    (found,) = find(tmp_path / "source").found
    found.read()
    assert found.key.encode()
    assert found.fingerprint
    assert found.content is not None
    if kind != "dicom":
        assert found.key == "M\ufffdller"
    assert isohash("index", tmp_path / "source", tmp_path / "A", "--json").err == ""
