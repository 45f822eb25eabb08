"""Write the tables of README.md from docs/numbers: no figure in them is typed by hand.

python benchmarks/readme_tables.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "docs" / "numbers"


def main_job(found: dict[str, Any]) -> str:
    rows = [
        ("cases / slices / slices with dose above 5 Gy",
         f"{found['cases']} / {found['slices']:,} / {found['dose_slices']:,}"),
        ("`isohash index DATA/train A`", f"{found['index_s']:.0f} s"),
        ("the same again, nothing new", f"{found['index_again_s']:.1f} s"),
        ("peak memory while indexing", f"{found['index_peak_mb']:.0f} MB"),
        ("size of the archive (of the source files)",
         f"{found['archive_mb']:.0f} MB ({found['source_mb']:.0f} MB)"),
        ("`isohash query A DATA/validation/pt_201.npz --by joint`, cold process",
         f"{found['query_cold_s']:.2f} s"),
        ("the same with `--report like.html`", f"{found['query_report_s']:.1f} s"),
        ("`isohash verify A`", f"{found['verify_s']:.1f} s"),
    ]  # fmt: skip
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"| | |\n|---|---|\n{table}\n\n{origin(found['command'], found)}"


def dice(found: dict[str, Any]) -> str:
    settings, rows = found["settings"], found["rows"]
    lengths = settings["bits"]
    lines = [
        "| Dice of the top "
        + str(settings["k"])
        + " | "
        + " | ".join(f"{b} bits" for b in lengths)
        + " |",
        "|---|" + "---|" * len(lengths),
    ]
    for view in ("ct", "dose"):
        for family in ("threshold 0", "random threshold"):
            cells = [
                f"{row['dice']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
                for row in rows
                if row["view"] == view and row["family"] == family
            ]
            lines.append(f"| {view}, {family} | " + " | ".join(cells) + " |")
    about = (
        f"{settings['n_queries']} query slices against {settings['n_database']} slices, "
        f"{settings['encoder']} embeddings ({settings['dim']}-dimensional), equal stored bits, "
        f"95 % bootstrap intervals by patient; data digest {found['database']['digest'][:12]}. "
    )
    command = "isohash evaluate dice DATA/train DATA/validation --out docs/numbers"
    return "\n".join(lines) + "\n\n" + about + origin(command, found, settings["seed"])


def search(found: dict[str, Any]) -> str:
    lines = ["| codes | batch | threads | queries/s | times FAISS |", "|---|---|---|---|---|"]
    for row in found["measurements"]:
        if not row["method"].startswith("isohash") or row["kind"] == "graphs":
            continue
        what = (
            f"{row['length']} bits" if row["q"] == 2 else f"{row['length']} symbols, q = {row['q']}"
        )
        how = ", multi-index" if "multi" in row["method"] else ""
        lines.append(
            f"| {row['n']:,} x {what}{how} | {row['batch']} | {row['threads']} | "
            f"{row['queries_per_second']:,.0f} | {row['ratio']:.2f} |"
        )
    where = found["conditions"]
    faiss = f"faiss-cpu {where['versions']['faiss-cpu']} IndexBinaryFlat"
    about = (
        f"Exact top {where['k']}, ratio to {faiss} with the same threads, interleaved in one run, "
        f"both at {where['level'].upper()}; Lee codes against FAISS given the same thermometer "
        f"bits. Command: `isohash bench search --quick --out docs/numbers`; seed {where['seed']}; "
        f"{where['processor']}, {where['cores']} cores, "
        f"memory {where['memory_gigabytes_per_second']} GB/s, Python {where['python']}."
    )
    return "\n".join(lines) + "\n\n" + about


def origin(command: str, found: dict[str, Any], seed: int | None = None) -> str:
    where = found["machine"]
    told = found["seed"] if seed is None else seed
    return (
        f"Command: `{command}`; seed {told}; {where['processor']}, {where['cores']} cores, "
        f"Python {where['python']}."
    )


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "main_job": main_job,
    "dice": dice,
    "search": search,
}


def filled(text: str) -> str:
    """README's text with every table for which there are numbers written anew."""
    for name, table in TABLES.items():
        source = NUMBERS / f"{name}.json"
        if source.is_file():
            body = f"<!-- {name} -->\n{table(json.loads(source.read_text()))}\n<!-- /{name} -->"
            pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
            text = re.sub(pattern, lambda _, body=body: body, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text()))
