"""How often phi-scan is wrong: leaks that it misses, and strangers that it tells to be there.

    python benchmarks/phi_scan_rates.py ARCHIVE [--leaks 1000] [--seeds 0 1 2] --out docs/numbers

Plants leaks drawn at random (kind of value x spelling x encoding x place) and looks for them; then
looks in ARCHIVE for patients drawn at random, of whom it has nothing, many of one source and few,
by what the command itself runs.
Writes phi_scan.json, which `make readme` quotes in SECURITY.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from attack.planted import hunt, strangers_told
from isohash.evaluation.kit.results import machine

STRANGERS = ((60, 20), (1000, 500), (2000, 2000))  # in all, and of one source


def missed(leaks: int, seed: int) -> list[tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        return hunt(Path(folder), leaks, seed)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    told = [
        {"strangers": n, "of_one_source": group,
         "false_alarms": strangers_told(given.archive, n, given.seeds[0], group)}
        for n, group in STRANGERS
    ]  # fmt: skip
    return {
        "command": "python benchmarks/phi_scan_rates.py ARCHIVE --out docs/numbers",
        "leaks": given.leaks,
        "hunts": [{"seed": seed, "missed": missed(given.leaks, seed)} for seed in given.seeds],
        "told": told,
        "archive_bytes": sum(f.stat().st_size for f in given.archive.rglob("*") if f.is_file()),
        "seed": given.seeds[0],
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--leaks", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    given = parser.parse_args()
    if not given.archive.is_dir():
        parser.error(f"there is no archive at {given.archive}")
    found = json.dumps(measure(given), indent=2) + "\n"
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "phi_scan.json").write_text(found)
    print(found)


if __name__ == "__main__":
    main()
