"""Zip and tar files as sources: read like the folder that they hold, and never out of bounds."""

import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import rt_studies as rt
from dicom_sets import reasons
from isohash.errors import InputError
from isohash.sources import packed, private_folder
from isohash.sources.phi_scan import phi_scan
from isohash.sources.reading import find, read_case
from isohash.sources.typed_names import unknown_names
from isohash.sources.values import values_in


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    rt.write_study(folder)
    return folder


@pytest.fixture(autouse=True)
def apart(tmp_path_factory, monkeypatch):
    """Temporary files of a test lie in a folder of their own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield
    packed.forget()


def zipped(folder, to, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(to, "w", method) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"export/{path.name}")
    return to


def tarred(folder, to, mode):
    with tarfile.open(to, mode) as file:
        file.add(folder, "export")
    return to


@pytest.mark.parametrize(
    "name", ["a.zip", "stored.ZIP", "b.tar", "c.tar.gz", "d.tgz", "e.tar.bz2", "f.tar.xz", "named"]
)
def test_a_packed_folder_is_read_as_the_folder_is(study, tmp_path, name):
    file = tmp_path / name
    if name.endswith(("zip", "ZIP", "named")):
        zipped(study, file, zipfile.ZIP_STORED if "stored" in name else zipfile.ZIP_DEFLATED)
    else:
        suffix = {"b.tar": "", "c.tar.gz": "gz", "d.tgz": "gz", "e.tar.bz2": "bz2"}.get(name, "xz")
        tarred(study, file, f"w:{suffix}")
    case, plain = read_case(file), read_case(study)
    assert (case.id, case.patient, case.warnings) == (plain.id, plain.patient, ())
    np.testing.assert_array_equal(case.ct.array, plain.ct.array)
    assert set(case.structures) == set(plain.structures)
    assert find(file).found[0].path == f"{file}/export"


def test_it_is_the_same_source_in_every_run(study, tmp_path):
    file = zipped(study, tmp_path / "a.zip")
    code = (
        "import sys; from isohash.sources.reading import find; "
        "print([(one.key, one.to_keep()) for one in find(sys.argv[1]).found])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(told) == 1


def test_tables_in_a_packed_file_keep_their_place_and_time(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "rows.npy", np.eye(4, dtype=np.float32))
    file = zipped(folder, tmp_path / "a.zip")
    (first,) = find(file).found
    kept = first.to_keep()
    packed.forget()
    (again,) = find(file).found
    assert again.to_keep() == kept
    assert first.origin.place == f"{file.resolve()}/export/rows.npy"


def test_the_files_lie_in_a_private_folder_that_goes_with_the_process(study, tmp_path):
    file = zipped(study, tmp_path / "a.zip")
    folder, _ = packed.unpacked(file)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*.dcm")} == {0o600}
    code = "import sys; from isohash.sources.packed import *; print(unpacked(Path(sys.argv[1]))[0])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    )
    assert not Path(done.stdout.strip()).exists()


KILLED = """
import os, signal, sys
from isohash.sources.packed import unpacked
from pathlib import Path
print(unpacked(Path(sys.argv[1]))[0], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_with_the_next_and_what_is_in_use_stays(
    study, tmp_path, monkeypatch
):
    file = zipped(study, tmp_path / "a.zip")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(file)], capture_output=True, text=True, check=False
    )
    left = Path(killed.stdout.strip())
    in_use, _ = packed.unpacked(file)
    assert left.is_dir()  # it is young: its process may not have locked it yet
    monkeypatch.setattr(private_folder, "YOUNG_SECONDS", -1.0)
    own, link = left.parent / "isohash-else", left.parent / f"{private_folder.PREFIX}link"
    own.mkdir()
    link.symlink_to(tmp_path)
    other, _ = packed.unpacked(zipped(study, tmp_path / "b.zip"))
    assert not left.exists()
    assert all(path.exists() for path in (in_use, other, own, file, link))


@pytest.mark.parametrize(
    "name", ["../out.dcm", "/tmp/out.dcm", "a/../../out.dcm", "..\\out.dcm", "C:\\out.dcm"]
)
def test_names_that_lead_out_are_passed_over(study, tmp_path, name):
    file = zipped(study, tmp_path / "a.zip")
    with zipfile.ZipFile(file, "a") as more:
        more.writestr(name, b"never")
    findings = find(file)
    assert reasons(findings) == ["its name leads out of the packed file"]
    assert len(findings.found) == 1
    assert not list(tmp_path.rglob("out.dcm"))


def test_links_and_second_files_of_a_name_are_passed_over(study, tmp_path):
    file = zipped(study, tmp_path / "a.zip")
    with zipfile.ZipFile(file, "a") as more:
        link = zipfile.ZipInfo("export/link.dcm")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        more.writestr(link, "/etc/passwd")
        with pytest.warns(UserWarning, match="Duplicate name"):
            more.writestr("export/RD.dcm", b"another")
    assert sorted(reasons(find(file))) == [
        "a link within a packed file",
        "another file in the packed one has its name",
    ]
    tar = tmp_path / "a.tar"
    with tarfile.open(tar, "w") as made:
        made.add(study, "export")
        link = tarfile.TarInfo("export/link.dcm")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
    assert reasons(find(tar)) == ["a link or device within a packed file"]


def test_what_swells_beyond_bounds_is_refused_and_nothing_stays(tmp_path, monkeypatch):
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("zeros", bytes(1 << 22))
    monkeypatch.setattr(packed, "FREELY", 1 << 20)
    with pytest.raises(InputError, match=r"unpacks to more than 200 times its size.*give the fol"):
        find(file)
    monkeypatch.setattr(packed, "FREELY", 1 << 30)
    monkeypatch.setattr(packed, "MOST_FILES", 0)
    with pytest.raises(InputError, match="holds more than 0 files"):
        find(file)
    assert not list(Path(os.environ["TMPDIR"]).iterdir())


def test_sizes_that_a_packed_file_states_are_not_believed(tmp_path, monkeypatch):
    file = tmp_path / "liar.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("zeros", bytes(1 << 22))
    told, lie = (1 << 22).to_bytes(4, "little"), (100).to_bytes(4, "little")
    file.write_bytes(file.read_bytes().replace(told, lie))
    monkeypatch.setattr(packed, "FREELY", 1 << 20)
    with pytest.raises(InputError):
        find(file)
    assert sum(path.stat().st_size for path in Path(os.environ["TMPDIR"]).rglob("*")) < 1 << 20


def test_damage_within_one_file_leaves_the_others(study, tmp_path):
    file = zipped(study, tmp_path / "a.zip", zipfile.ZIP_STORED)
    data = bytearray(file.read_bytes())
    at = data.index(b"export/RD.dcm") + 5000
    data[at : at + 4] = b"\xff\xff\xff\xff"
    file.write_bytes(data)
    findings = find(file)
    assert reasons(findings) == ["damaged within the packed file (BadZipFile)"]
    assert findings.found[0].read().dose is None


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_packed_file_that_is_cut_short_is_refused_whole(study, tmp_path, name):
    file = tmp_path / name
    if name == "a.zip":
        zipped(study, file)
    else:
        tarred(study, file, "w:gz")
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"cannot be unpacked|no known format|packed \(gzip\)"):
        find(file)


def test_errors_and_skips_name_the_packed_file(study, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing")
    file = zipped(folder, tmp_path / "a.zip")
    with pytest.raises(InputError, match=r"a\.zip: none of its 1 files"):
        find(file)
    (folder / "CT07.dcm").write_bytes((study / "CT07.dcm").read_bytes()[:3000])
    zipped(folder, file)
    with pytest.raises(InputError) as told:
        find(file)
    assert os.environ["TMPDIR"] not in str(told.value)


def test_a_packed_file_within_a_folder_says_what_to_do(study, tmp_path):
    rt.write_study(tmp_path)
    zipped(study, tmp_path / "more.zip")
    tarred(study, tmp_path / "more.tar.gz", "w:gz")
    (tmp_path / "more.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(100))
    told = {Path(skip.path).name: skip.reason for skip in find(tmp_path).skipped}
    assert told == {
        "more.zip": "packed: give it as a source of its own, or unpack it",
        "more.tar.gz": "packed: give it as a source of its own, or unpack it",
        "more.7z": "packed (7-Zip): unpack it",
    }


def test_identity_and_names_are_looked_for_within(study, tmp_path):
    file = zipped(study, tmp_path / "Doe_Jane_19500203.zip")
    texts = {text for _, _, text, _ in values_in(file)}
    assert {"RT1", "Test^Phantom"} <= texts
    assert any("Doe" in text for text in texts)
    leaky = tmp_path / "archive"
    leaky.mkdir()
    (leaky / "facts.json").write_text(rt.uid("study"))
    assert {leak.element for leak in phi_scan(leaky, file)} >= {"StudyInstanceUID"}
    rois = tmp_path / "rois"
    rt.write_study(rois, rois={"Doe's lump": rt.cylinder(10.0)}, keep=("RS",))
    naming = unknown_names(zipped(rois, tmp_path / "rois.zip"))
    assert len(naming.unknown) == 1


def test_folders_of_links_say_what_to_do(study, tmp_path):
    (tmp_path / "links").mkdir()
    for path in study.iterdir():
        (tmp_path / "links" / path.name).symlink_to(path)
    with pytest.raises(InputError, match=r"give what it leads to, or a copy \(cp -rL\)"):
        find(tmp_path / "links")
    (tmp_path / "folders").mkdir()
    (tmp_path / "folders" / "patient").symlink_to(study)
    with pytest.raises(InputError, match="not followed: give that folder"):
        find(tmp_path / "folders")
