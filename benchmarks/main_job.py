"""The main job on real patients, as whole processes: index, query cold, verify.

    python benchmarks/main_job.py DATA_FOLDER --out docs/numbers

DATA_FOLDER holds `train/` and `validation/` with OpenKBP cases. Writes main_job.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from isohash.evaluation.kit.results import machine

QUERY = "pt_201.npz"
RUNS = 7


def isohash(*arguments: object) -> str:
    """What one `isohash` command prints, run as its users do: from modules that are compiled."""
    command = [Path(sys.executable).with_name("isohash"), *map(str, arguments)]
    compiling = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=compiling
    ).stdout


def timed(*arguments: object) -> float:
    """Seconds of one command."""
    start = time.perf_counter()
    isohash(*arguments)
    return time.perf_counter() - start


def told(*arguments: object) -> dict:
    """What one command says of itself."""
    return json.loads(isohash(*arguments, "--json"))


def measure(data: Path, folder: Path) -> dict:
    archive, case = folder / "archive", data / "validation" / QUERY
    index_s = timed("index", data / "train", archive)
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    again_s = timed("index", data / "train", archive)
    query = ("query", archive, case, "--by", "joint")
    facts = told("info", archive)
    return {
        "command": "python benchmarks/main_job.py DATA_FOLDER --out docs/numbers",
        "cases": facts["cases"],
        "slices": facts["slices"],
        "dose_slices": facts["dose_slices"],
        "source_mb": size_mb(data / "train"),
        "archive_mb": size_mb(archive),
        "index_s": index_s,
        "index_again_s": again_s,
        "index_peak_mb": peak_mb,
        "query_cold_s": statistics.median(timed(*query) for _ in range(RUNS)),
        "query_report_s": timed(*query, "--report", folder / "r.html"),
        "verify_s": timed("verify", archive),
        "nearest": [match["id"] for match in told(*query)["matches"]],
        "seed": 0,
        "machine": machine(),
    }


def size_mb(folder: Path) -> float:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.data, Path(folder))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "main_job.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
