"""What an installation takes: python benchmarks/install_size.py.

Sums the installed files of isohash's requirements, and of theirs (requirements.lock).
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"


def main() -> None:
    """Print megabytes by distribution, the largest first, and their sum."""
    names = re.findall(r"^([\w.-]+)==", LOCK.read_text(), re.MULTILINE)
    sizes = {name: megabytes(name) for name in names}
    for name, size in sorted(sizes.items(), key=lambda one: -one[1]):
        print(f"{size:7.1f} MB  {name}")
    print(f"{sum(sizes.values()):7.1f} MB  in all")


def megabytes(name: str) -> float:
    """Of the installed files of a distribution; 0 where it is not installed."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return 0.0
    there = (Path(str(file.locate())) for file in files if "__pycache__" not in str(file))
    return sum(path.stat().st_size for path in there if path.is_file()) / 1e6


if __name__ == "__main__":
    main()
