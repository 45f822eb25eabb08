"""From files full of identity, in folders named after patients, to archive and pages: nothing."""

import json

import pydicom
import pytest

from isohash.apps.engine import Archive
from isohash.apps.indexing import index_source
from isohash.apps.report import write_report
from isohash.sources.dicom_writer import WriteOptions, write_dicom
from isohash.sources.phi_scan import phi_scan
from small_cases import OPTIONS, phantom

NAMES = ("Quimby^Josephine", "Zaphodsen^Bo^^Dr", "Überström^Åke")


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(tmp_path / "key"))
    folder = tmp_path / "source"
    for member, name in enumerate(NAMES):
        patient = folder / name.replace("^", "_")
        for path in write_dicom(phantom(0, member), patient, WriteOptions(identity="x")):
            dataset = pydicom.dcmread(path)
            dataset.SpecificCharacterSet = "ISO_IR 192"
            dataset.PatientName, dataset.PatientID = name, f"MRN77340{member}"
            dataset.PatientBirthDate, dataset.StudyDate = "19511203", f"2019122{member}"
            dataset.InstitutionName = "St. Elsewhere General"
            dataset.StudyDescription = f"boost for {name}"
            if dataset.Modality == "RTSTRUCT":
                dataset.StructureSetLabel = "nurse Ratchett"
                dataset.StructureSetROISequence[0].ROIName = f"ring {name.split('^')[0]}"
            if dataset.Modality == "RTPLAN":
                dataset.RTPlanLabel = "Quimby again"
            dataset.save_as(path)
        (patient / f"{name.replace('^', '_')}.txt").write_text("not DICOM")
        broken = (patient / "CT.0003.dcm").read_bytes()[:700]
        (patient / "cut.dcm").write_bytes(broken)
    return folder


def test_archive_and_pages_hold_nothing_of_the_source(source, tmp_path):
    kept = tmp_path / "kept"
    report = index_source(source, kept / "archive", OPTIONS)
    assert len(report.indexed) == len(NAMES)
    with Archive.open(kept / "archive") as archive:
        session = archive.session(next(source.iterdir()), pictures=True)
        answer = session.ask(k=2)
        write_report(session, answer, kept / "page.html")
        (kept / "answer.json").write_text(json.dumps(answer.to_json()))
    assert phi_scan(kept, source) == []
    folders = [folder.name.lower().encode() for folder in source.iterdir()]
    for file in kept.rglob("*"):
        if file.is_file():
            data = file.read_bytes().lower()
            assert not any(name in data for name in folders), file.name
    reasons = " ".join(skip.reason for skip in report.skipped).lower()  # paths are the user's own
    warnings = str(report.warnings).lower()
    for word in ("quimby", "zaphodsen", "mrn77340", "ratchett", "elsewhere", "1951"):
        assert word not in reasons
        assert word not in warnings


def test_scanning_an_archive_finds_what_was_planted_in_it(source, tmp_path):
    index_source(source, tmp_path / "archive", OPTIONS)
    (tmp_path / "archive" / "notes.txt").write_text("ask Josephine about 2019-12-20")
    found = {leak.element for leak in phi_scan(tmp_path / "archive", source)}
    assert found == {"PatientName", "StudyDate"}
