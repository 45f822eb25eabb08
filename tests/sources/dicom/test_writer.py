"""What the writer makes is valid DICOM by the judgement of dciodvfy, which knows the standard."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from isohash.sources.dicom.writer import POSITIONS, WriteOptions, write_dicom
from isohash.sources.reading import read_case

TOOL = shutil.which("dciodvfy", path=f"{Path(sys.executable).parent}:/usr/bin")
pytestmark = pytest.mark.skipif(TOOL is None, reason="dicom3tools are not installed")
IODS = {"CT": "CTImage", "RS": "RTStructureSet", "RD": "RTDose", "RP": "RTPlan"}


def judged(tool, files, excused):
    """What a checker prints about files, without the lines that hold the excused words."""
    run = subprocess.run([tool, *map(str, files)], capture_output=True, text=True, check=False)
    return "\n".join(line for line in (run.stdout + run.stderr).splitlines() if excused not in line)


@pytest.mark.parametrize("position", POSITIONS)
def test_every_object_is_valid(tmp_path, case, position):
    # Grids of 32 bits are legal, but dciodvfy ends on them in an assertion of its own.
    case = replace(case, facts={"n_fractions": 30, "approval": "APPROVED"})
    options = WriteOptions(position=position, dose_bits=16, identity="Doe^Jane")
    files = write_dicom(case, tmp_path, options)
    for file in files:
        told = judged(TOOL, [file], "<Laterality>")  # empty because it is not known
        assert IODS[file.name[:2]] in told  # it was recognised and checked as what it is
        assert "Error" not in told, told
        assert "Warning" not in told, told


def test_the_objects_agree_with_each_other(tmp_path, case):
    files = write_dicom(case, tmp_path, WriteOptions(dose_bits=16, identity="Doe^Jane"))
    study = pydicom.dcmread(files[0]).StudyInstanceUID  # referred to, and no instance
    told = judged(TOOL.replace("dciodvfy", "dcentvfy"), files, study)
    assert "Error" not in told, told


def test_what_a_plan_says_comes_back(tmp_path, case):
    facts = {"n_fractions": 30, "approval": "APPROVED", "intent": "CURATIVE"}
    write_dicom(replace(case, facts=facts), tmp_path)
    read = read_case(tmp_path)
    assert {name: read.facts[name] for name in facts} == facts
    assert read.warnings == ()
