"""Write the tables of README.md and docs/engine.md from docs/numbers: no figure is typed by hand.

python benchmarks/readme_tables.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from isohash.evaluation.kit.results import read_results

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "docs" / "numbers"


def told(name: str) -> dict[str, Any]:
    """What a measurement says, with the rows of its table if it has one."""
    if (NUMBERS / f"{name}.csv").is_file():
        return read_results(NUMBERS, name)
    head: dict[str, Any] = json.loads((NUMBERS / f"{name}.json").read_text())
    return head


def table(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; "" is an empty cell."""
    head, *body = (
        "|" + "|".join(f" {cell} " if cell != "" else " " for cell in line) + "|"
        for line in (header, *lines)
    )
    return "\n".join([head, "|---" * len(header) + "|", *body])


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
    return f"{table(('', ''), rows)}\n\n{origin(found['command'], found)}"


def dice(found: dict[str, Any]) -> str:
    settings, rows = found["settings"], found["rows"]
    lines = []
    for view in ("ct", "dose"):
        for family in ("default", "threshold 0", "random threshold"):
            cells = [
                f"{row['dice']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
                for row in rows
                if row["view"] == view and row["family"] == family
            ]
            if cells:
                lines.append([f"{view}, {family}", *cells])
    about = (
        f"{settings['n_queries']} query slices against {settings['n_database']} slices, "
        f"{settings['encoder']} embeddings ({settings['dim']}-dimensional), equal stored bits, "
        f"95 % bootstrap intervals by patient; data digest {found['database']['digest'][:12]}. "
    )
    command = (
        "isohash evaluate dice DATA/train DATA/validation "
        f"--encoder {settings['encoder']} --out docs/numbers"
    )
    header = [f"Dice of the top {settings['k']}", *(f"{b} bits" for b in settings["bits"])]
    return f"{table(header, lines)}\n\n{about}{origin(command, found, settings['seed'])}"


# README shows the searches that take long enough to matter; docs/engine.md shows all.
README_CODES = 100_000


def search(found: dict[str, Any]) -> str:
    rows = [row for row in found["rows"] if row["n"] >= README_CODES]
    return search_table(rows, found["conditions"])


def all_searches(found: dict[str, Any]) -> str:
    return search_table(found["rows"], found["conditions"])


def search_table(rows: list[dict[str, Any]], where: dict[str, Any]) -> str:
    lines = [
        (searched(row), row["batch"], row["threads"], f"{row['queries_per_second']:,.0f}",
         f"{row['gigabytes_per_second']:.1f}", f"{row['ratio']:.2f}")
        for row in rows
        if row["method"].startswith("isohash") and row["kind"] != "graphs"
    ]  # fmt: skip
    header = ("codes", "batch", "threads", "queries/s", "GB/s of codes", "times FAISS")
    return f"{table(header, lines)}\n\n{searching(where)}"


def searched(row: dict[str, Any]) -> str:
    kinds = {
        "lee": f"{row['length']} symbols, q = {row['q']}, Lee",
        "wide": f"{row['length']} wide symbols, squared",
    }
    how = ", multi-index" if "multi" in row["method"] else ""
    return f"{row['n']:,} x {kinds.get(row['kind'], str(row['length']) + ' bits')}{how}"


def searching(where: dict[str, Any]) -> str:
    peer = where.get("faiss_level") or where["level"].upper()
    stopped = where["cells"] < where["of_cells"]
    part = f", stopped after {where['cells']} of {where['of_cells']} cells" if stopped else ""
    speed = where["memory_gigabytes_per_second"]  # unknown of a run that was killed
    memory = "" if speed is None else f"memory {speed} GB/s, "
    return (
        f"Exact top {where['k']}, ours at {where['level'].upper()}; ratio to faiss-cpu "
        f"{where['versions']['faiss-cpu']} IndexBinaryFlat at {peer} with the same threads, "
        "interleaved in one run; Lee codes against FAISS given the same thermometer bits, wide "
        f"symbols against bits of the same stored bytes. Command: `{where['command']}`{part}; "
        f"seed {where['seed']}; {where['processor']}, {where['cores']} cores, "
        f"{memory}Python {where['python']}."
    )


def encode(found: dict[str, Any]) -> str:
    lines = [
        (row["dim"], row["method"], f"{row['vectors_per_second']:,}", f"{row['of_product']:.2f}")
        for row in found["rows"]
    ]
    header = ("dimensions", "", "vectors/s", "of the product alone")
    return f"{table(header, lines)}\n\n{origin('isohash bench encode --out docs/numbers', found)}"


def hashes(found: dict[str, Any]) -> str:
    lines = [
        (row["bits"], row["codec"], f"{row['fit_seconds']:.2f}", f"{row['vectors_per_second']:,}",
         f"{row['of_faiss_lsh']:.2f}", f"{row['overlap_at_10']:.2f}")
        for row in found["rows"]
    ]  # fmt: skip
    header = (
        "bits", "", "fitting, s", "vectors/s", "times FAISS LSH", "of the 10 nearest found",
    )  # fmt: skip
    about = (
        f"{found['n']:,} synthetic vectors of {found['dim']} dimensions in clusters, one thread. "
    )
    command = "isohash bench hash --out docs/numbers"
    return f"{table(header, lines)}\n\n{about}{origin(command, found)}"


def archive_size(found: dict[str, Any]) -> str:
    lines = [
        (f"{row['cases']:,}", f"{row['cases'] * found['slices']:,}", f"{row['first_s']:.2f}",
         f"{row['alpha_s']:.2f}", f"{row['filter_s']:.2f}", f"{row['private_mb']:.0f}",
         f"{row['codes_mb']:.0f}")
        for row in found["rows"]
    ]  # fmt: skip
    header = (
        "cases", "stored slices", "first question, s", "another alpha, s", "with a filter, s",
        "private memory, MB", "mapped codes, MB",
    )  # fmt: skip
    about = (
        f"The {found['k']} nearest by CT and dose, by code, to a case of {found['slices']} slices; "
        f"{found['bits']} stored bits per slice and view; processor seconds. "
    )
    command = "python benchmarks/archive_size.py"
    return f"{table(header, lines)}\n\n{about}{origin(command, found)}"


def phi_scan(found: dict[str, Any]) -> str:
    """What phi-scan missed and whom it told wrongly."""
    n_missed = sum(len(hunt["missed"]) for hunt in found["hunts"])
    n_leaks = found["leaks"] * len(found["hunts"])
    planted = "leaks planted (kind of value x spelling x encoding x place), missed"
    lines = [
        (f"patients of whom the archive has nothing, {row['of_one_source']} sought at once, "
         "values told to be there", f"{row['strangers']:,}", row["false_alarms"])
        for row in found["told"]
    ]  # fmt: skip
    body = table(("", "tries", "wrong"), [(planted, f"{n_leaks:,}", str(n_missed)), *lines])
    about = f"An archive of {found['archive_bytes'] / 1e6:.0f} MB of OpenKBP's patients. "
    return f"{body}\n\n{about}{origin(found['command'], found)}"


def cold_kinds(found: dict[str, Any]) -> str:
    """What a query of each kind costs in a new process."""
    lines = [
        (row["what"], f"{row['median_s']:.2f} s", f"{row['least_s']:.2f} s")
        for row in found["rows"]
    ]
    about = (
        f"Processor time of a new process, {found['patients']} patients and {found['digits']:,} "
        f"digits, {found['runs']} rounds. "
    )
    command = "python benchmarks/cold_kinds.py DATA MNIST.npz"
    return f"{table(('asked', 'median', 'least'), lines)}\n\n{about}{origin(command, found)}"


def encoder_runtimes(found: dict[str, Any]) -> str:
    """What the shipped networks cost by onnxruntime and by NumPy."""
    lines = [
        (row["network"], row["by"], f"{row['slice_ms']:.2f} ms", f"{row['first_s']:.3f} s",
         f"{row['off']:.1e}")
        for row in found["rows"]
    ]  # fmt: skip
    about = (
        f"Processor time of one thread, {found['slices']} slices by {found['block']}, medians of "
        f"{found['runs']} new processes, interleaved. "
    )
    header = ("network", "by", "a slice", "until the first slice", "differs by")
    command = "python benchmarks/encoder_runtimes.py"
    return f"{table(header, lines)}\n\n{about}{origin(command, found)}"


def proposing(found: dict[str, Any]) -> str:
    """What a proposal for a new patient costs."""
    lines = [
        (row["what"], f"{row['median_s']:.1f}", f"{row['least_s']:.1f}") for row in found["rows"]
    ]
    where = found["machine"]
    return (
        f"{table(('processor time of a new process', 'median, s', 'least, s'), lines)}\n\n"
        f"{found['runs']} runs each; an archive of {found['members']} patients, doses learned from "
        f"{found['learned_from']}; {where['processor']}, {where['cores']} cores, load average "
        f"{found['load']:.1f}, Python {where['python']}."
    )


def origin(command: str, found: dict[str, Any], seed: int | None = None) -> str:
    where = found["machine"]
    told = found["seed"] if seed is None else seed
    return (
        f"Command: `{command}`; seed {told}; {where['processor']}, {where['cores']} cores, "
        f"Python {where['python']}."
    )


# What each text quotes: the table's mark, the file under docs/numbers, and its form.
Table = Callable[[dict[str, Any]], str]
TEXTS: dict[str, dict[str, tuple[str, Table]]] = {
    "README.md": {
        "main_job": ("main_job", main_job),
        "dice": ("dice", dice),
        "search-avx512": ("search-avx512", search),
        "search-avx2": ("search-avx2", search),
    },
    "docs/engine.md": {
        "search-avx512": ("search-avx512", all_searches),
        "search-avx512-quick": ("search-avx512-quick", all_searches),
        "search-avx2": ("search-avx2", all_searches),
        "encode": ("encode", encode),
        "hash": ("hash", hashes),
        "archive-size": ("archive-size", archive_size),
        "cold-kinds": ("cold-kinds", cold_kinds),
    },
    "docs/encoders.md": {"encoder-runtimes": ("encoder_runtimes", encoder_runtimes)},
    "docs/planning.md": {"proposing": ("proposing", proposing)},
    "SECURITY.md": {"phi-scan": ("phi_scan", phi_scan)},
}


def filled(text: str, tables: dict[str, tuple[str, Table]]) -> str:
    """A text with every table for which there are numbers written anew."""
    for mark, (name, written) in tables.items():
        source = NUMBERS / f"{name}.json"
        if source.is_file():
            body = f"<!-- {mark} -->\n{written(told(name))}\n<!-- /{mark} -->"
            pattern = rf"<!-- {mark} -->.*?<!-- /{mark} -->"
            text = re.sub(pattern, lambda _, body=body: body, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for name, tables in TEXTS.items():
        path = ROOT / name
        path.write_text(filled(path.read_text(), tables))
