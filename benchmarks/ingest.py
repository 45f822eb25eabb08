"""Ingest of many DICOM patients against a bare pydicom read of the same files.

    python benchmarks/ingest.py --patients 16 --folder /tmp/ingest --out docs/numbers

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
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pydicom

from isohash.evaluation.kit.results import machine
from isohash.retrieval.building.indexing import WORKERS
from isohash.sources.dicom.writer import WriteOptions, write_dicom
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


def timed(work, *arguments) -> dict[str, float]:
    """Least wall time and least processor time, of this process and its children."""
    walls, processors = [], []
    for _ in range(REPEATS):
        start, before = time.perf_counter(), processor_seconds()
        work(*arguments)
        walls.append(time.perf_counter() - start)
        processors.append(processor_seconds() - before)
    return {"wall_s": min(walls), "processor_s": min(processors)}


def processor_seconds() -> float:
    """Processor time so far of this process and of the children that it has."""
    ticks = 0
    for pid in family(os.getpid()):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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


def index(folder: Path, archive: Path) -> tuple[dict[str, float], float]:
    """Times and peak memory in MB of `isohash index`, with its children."""
    start, peak = time.perf_counter(), 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, "-m", "isohash", "index", str(folder), str(archive)],
        stdout=subprocess.DEVNULL,
    )
    while process.poll() is None:
        peak = max(peak, sum(map(proportional, family(process.pid))))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit("isohash index failed")
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall, "processor_s": used}, peak / 1e6


def family(root: int) -> set[int]:
    """A process and its children, by number."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")")[1].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    return {root} | {pid for pid, parent in parents.items() if parent == root}


def proportional(pid: int) -> int:
    """Bytes of physical memory of a process; pages shared with others count by their share."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def measure(folder: Path, n_patients: int) -> dict:
    source = folder / "dicom"
    files = [file for file in sorted(source.rglob("*")) if file.is_file()]
    bare_headers(files)  # the files are in the cache from here on
    times = {
        "bare_headers": timed(bare_headers, files),
        "bare_pixels": timed(bare_pixels, files),
        "find": timed(find, source),
        "find_and_read": timed(read_all, source),
    }
    times["aim"] = {  # bare pixels include their headers
        kind: times["bare_pixels"][kind] + 0.5 * times["bare_headers"][kind]
        for kind in ("wall_s", "processor_s")
    }
    with tempfile.TemporaryDirectory() as archive:
        times["index"], peak_mb = index(source, Path(archive, "archive"))
    return {
        "command": f"python benchmarks/ingest.py --patients {n_patients} --folder /tmp/ingest "
        "--out docs/numbers",
        "patients": n_patients,
        "files": len(files),
        "megabytes": sum(file.stat().st_size for file in files) / 1e6,
        "times": times,
        "index_peak_mb": peak_mb,
        "load": os.getloadavg()[0],
        "cores": len(os.sched_getaffinity(0)),
        "pydicom": pydicom.__version__,
        "seed": 0,
        "machine": machine(),
    }


def table(found: dict) -> str:
    """The table of docs/dosimetry.md."""
    n = found["files"]
    names = {
        "bare_headers": "bare pydicom, headers, one process",
        "find": "`isohash.sources.reading.find`: headers, linking",
        "bare_pixels": "bare pydicom, headers and pixels, one process",
        "aim": "the aim: 1.5 x bare headers + bare pixels",
        "find_and_read": "find and read all cases: HU, Gy on the CT, masks",
        "index": "`isohash index`, all of it",
    }
    lines = "\n".join(
        f"| {what} | {took['wall_s']:.1f} s | {n / took['wall_s']:,.0f} "
        f"| {took['processor_s']:.1f} s |"
        for key, what in names.items()
        if (took := found["times"][key])
    )
    return (
        f"{found['patients']} synthetic patients, {n:,} files, {found['megabytes']:,.0f} MB, in "
        f"the cache; {found['cores']} cores of {found['machine']['processor']}, load average "
        f"{found['load']:.0f} (1 would be this work alone). Peak memory of "
        f"`isohash index` with its children: {found['index_peak_mb']:,.0f} MB. "
        f"Made by `{found['command']}`.\n\n"
        f"| | wall time | files a second | processor time |\n|---|---|---|---|\n{lines}"
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
