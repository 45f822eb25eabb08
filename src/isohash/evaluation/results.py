"""Writing an evaluation: one CSV and one JSON that says how the numbers came about."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.machine import processor_name

Row = Mapping[str, Any]
PACKAGES = ("isohash", "numpy", "scipy", "scikit-learn")


def machine() -> dict[str, Any]:
    """What the numbers were made on."""
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def digest(arrays: Iterable[NDArray[Any]]) -> str:
    """SHA-256 of the arrays' shapes, types and bytes: which data a figure was made from."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def write_results(folder: str | Path, name: str, rows: Sequence[Row], about: Row) -> None:
    """Write `name`.csv (the rows) and `name`.json (the rows, what they mean, the machine)."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with (out / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    told = {**about, "machine": machine(), "rows": list(rows)}
    (out / f"{name}.json").write_text(json.dumps(told, indent=2) + "\n")


def bootstrap_interval(
    scores: NDArray[np.floating], groups: NDArray[Any], rng: np.random.Generator, n: int = 1000
) -> tuple[float, float]:
    """95 % interval of the mean score, resampling whole groups (patients), not single slices."""
    names, inverse = np.unique(groups, return_inverse=True)
    total = np.bincount(inverse, weights=scores)
    size = np.bincount(inverse)
    drawn = rng.integers(0, len(names), (n, len(names)))
    means = total[drawn].sum(axis=1) / size[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
