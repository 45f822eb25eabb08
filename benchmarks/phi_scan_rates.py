"""How often phi-scan is wrong: leaks that it misses, and strangers that it tells to be there.

    python benchmarks/phi_scan_rates.py ARCHIVE [--leaks 1000] [--strangers 2000] [--seed 0]

Plants leaks drawn at random (kind of value x spelling x encoding x place) and looks for them; then
looks in ARCHIVE for patients drawn at random, of whom it has nothing. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from attack.planted import hunt, strangers_told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--leaks", type=int, default=1000)
    parser.add_argument("--strangers", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        missed = hunt(Path(folder), given.leaks, given.seed)
    told = strangers_told(given.archive, given.strangers, given.seed)
    n_bytes = sum(file.stat().st_size for file in given.archive.rglob("*") if file.is_file())
    found = {
        "leaks": given.leaks,
        "missed": missed,
        "strangers": given.strangers,
        "false_alarms": told,
        "archive_bytes": n_bytes,
        "seed": given.seed,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
