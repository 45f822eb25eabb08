"""What `isohash propose` costs for new patients in folders of DICOM files.

python benchmarks/proposing.py ARCHIVE FOLDER --out docs/numbers

The first cases of FOLDER, without their doses, are written as DICOM; each is then asked by a new
process, in turn, and its processor time counted, with that of a process that only starts. Writes
proposing (.csv, .json), which `make readme` quotes in docs/planning.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from cold_start import ASK, HERE, run, spread

from isohash.evaluation.kit.results import write_results
from isohash.retrieval.engine import Archive
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.reading import find

STARTING = "starting (`isohash propose --help`)"


def write_patients(cases: Path, folder: Path, n: int) -> list[Path]:
    """The first cases as DICOM folders, without doses."""
    out = []
    for number, found in enumerate(find(cases).found[:n]):
        out.append(folder / str(number))
        options = WriteOptions(identity=f"New^{number}")
        write_dicom(replace(found.read(), dose=None), out[-1], options)
    return out


def asked(archive: Path, patient: Path) -> tuple[float, dict[str, Any]]:
    """Processor seconds of one proposal, and what it told."""
    with tempfile.TemporaryDirectory() as out:
        given = [str(archive), str(patient), "--json", "--out", f"{out}/new"]
        seconds, told = run(["-c", ASK, "propose", *given], HERE)
    return seconds, json.loads(told)


def measure(archive: Path, patients: list[Path], runs: int) -> tuple[list[dict[str, Any]], str]:
    """Rows of what was timed, and what the doses were learned from; a first round warms up."""
    starting, proposing = [], {patient: [] for patient in patients}
    for n in range(runs + 1):
        spent = run(["-c", ASK, "propose", "--help"], HERE)[0]
        times = {patient: asked(archive, patient) for patient in patients}
        if n:
            starting.append(spent)
            for patient, (seconds, _) in times.items():
                proposing[patient].append(seconds)
    rows = [{"what": STARTING, **spread(starting)}]
    rows += [{"what": f"a proposal, patient {p.name}", **spread(proposing[p])} for p in patients]
    return rows, times[patients[-1]][1]["learned_from"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        patients = write_patients(options.folder, Path(folder), options.patients)
        rows, learned = measure(options.archive, patients, options.runs)
    with Archive.open(options.archive) as opened:
        about = {"runs": options.runs, "members": len(opened), "learned_from": learned}
    write_results(options.out, "proposing", rows, {**about, "load": os.getloadavg()[0]})


if __name__ == "__main__":
    main()
