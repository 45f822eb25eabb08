"""Identity: the key is safe, pseudonyms are stable, and nothing of a person leaves the reader."""

import gzip
import json
import os
import stat
import threading
import zlib

import numpy as np
import pydicom
import pytest

from isohash.errors import InputError
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.identity.pseudonyms import load_key, pseudonym
from isohash.sources.phi_scan import phi_scan
from isohash.sources.reading import find

SECRETS = {
    "PatientName": "Quimby^Josephine^^Dr",
    "PatientID": "MRN-7734099",
    "PatientBirthDate": "19511203",
    "ReferringPhysicianName": "Zaphodsen^Bo",
    "InstitutionName": "St. Elsewhere General",
    "AccessionNumber": "ACC99120",
    "StudyDescription": "Larynx boost for Quimby",
    "StationName": "LINAC-SE-3",
}


@pytest.fixture
def named(tmp_path, case):
    """A set full of identity, also in a private element and in a structure's name."""
    folder = tmp_path / "source"
    for path in write_dicom(case, folder, WriteOptions(identity="x")):
        dataset = pydicom.dcmread(path)
        for keyword, value in SECRETS.items():
            setattr(dataset, keyword, value)
        block = dataset.private_block(0x0011, "ACME", create=True)
        block.add_new(0x01, "LO", "seen by Nurse Ratchett")
        if dataset.Modality == "RTSTRUCT":
            dataset.StructureSetROISequence[0].ROIName = "Parotid L Quimby"
            dataset.StructureSetROISequence[1].ROIName = "josephine ring"
        dataset.save_as(path)
    return folder


def all_text(findings):
    texts = []
    for found in findings.found:
        case = found.read()
        texts += [found.key, found.fingerprint, case.id, case.patient, *case.warnings]
        texts += [*case.structures, str(case.label)]
    texts += [skip.reason for skip in findings.skipped]
    return "\n".join(texts)


def test_no_word_of_the_patient_leaves_the_reader(named):
    (named / "cut.dcm").write_bytes((named / "RD.0000.dcm").read_bytes()[:700])
    text = all_text(find(named)).lower()
    for word in ("quimby", "josephine", "7734099", "1951", "zaphod", "elsewhere", "ratchett"):
        assert word not in text
    dataset = pydicom.dcmread(named / "RD.0000.dcm")
    for uid in (dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.FrameOfReferenceUID):
        assert uid not in text


def test_structures_named_after_the_patient_keep_what_they_are(named):
    findings = find(named)
    case = findings.found[0].read()
    assert set(case.structures) == {"ROI 1 (organ)", "ROI 2 (helper)", "PTV60"}
    noted = findings.found[0].naming.unknown[case.id]
    assert list(noted.values()) == ["Parotid L Quimby", "josephine ring"]


def test_errors_of_bad_files_repeat_no_content(named):
    for path in named.glob("CT*"):
        dataset = pydicom.dcmread(path)
        dataset.PixelSpacing = None
        dataset.save_as(path)
    with_ct = find(named)
    assert "quimby" not in " ".join(skip.reason for skip in with_ct.skipped).lower()


def test_one_patient_has_one_pseudonym_and_another_key_another(tmp_path, make_case, monkeypatch):
    for name in ("plan a", "plan b"):
        write_dicom(make_case(name), tmp_path / "in" / name, WriteOptions(identity="Doe^J"))
    cases = [found.read() for found in find(tmp_path / "in").found]
    assert len({case.patient for case in cases}) == 1
    assert len({case.id for case in cases}) == 2
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(tmp_path / "other.key"))
    assert find(tmp_path / "in").found[0].read().patient != cases[0].patient


def test_the_key_is_made_once_and_for_its_owner_alone(key_file):
    first = load_key()
    assert load_key() == first
    assert len(first) == 32
    if os.name == "posix":
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert [path.name for path in key_file.parent.iterdir()] == [key_file.name]


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    keys = []
    threads = [
        threading.Thread(target=lambda: keys.append(load_key(tmp_path / "k" / "key")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_a_key_that_others_can_read_or_that_is_damaged_is_refused(key_file):
    load_key()
    key_file.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        load_key()
    key_file.chmod(0o600)
    key_file.write_bytes(b"short")
    with pytest.raises(InputError, match="has 32 bytes"):
        load_key()


def test_pseudonyms_keep_parts_apart():
    key = b"k" * 32
    assert pseudonym(key, "patient", "ab", "c") != pseudonym(key, "patient", "a", "bc")
    assert pseudonym(key, "patient", "a") != pseudonym(key, "case", "a")
    assert pseudonym(key, "case", "a").startswith("case-")


@pytest.fixture
def archive(tmp_path, rng):
    folder = tmp_path / "archive"
    (folder / "segments").mkdir(parents=True)
    (folder / "recipe.json").write_text('{"version": 1, "patients": ["patient-abcdefgh2345"]}')
    (folder / "segments" / "0.bin").write_bytes(rng.bytes(1 << 20))
    return folder


def test_a_clean_archive_has_no_leaks(archive, named):
    assert phi_scan(archive, named) == []


@pytest.mark.parametrize(
    ("planted", "element"),
    [
        (b"note about josephine here", "PatientName"),
        (b'{"id": "mrn-7734099"}', "PatientID"),
        (b"\x00\x0119511203\xff\x00", "PatientBirthDate"),
        (b"St. Elsewhere General", "InstitutionName"),
        (b"the doctor was Zaphodsen.", "ReferringPhysicianName"),
        (b"SEEN BY NURSE RATCHETT", "private element"),
        ("uid", "SOPInstanceUID"),
    ],
)
def test_a_planted_value_is_found_wherever_it_lies(archive, named, planted, element):
    if planted == "uid":
        planted = pydicom.dcmread(named / "RP.0000.dcm").SOPInstanceUID.encode()
    target = archive / "segments" / "0.bin"
    data = bytearray(target.read_bytes())
    at = len(data) // 2
    data[at : at + len(planted) + 2] = b" " + planted + b" "
    target.write_bytes(data)
    leaks = phi_scan(archive, named)
    assert element in {leak.element.removeprefix("Referenced") for leak in leaks}
    assert all(leak.file == "segments/0.bin" for leak in leaks)
    assert all(at <= leak.offset <= at + len(planted) + 2 for leak in leaks)


@pytest.fixture
def laden(tmp_path, case):
    """Identity in odd places: nested, in other scripts, in labels, in comments and dates."""
    folder = tmp_path / "laden"
    for path in write_dicom(case, folder, WriteOptions(identity="x")):
        dataset = pydicom.dcmread(path)
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName = "Wang^XiaoDong=王^小東=ワン^シャオドン"
        dataset.StudyDate = dataset.ReviewDate = "20191224"
        request = pydicom.Dataset()
        request.RequestingPhysician = "Überström^Åke"
        request.ReasonForTheRequestedProcedure = "x"
        request.ScheduledProcedureStepDescription = "second opinion for cousin Mildred"
        dataset.RequestAttributesSequence = pydicom.Sequence([request])
        if dataset.Modality == "RTSTRUCT":
            dataset.StructureSetLabel = "Thursday gang"
            dataset.StructureSetROISequence[2].ROIName = "PTV60"
            dataset.RTROIObservationsSequence[2].ROIObservationLabel = "PTV60"
            dataset.RTROIObservationsSequence[1].ROIInterpreter = "Blenkinsop"
        if dataset.Modality == "RTPLAN":
            dataset.RTPlanLabel = "Left hip 2nd try"
            dataset.DoseReferenceSequence[0].DoseReferenceDescription = "as Dr. Who wants it"
        dataset.save_as(path)
    return folder


def test_what_is_kept_of_a_laden_set_holds_nothing(laden, archive):
    (archive / "kept.json").write_text(all_text(find(laden)))
    assert phi_scan(archive, laden) == []


@pytest.mark.parametrize(
    "planted",
    [
        json.dumps("Åke Überström").encode(),
        "überström".encode("latin-1"),
        "小東".encode(),
        "小東".encode("utf-16-le"),
        json.dumps("小東").encode(),
        "wang, xiaodong".encode("utf-16-le"),
        "XIAODONG".encode("utf-16-be"),
        zlib.compress(b"drawn for xiaodong by hand"),
        gzip.compress(b"drawn for xiaodong by hand", mtime=0),
        b"on 2019-12-24 at noon",
        b"on 20191224 at noon",
        b"second opinion for cousin Mildred",
        b"asked Blenkinsop, who agreed",
        b"Thursday gang",
        b"Left hip 2nd try",
        b"as Dr. Who wants it",
    ],
)
def test_leaks_are_found_in_every_guise(laden, archive, planted):
    target = archive / "segments" / "0.bin"
    data = bytearray(target.read_bytes())
    data[5000 : 5000 + len(planted) + 32] = bytes(16) + planted + bytes(16)
    target.write_bytes(data)
    leaks = phi_scan(archive, laden)
    assert leaks
    assert all(5000 <= leak.offset <= 5032 + len(planted) for leak in leaks)


def test_a_value_in_a_file_name_or_across_two_pieces_is_found(archive, named, monkeypatch):
    monkeypatch.setattr("isohash.sources.phi_scan.CHUNK", 4096)
    monkeypatch.setattr("isohash.sources.phi_scan.OVERLAP", 256)
    (archive / "quimby.json").write_text("{}")
    target = archive / "segments" / "0.bin"
    data = bytearray(np.zeros(20000, dtype=np.uint8))
    data[4090:4101] = b"mrn-7734099"
    target.write_bytes(data)
    leaks = phi_scan(archive, named)
    assert {(leak.file, leak.offset) for leak in leaks} == {
        ("quimby.json", -1),
        ("segments/0.bin", 4090),
    }


def test_a_source_without_dicom_or_a_missing_folder_is_refused(archive, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        phi_scan(archive, tmp_path / "nowhere")
    with pytest.raises(InputError, match="anything identifying"):
        phi_scan(archive, archive)
