"""Ingest of many DICOM patients against a bare pydicom read of the same files.

    python benchmarks/ingest.py --folder /tmp/ingest --out docs/numbers

Writes synthetic patients below the folder (about 2 GB for 200, once: what is there is used again),
then times, files in the cache: bare header reads, bare pixel reads, finding and reading all cases
as `isohash index` does, and `isohash index` itself with its peak memory. Writes ingest.json and the
table of docs/dosimetry.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pydicom

from isohash.apps.indexing import WORKERS
from isohash.evaluation.results import machine
from isohash.sources.dicom_writer import WriteOptions, write_dicom
from isohash.sources.phantom import phantom_case
from isohash.sources.reading import find

SHAPE = (122, 128, 128)
FAMILIES, MEMBERS = 4, 4  # distinct phantoms; patients are copies of them under names of their own
SUBFOLDERS = 16
REPEATS = 2  # the faster run counts


def write_patients(folder: Path, which: int, n_patients: int) -> None:
    """All patients that are made of one phantom, under file names without meaning."""
    base = phantom_case(which // MEMBERS, which % MEMBERS, shape=SHAPE)
    for number in range(which, n_patients, FAMILIES * MEMBERS):
        case = replace(base, id=f"patient-{number}", patient=f"patient-{number}")
        name = partial(_file_name, number)
        options = WriteOptions(identity=f"Name{number}^Given", dose_bits=16, file_name=name)
        write_dicom(case, folder / f"{number % SUBFOLDERS:02d}", options)


def _file_name(patient: int, kind: str, number: int) -> str:
    return hashlib.md5(f"{patient} {kind} {number}".encode()).hexdigest()


def prepare(folder: Path, n_patients: int) -> None:
    """Write the patients unless a complete set is there."""
    done = folder / f"{n_patients}.complete"
    if done.exists():
        return
    with ProcessPoolExecutor() as pool:
        make = partial(write_patients, folder / "dicom", n_patients=n_patients)
        list(pool.map(make, range(FAMILIES * MEMBERS)))
    done.write_text("")


def timed(work, *arguments) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work(*arguments)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def bare_headers(files: list[Path]) -> None:
    for file in files:
        pydicom.dcmread(file, stop_before_pixels=True)


def bare_pixels(files: list[Path]) -> None:
    for file in files:
        dataset = pydicom.dcmread(file)
        if "PixelData" in dataset:
            _ = dataset.pixel_array


def read_all(folder: Path) -> int:
    """Find and read every case, on as many threads as `isohash index`."""
    with ThreadPoolExecutor(WORKERS) as threads:
        return sum(threads.map(lambda found: found.read().ct is not None, find(folder).found))


def index(folder: Path, archive: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of `isohash index`, with its children."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(
        [sys.executable, "-m", "isohash.apps.cli", "index", str(folder), str(archive)],
        stdout=subprocess.DEVNULL,
    )
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit("isohash index failed")
    return time.perf_counter() - start, peak / 1e6


def resident(root: int) -> int:
    """Bytes of physical memory of a process and its children; pages shared by both count once."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rsplit(")")[1].split()[1]
                )
            except OSError:
                continue
    family = {root} | {pid for pid, parent in parents.items() if parent == root}
    return sum(map(proportional, family))


def proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def measure(folder: Path, n_patients: int) -> dict:
    source = folder / "dicom"
    files = [file for file in sorted(source.rglob("*")) if file.is_file()]
    bare_headers(files)  # the files are in the cache from here on
    header_s = timed(bare_headers, files)
    pixel_s = timed(bare_pixels, files) - header_s
    find_s = timed(find, source)
    read_s = timed(read_all, source)
    with tempfile.TemporaryDirectory() as archive:
        index_s, peak_mb = index(source, Path(archive, "archive"))
    return {
        "command": "python benchmarks/ingest.py --folder /tmp/ingest --out docs/numbers",
        "patients": n_patients,
        "files": len(files),
        "megabytes": sum(file.stat().st_size for file in files) / 1e6,
        "bare_headers_s": header_s,
        "bare_pixels_s": pixel_s,
        "find_s": find_s,
        "find_and_read_s": read_s,
        "aim_s": 1.5 * header_s + pixel_s,
        "index_s": index_s,
        "index_peak_mb": peak_mb,
        "cores": len(os.sched_getaffinity(0)),
        "pydicom": pydicom.__version__,
        "seed": 0,
        "machine": machine(),
    }


def table(found: dict) -> str:
    """The table of docs/dosimetry.md."""
    n = found["files"]
    rows = (
        ("bare pydicom, headers, one process", found["bare_headers_s"]),
        ("`isohash.sources.reading.find`: headers, linking", found["find_s"]),
        ("bare pydicom, pixels, one process", found["bare_pixels_s"]),
        ("find and read all cases: HU, Gy on the CT, masks", found["find_and_read_s"]),
        ("the aim: 1.5 x bare headers + bare pixels", found["aim_s"]),
        ("`isohash index`, all of it", found["index_s"]),
    )
    lines = "\n".join(f"| {what} | {s:.1f} s | {n / s:,.0f} |" for what, s in rows)
    return (
        f"{found['patients']} synthetic patients, {n:,} files, {found['megabytes']:,.0f} MB, in "
        f"the cache; {found['cores']} cores of {found['machine']['processor']}. Peak memory of "
        f"`isohash index` with its children: {found['index_peak_mb']:,.0f} MB. "
        f"Made by `{found['command']}`.\n\n"
        f"| | time | files a second |\n|---|---|---|\n{lines}"
    )


def write_table(found: dict) -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "dosimetry.md"
    body = f"<!-- ingest -->\n{table(found)}\n<!-- /ingest -->"
    pattern = r"<!-- ingest -->.*?<!-- /ingest -->"
    page.write_text(re.sub(pattern, lambda _: body, page.read_text(), flags=re.DOTALL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "ingest"))
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    options = parser.parse_args()
    prepare(options.folder, options.patients)
    found = measure(options.folder, options.patients)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "ingest.json").write_text(json.dumps(found, indent=2) + "\n")
    write_table(found)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
