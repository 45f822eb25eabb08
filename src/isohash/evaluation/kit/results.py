"""Writing an evaluation: one CSV and one JSON that says how the numbers came about."""

from __future__ import annotations

import csv
import json
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.machine import processor_name
from isohash.whole_files import private_folder, write_whole

Row = Mapping[str, Any]
WORDS = {"": None, "True": True, "False": False}
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


def write_results(folder: str | Path, name: str, rows: Sequence[Row], about: Row) -> None:
    """Write `name`.csv (the rows) and `name`.json (what they mean, the machine)."""
    out = Path(folder)
    write_csv(out / f"{name}.csv", rows)
    _write_json(out / f"{name}.json", about)


def write_curves(
    folder: str | Path, name: str, panels: Sequence[Row], by: Sequence[str], about: Row
) -> None:
    """As `write_results`, of panels whose list-valued columns are the points that were drawn.

    The CSV has a row per point, with the columns `by` of its panel; the JSON has the `panels`,
    without the points.
    """
    out = Path(folder)
    write_csv(out / f"{name}.csv", [row for panel in panels for row in points_of(panel, by)])
    _write_json(out / f"{name}.json", {**about, "panels": [without_points(p) for p in panels]})


def read_results(folder: str | Path, name: str) -> dict[str, Any]:
    """What `write_results` wrote: the JSON, and under `rows` the rows of the CSV."""
    told: dict[str, Any] = json.loads((Path(folder) / f"{name}.json").read_text())
    return {**told, "rows": read_csv(Path(folder) / f"{name}.csv")}


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Rows that `write_csv` wrote, with the numbers, truth values and texts that they had.

    Empty cells are None.
    """
    with path.open(newline="") as file:
        texts = list(csv.DictReader(file))
    return [{column: _value(cell) for column, cell in row.items()} for row in texts]


def _value(cell: str) -> Any:
    if cell in WORDS:
        return WORDS[cell]
    for kind in (int, float):
        with suppress(ValueError):
            return kind(cell)
    return cell


def points_of(panel: Row, by: Sequence[str]) -> list[dict[str, Any]]:
    """One row per point: the panel's columns `by` repeated, its lists (of one length) read."""
    lists = {name: value for name, value in panel.items() if isinstance(value, list)}
    points = (dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True))
    return [{name: panel[name] for name in by} | point for point in points]


def without_points(panel: Row) -> dict[str, Any]:
    """A panel's plain columns."""
    return {name: value for name, value in panel.items() if not isinstance(value, list)}


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows, which need not all have the same columns."""
    private_folder(path.parent)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, [text.getvalue().encode()])


def _write_json(path: Path, about: Row) -> None:
    private_folder(path.parent)
    told = {**about, "machine": machine()}
    write_whole(path, [f"{json.dumps(told, indent=2)}\n".encode()])


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
