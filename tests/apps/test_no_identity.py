"""From files full of identity, in folders named after patients, to archive and pages: nothing."""

import json
from dataclasses import replace

import pydicom
import pytest

from isohash.apps.page.report import write_report
from isohash.retrieval.building.indexing import build_archive
from isohash.retrieval.engine import Archive
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.phi_scan import phi_scan
from small_cases import OPTIONS, phantom

PLAN = {"n_fractions": 35, "approval": "APPROVED"}
NAMES = ("Quimby^Josephine", "Überström^Åke")


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(tmp_path / "key"))
    folder = tmp_path / "source"
    for member, name in enumerate(NAMES):
        patient = folder / name.replace("^", "_")
        case = replace(phantom(0, member), prescription_gy=70.0, facts=PLAN)
        for path in write_dicom(case, patient, WriteOptions(identity="x")):
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


def test_archive_and_pages_hold_nothing_of_the_source_but_what_is_planted(source, tmp_path):
    kept = tmp_path / "kept"
    report = build_archive(source, kept / "archive", **{**OPTIONS, "encoder": "pca"})
    assert len(report.indexed) == len(NAMES)
    with Archive.open(kept / "archive") as archive:
        session = archive.session(next(source.iterdir()), pictures=True)
        answer = session.ask(k=1)
        write_report(session, answer, kept / "page.html")
        (kept / "answer.json").write_text(json.dumps(answer.to_json()))
    assert "70 Gy in 35 fractions, APPROVED" in (kept / "page.html").read_text()
    assert phi_scan(kept, source) == []
    folders = [folder.name.lower().encode() for folder in source.iterdir()]
    for file in kept.rglob("*"):
        if file.is_file():
            data = file.read_bytes().lower()
            assert not any(name in data for name in folders), file.name
    reasons = " ".join(skip.reason for skip in report.skipped).lower()  # paths are the user's own
    warnings = str(report.warnings).lower()
    for word in ("quimby", "mrn77340", "ratchett", "elsewhere", "1951"):
        assert word not in reasons
        assert word not in warnings

    (kept / "archive" / "notes.txt").write_text("ask Josephine about 2019-12-20")
    assert {leak.element for leak in phi_scan(kept, source)} == {"PatientName", "StudyDate"}
