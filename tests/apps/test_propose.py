"""`isohash propose`: all files or none, valid DICOM of its CT, nobody's name elsewhere."""

from __future__ import annotations

import csv
import json
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from isohash.apps.proposal_files import FILES
from isohash.records import Case
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.reading import read_case
from pacs_nodes import Fake, serving

TOOL = shutil.which("dciodvfy", path=f"{Path(sys.executable).parent}:/usr/bin")
NAME = "Mustermann^Erika"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new patient as DICOM, without a dose."""
    from small_cases import DOSED_MEMBERS, phantom

    case = replace(phantom(1, DOSED_MEMBERS), dose=None, facts={})
    whole = replace(case, ct=replace(case.ct, array=np.rint(case.ct.array)))
    folder = tmp_path_factory.mktemp("study")
    write_dicom(whole, folder, WriteOptions(identity=NAME))
    return folder


@pytest.fixture(scope="module")
def proposed(dosed_path: Path, study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "P"
    command = [sys.executable, "-m", "isohash", "propose", str(dosed_path), str(study)]
    subprocess.run([*command, "--prescription", "60", "--out", str(out)], check=True)
    return out


def test_every_file_says_that_it_is_not_for_treatment(proposed: Path) -> None:
    assert sorted(path.name for path in proposed.iterdir()) == sorted(FILES)
    assert [path.name for path in proposed.parent.iterdir()] == ["P"]
    for path in proposed.iterdir():
        assert b"research, not for treatment" in path.read_bytes(), path.name


def test_the_doses_belong_to_the_ct(proposed: Path, study: Path) -> None:
    ct = pydicom.dcmread(study / "CT.0000.dcm")
    structures = pydicom.dcmread(study / "RS.0000.dcm")
    plan = pydicom.dcmread(proposed / "plan.dcm")
    uids = set()
    for name in ("dose.dcm", "half_width.dcm"):
        dose = pydicom.dcmread(proposed / name)
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
            assert dose[keyword].value == ct[keyword].value
        assert dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == plan.SOPInstanceUID
        assert (dose.Rows, dose.Columns) == (ct.Rows, ct.Columns)
        assert dose.NumberOfFrames == len(list(study.glob("CT.*")))
        uids |= {dose.SOPInstanceUID, dose.SeriesInstanceUID}
    assert len(uids) == 4
    referred = plan.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID
    assert referred == structures.SOPInstanceUID
    assert pydicom.dcmread(proposed / "half_width.dcm").DoseType == "ERROR"


def test_the_dose_is_read_back_as_it_was_told(proposed: Path, study: Path, tmp_path: Path) -> None:
    for file in (*study.iterdir(), proposed / "dose.dcm", proposed / "plan.dcm"):
        shutil.copy(file, tmp_path)
    back = read_case(tmp_path)
    told = json.loads((proposed / "proposal.json").read_text())
    assert back.dose.array.max() > 0.9 * told["prescription_gy"]
    rows = list(csv.DictReader((proposed / "objectives.csv").read_text().splitlines()))
    assert len(rows) == len(told["objectives"])
    assert float(rows[0]["gy"]) == pytest.approx(told["objectives"][0]["gy"], abs=1e-3)


def test_only_the_dicom_files_know_the_patient(
    proposed: Path, dosed_path, study, tmp_path, isohash
):
    for path in proposed.iterdir():
        assert (b"Mustermann" in path.read_bytes()) == (path.suffix == ".dcm"), path.name
    out = tmp_path / "Q"
    given = ("propose", dosed_path, study, "--prescription", 60, "--out", out, "--pseudonyms")
    assert isohash(*given).status == 0
    assert all(b"Mustermann" not in path.read_bytes() for path in out.iterdir())


@pytest.mark.skipif(TOOL is None, reason="dicom3tools are not installed")
@pytest.mark.parametrize("name", ["dose.dcm", "half_width.dcm", "plan.dcm"])
def test_the_objects_are_valid(proposed: Path, name: str) -> None:
    run = subprocess.run([TOOL, proposed / name], capture_output=True, text=True, check=False)
    told = run.stdout + run.stderr
    assert "Error" not in told, told
    assert "Warning" not in told, told


def test_files_that_are_there_are_not_replaced_unasked(dosed_path, proposed, isohash) -> None:
    before = {path.name: path.read_bytes() for path in proposed.iterdir()}
    told = isohash("propose", dosed_path, "phantom-00-00", "--out", proposed)
    assert told.status == 1
    assert "holds dose.dcm already" in told.err
    assert {path.name: path.read_bytes() for path in proposed.iterdir()} == before


def test_a_proposal_that_fails_leaves_nothing(dosed_path, tmp_path, isohash) -> None:
    told = isohash("propose", dosed_path, "bare", "--out", tmp_path / "P")
    assert told.status == 1
    assert "has no target" in told.err
    assert list(tmp_path.iterdir()) == []
    assert isohash("propose", dosed_path, "bare", "--out", tmp_path / "no" / "P").status == 1


def test_a_disk_that_fails_leaves_nothing(dosed_path, tmp_path, isohash, monkeypatch) -> None:
    from isohash.apps import proposal_files

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(proposal_files, "write_page", full)
    told = isohash("propose", dosed_path, "phantom-00-00", "--out", tmp_path / "P")
    assert told.status == 1
    assert "cannot be written (No space left on device)" in told.err
    assert list(tmp_path.iterdir()) == []


def test_the_answer_for_machines_is_the_file(dosed_path, tmp_path, isohash) -> None:
    told = isohash("propose", dosed_path, "phantom-00-00", "--out", tmp_path / "P", "--json")
    assert json.loads(told.out) == json.loads((tmp_path / "P" / "proposal.json").read_text())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "P").iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "P").stat().st_mode) == 0o700
    (tmp_path / "P" / "plan.dcm").chmod(0o640)  # the mode that it was given stays
    again = isohash("propose", dosed_path, "phantom-00-00", "--out", tmp_path / "P", "--replace")
    assert again.status == 0
    assert stat.S_IMODE((tmp_path / "P" / "plan.dcm").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "P" / "dose.dcm").stat().st_mode) == 0o600
    page = (tmp_path / "P" / "proposal.html").read_text()
    assert "as 12 plans of this archive show" in page
    assert page.count('class="pane"') == 5


def test_a_case_in_memory_is_a_case(dosed, new_patient: Case) -> None:
    assert dosed.propose(new_patient).query == "new"


def test_a_study_of_a_pacs_comes_once(dosed_path, study: Path, tmp_path: Path, isohash) -> None:
    with serving(Fake()) as node:
        uid = node.add(study)
        given = ("propose", dosed_path, f"{node.address}#{uid}", "--prescription", 60)
        told = isohash(*given, "--out", tmp_path / "P")
        assert told.status == 0, told.err
        assert sum("/series/" in path for path in node.asked) == len(node.objects[uid])
    assert pydicom.dcmread(tmp_path / "P" / "dose.dcm").StudyInstanceUID == uid
