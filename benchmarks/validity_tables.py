"""Write the tables and numbers of docs/validity.md from docs/figures/validity: none typed by hand.

python benchmarks/validity_tables.py

The page marks each by its name, `<!-- name -->...<!-- /name -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from isohash.evaluation.kit.results import read_results

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "validity.md"
NUMBERS = ROOT / "docs" / "figures" / "validity"
SPLITS = ("leave one out", "validation")

Row = dict[str, Any]


def told(name: str) -> dict[str, Any]:
    """What one table's JSON says."""
    return read_results(NUMBERS, name)


def by_way(name: str, split: str) -> dict[str, Row]:
    """The rows of a split by their way of retrieval."""
    return {row["way"]: row for row in told(name)["rows"] if row["split"] == split}


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table on lines of its own."""
    body = ["| " + " | ".join(line) + " |" for line in (header, *lines)]
    return "\n".join(["", body[0], "|---" * len(header) + "|", *body[1:], ""])


def starred(row: Row) -> str:
    return f"{row['way']} *" if row["needs_dose"] else str(row["way"])


def interval(row: Row, key: str, low: str, high: str, digits: int) -> str:
    cells = (f"{row[name]:.{digits}f}".replace("0.", ".", 1) if digits == 2 and abs(row[name]) < 1
             else f"{row[name]:.{digits}f}" for name in (key, low, high))  # fmt: skip
    value, least, most = cells
    return f"{value} [{least}, {most}]"


def correlation() -> str:
    first, second = (by_way("correlation", split) for split in SPLITS)
    ways = [way for way, row in first.items() if row["plan_low"] is not None]
    lines = []
    for way in sorted(ways, key=lambda way: first[way]["r_plan"]):
        cells = [starred(first[way])]
        for found in (first[way], second[way]):
            cells += [
                interval(found, "r_plan", "plan_low", "plan_high", 2),
                interval(found, "r_dose", "dose_low", "dose_high", 2),
                f"{found['nearest_gy']:.1f}",
            ]
        lines.append(cells)
    header = ("way", "r, plan, leave one out", "r, dose", "nearest, Gy",
              "r, plan, validation", "r, dose", "nearest, Gy")  # fmt: skip
    return table(header, lines)


def nearest() -> str:
    first, second = (by_way("nearest", split) for split in SPLITS)
    lines = []
    for way in sorted(first, key=lambda way: -first[way]["dvh_score"]):
        cells = [starred(first[way])]
        for found in (first[way], second[way]):
            cells += [
                interval(found, score, f"{score}_low", f"{score}_high", 1)
                for score in ("dose_score", "dvh_score")
            ]
        lines.append(cells)
    header = ("nearest by", "dose score, leave one out", "DVH score", "dose score, validation",
              "DVH score")  # fmt: skip
    return table(header, lines)


def anatomy() -> str:
    lines = []
    for way, row in by_way("nearest", "leave one out").items():
        other = by_way("nearest", "validation")[way]
        if row["same_side"] is not None:
            pairs = ((row[key], other[key]) for key in
                     ("same_side", "same_number_of_targets", "target_volume_ratio"))  # fmt: skip
            lines.append((starred(row), *(f"{a:.2f} / {b:.2f}" for a, b in pairs)))
    header = ("nearest by", "same side", "same number of targets", "ratio of target volumes")
    return table(header, lines)


def bands() -> str:
    rows = told("bands")["rows"]
    lines = []
    for name in dict.fromkeys(row["bands"] for row in rows):
        cells = [name]
        for nominal in (0.68, 0.9):
            for split in SPLITS:
                (row,) = (r for r in rows if (r["bands"], r["split"], r["nominal"])
                          == (name, split, nominal))  # fmt: skip
                ends = f"{100 * row['low']:.0f}, {100 * row['high']:.0f}"
                width = "" if row["half_width_gy"] is None else f", {row['half_width_gy']:.1f} Gy"
                cells.append(f"{100 * row['coverage']:.1f} % [{ends}]{width}")
        lines.append(cells)
    header = ("bands", "68 %, leave one out", "68 %, validation", "90 %, leave one out",
              "90 %, validation")  # fmt: skip
    return table(header, lines)


def intervals() -> str:
    rows = told("intervals")["rows"]
    lines = []
    for split in SPLITS:
        cells = (f"{100 * row['coverage']:.0f} % [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"
                 for row in rows if row["split"] == split)  # fmt: skip
        lines.append((split, *cells))
    header = ("within the 95 % interval", "nearest", "5 nearest", "10 nearest")
    return table(header, lines)


def learning() -> str:
    rows = told("learning")["rows"]
    lines = [
        ("plans learned from", *(str(row["cases"]) for row in rows)),
        ("error of predicted histograms, Gy", *(f"{row['error_gy']:.1f}" for row in rows)),
        ("error of the plans' mean, Gy", *(f"{row['mean_plan_error_gy']:.1f}" for row in rows)),
        ("r", *(f"{row['r_plan']:.2f}" for row in rows)),
    ]
    return table(lines[0], lines[1:])


def alpha() -> str:
    first, second = (by_way("correlation", split) for split in SPLITS)
    lines = []
    for fusion in ("late", "early"):
        for name, found in zip(SPLITS, (first, second), strict=True):
            own = {way: row for way, row in found.items() if way.startswith(f"joint, {fusion}")}
            cells = (f"{row['r_plan']:.2f} ({row['five_nearest_gy']:.1f})" for row in own.values())
            lines.append((f"{fusion}, {name}", *cells))
    header = [way.rpartition(" ")[2] for way in first if way.startswith("joint, late")]
    return table(("alpha", *header), lines)


def origin() -> str:
    found = told("correlation")
    machine, patients = found["machine"], found["patients"]
    return (
        f"{' and '.join(f'{n} patients ({name})' for name, n in patients.items())}; seed "
        f"{found['settings']['seed']}; data digest {found['data_digest'][:12]}; "
        f"{machine['processor']}, Python {machine['python']}, NumPy {machine['packages']['numpy']}"
    )


def number(way: str, split: str, key: str) -> str:
    name = "nearest" if key in ("dose_score", "dvh_score") else "correlation"
    value = by_way(name, split)[way][key]
    return f"{value:.2f}".replace("0.", ".", 1) if key.startswith("r_") else f"{value:.1f}"


def main() -> None:
    text = PAGE.read_text()
    makers = (correlation, nearest, anatomy, bands, intervals, learning, alpha, origin)
    for make in makers:
        text = filled(text, make.__name__, make())
    for name in set(re.findall(r"<!-- (n:[^>]+?) -->", text)):
        _, way, split, key = name.split(":")
        text = filled(text, name, number(way, split, key))
    PAGE.write_text(text)


def filled(text: str, name: str, content: str) -> str:
    mark = re.escape(name)
    pattern = rf"(<!-- {mark} -->).*?(<!-- /{mark} -->)"
    return re.sub(pattern, lambda m: m[1] + content + m[2], text, flags=re.DOTALL)


if __name__ == "__main__":
    main()
