"""What bringing patients from a PACS costs, by protocol.

    python benchmarks/pulling.py DATA --patients 20 --out docs/numbers

Patients of DATA are written as DICOM and sent to an Orthanc that is started for it on loopback
(with TCP_NODELAY), then brought by each protocol; every case is compared with the one that its
files give. Writes pulling.csv and .json, and the table of docs/hospital.md.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isohash.evaluation.kit.results import read_results, write_results
from isohash.records import Case
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.pacs.address import opened, parse
from isohash.sources.pacs.fetching import bring
from isohash.sources.pacs.node import Local, Wanted
from isohash.sources.pacs.sending import send
from isohash.sources.reading import find, read_case

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "hospital.md"
NUMBERS = ROOT / "docs" / "numbers"


def main() -> None:
    """Write the patients, store them, bring them back, compare."""
    sys.path.insert(0, str(ROOT / "tests"))
    from pacs_nodes import USER, start_orthanc

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of OpenKBP patients")
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--out", type=Path, default=NUMBERS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = write_patients(given.data, given.patients, folder / "files")
        node = start_orthanc(folder / "db")
        try:
            rows = [stored(node.web, folders, USER), stored(node.dimse, folders[:1], USER)]
            for way, address, local in (
                ("QIDO-RS, WADO-RS", node.web, None),
                ("C-FIND, C-GET", node.dimse, None),
                ("C-FIND, C-MOVE", node.dimse, Local("ISOHASH", node.ours)),
            ):
                rows.append(
                    brought(way, opened(parse(address), local, USER), folders, folder / way)
                )
        finally:
            node.kill()
    write_results(given.out, "pulling", rows, {"patients": given.patients, "seed": 0})
    write_table(given.out)


def write_patients(data: Path, n: int, out: Path) -> list[Path]:
    """A folder of DICOM for each of the first patients."""
    folders = []
    for one in find(data).found[:n]:
        write_dicom(one.read(), out / one.key, WriteOptions(identity=f"Patient^{one.key}"))
        folders.append(out / one.key)
    return folders


def stored(address: str, folders: Sequence[Path], who: Any) -> dict[str, Any]:
    """Seconds to send them."""
    begun = time.perf_counter()
    n = 0
    for folder in folders:
        done = send(folder, address, None, None, who)
        assert not done.refused, done.refused
        n += len(done.sent)
    way = "STOW-RS" if address.startswith("dicomweb") else "C-STORE"
    return row(f"sending: {way}", len(folders), n, time.perf_counter() - begun)


def brought(way: str, node: Any, folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """Seconds to bring them, a study at a time; AssertionError if a case is another one."""
    begun = time.perf_counter()
    found = [
        bring(node, one, Wanted(), out / str(n)) for n, one in enumerate(node.studies(Wanted()))
    ]
    seconds = time.perf_counter() - begun
    node.close()
    files = {(case := read_case(folder)).id: case for folder in folders}
    for one in found:
        mine = read_case(one.files[0].parent)
        assert same(mine, files[mine.id]), mine.id
    return row(way, len(found), sum(len(one.files) for one in found), seconds)


def same(a: Case, b: Case) -> bool:
    """Whether two cases are equal, bit for bit."""
    volumes = [
        (a.ct, b.ct),
        (a.dose, b.dose),
        *((a.structures[n], b.structures[n]) for n in a.structures),
    ]
    equal = all(np.array_equal(x.array, y.array) for x, y in volumes)
    plain = ("id", "patient", "prescription_gy", "warnings", "facts")
    return equal and all(getattr(a, name) == getattr(b, name) for name in plain)


def row(way: str, patients: int, objects: int, seconds: float) -> dict[str, Any]:
    """One way's cost."""
    each = {
        "s_per_patient": round(seconds / patients, 2),
        "ms_per_object": round(1000 * seconds / objects, 2),
    }
    return {
        "way": way,
        "patients": patients,
        "objects": objects,
        "seconds": round(seconds, 1),
        **each,
    }


def write_table(numbers: Path) -> None:
    """The table of docs/hospital.md, between its marks."""
    found = read_results(numbers, "pulling")
    lines = [
        "| way | patients | objects | s in all | s a patient | ms an object |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        "| " + " | ".join(str(value) for value in one.values()) + " |" for one in found["rows"]
    ]
    where = found["machine"]
    command = f"python benchmarks/pulling.py DATA --patients {found['patients']} --out docs/numbers"
    about = (
        f"Command: `{command}`; every case that came equals the one that its files give; "
        f"{where['processor']}, {where['cores']} cores, Python {where['python']}."
    )
    text = "\n".join([*lines, "", about])
    PAGE.write_text(
        re.sub(MARKS, lambda m: f"{m[1]}\n{text}\n{m[2]}", PAGE.read_text(), flags=re.DOTALL)
    )


MARKS = r"(<!-- pulling -->)\n.*?(<!-- /pulling -->)"

if __name__ == "__main__":
    main()
