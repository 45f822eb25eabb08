"""Write the tables of docs/planning.md from docs/figures/planning: none typed by hand.

python benchmarks/planning_tables.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from validity_tables import table

from isohash.evaluation.kit.results import read_results

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "planning.md"
NUMBERS = ROOT / "docs" / "figures" / "planning"
TWENTY = NUMBERS / "twenty"

Row = dict[str, Any]


def rows(name: str, folder: Path = NUMBERS) -> list[Row]:
    found: list[Row] = read_results(folder, name)["rows"]
    return found


def number(value: Any, digits: int = 1) -> str:
    return "" if value is None or value != value else f"{value:.{digits}f}"


def within(row: Row, name: str, digits: int = 2) -> str:
    if row[name] is None:
        return ""
    low, high = (number(row[f"{name}_{end}"], digits) for end in ("low", "high"))
    return f"{number(row[name], digits)} [{low}, {high}]"


def scores() -> str:
    lines = [_scored(row, "169 plans") for row in rows("scores")]
    few = rows("scores", TWENTY) if TWENTY.exists() else []
    model = [row for row in few if row["dose"] == "dose model"]
    lines += [_scored(row, "20 plans") for row in model if row["split"] == "validation"]
    header = ("patients", "dose", "learned from", "dose score, Gy", "DVH score, Gy")
    return table(header, lines)


def _scored(row: Row, learned: str) -> Sequence[str]:
    who = f"{row['split']} ({row['patients']})"
    return who, row["dose"], learned, within(row, "dose_score"), within(row, "dvh_score")


def bands() -> str:
    header = ("patients", "of", "nominal", "cover, %", "mean half width, Gy")
    lines = []
    for row in rows("bands"):
        cover = number(row["cover_percent"])
        if row["cover_low"] is not None:
            cover += f" [{number(row['cover_low'], 0)}, {number(row['cover_high'], 0)}]"
        nominal = f"{100 * row['nominal']:.0f} %"
        lines.append((row["split"], row["of"], nominal, cover, number(row["half_width_gy"])))
    return table(header, lines)


def objectives() -> str:
    header = ("structure", "metric", "error, left out", "error, validation", "half width 68 / 90 %")
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows("objectives"):
        found.setdefault((row["structure"], row["metric"]), {})[row["split"]] = row
    lines = []
    for (structure, metric), by in found.items():
        left, new = by["left out"], by.get("validation")
        widths = f"{number(left['half_width_68'])} / {number(left['half_width_90'])}"
        told = f"{number(new['error_gy'])} ({new['patients']})" if new else ""
        told_left = f"{number(left['error_gy'])} ({left['patients']})"
        lines.append((structure, metric, told_left, told, widths))
    return table(header, lines)


def ranking() -> str:
    names = {"map": "`map`", "plan": "`plan`", "shared": "`plan`, absent structures ignored"}
    header = (
        "patients",
        "ranked by",
        "against the own plan's",
        "r",
        "nearest, Gy",
        "best possible",
    )
    lines = [
        (
            f"{row['split']} ({row['queries']})",
            names[row["ranked by"]],
            row["against"],
            within(row, "r", 3),
            number(row["nearest_gy"]),
            number(row["best_gy"]),
        )
        for row in rows("ranking")
    ]
    return table(header, lines)


def intervals() -> str:
    by: dict[str, list[str]] = {}
    for row in rows("intervals"):
        by.setdefault(row["split"], []).append(f"{row['held_percent']:.0f} %")
    header = ("held by", "nearest", "5 nearest", "10 nearest")
    return table(header, [(name, *cells) for name, cells in by.items()])


def checks() -> str:
    header = ("patients", "plan", "alarm raised")
    lines = [
        (f"{row['split']} ({row['patients']})", row["plan"], f"{row['alarm_percent']:.0f} %")
        for row in rows("checks")
    ]
    return table(header, lines)


def origin() -> str:
    told = read_results(NUMBERS, "scores")
    machine, patients = told["machine"], told["patients"]
    counts = ", ".join(f"{n} {name}" for name, n in patients.items())
    return (
        f"{counts}; seed {told['settings']['seed']}; data digest {told['data_digest'][:12]}; "
        f"{machine['processor']}, Python {machine['python']}"
    )


def main() -> None:
    text = PAGE.read_text()
    parts = [origin, scores, bands, objectives, ranking, intervals]
    if (NUMBERS / "checks.csv").exists():
        parts.append(checks)
    for part in parts:
        name = part.__name__
        pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
        told = f"<!-- {name} -->{part()}<!-- /{name} -->"
        text, n = re.subn(pattern, lambda _, told=told: told, text, flags=re.DOTALL)
        if n != 1:
            raise SystemExit(f"{PAGE}: {n} marks {name}")
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
