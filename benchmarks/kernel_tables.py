"""Write the tables of docs/kernel-learning.md from docs/figures/kernel: no number is typed by hand.

python benchmarks/kernel_tables.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from isohash.evaluation.kit.results import read_csv, read_results

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "kernel-learning.md"
FOUND = ROOT / "docs" / "figures" / "kernel"

METHODS = {
    "gamma = 1": "untrained, γ = 1",
    "median": "median heuristic",
    "rule": "`KernelHasher`'s closed rule",
    "best of the grid": "best single bandwidth of the grid (oracle)",
    "alignment": "learned, alignment (k-means labels)",
    "isometry": "learned, isometry",
}
COSTS = (
    "alignment", "isometry", "alignment in a ball, exact transport",
    "alignment in a ball, Sinkhorn", "particle SGD", "importance sampling",
)  # fmt: skip


def head(name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((FOUND / f"{name}.json").read_text())
    return told


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def origin(told: dict[str, Any]) -> str:
    machine, settings = told["machine"], told["settings"]
    digests = ", ".join(f"{name} {sha[:12]}" for name, sha in told["data_digests"].items())
    return (
        "Command: `isohash evaluate kernel DATA --out docs/figures/kernel`; seeds 0 to "
        f"{settings['n_seeds'] - 1}; data digests {digests}; {machine['processor']}, "
        f"{machine['cores']} cores, Python {machine['python']}."
    )


def dice(dataset: str) -> str:
    told = head("kernel")
    bits, rows = told["settings"]["bits"], []
    found = read_csv(FOUND / "kernel-summary.csv")
    lines = {(r["method"], r["bits"]): r for r in found if r["dataset"] == dataset}
    for method, name in METHODS.items():
        mine = [lines[method, b] for b in bits]
        scores = [f"{r['dice']:.3f} ± {r['half_width']:.3f}" for r in mine]
        gaps = [f"{r['minus_best']:+.3f} ± {r['minus_best_half_width']:.3f}" for r in mine]
        rows.append([name, *scores, *(["" for _ in bits] if "best" in method else gaps)])
    header = ["", *(f"{b} bits" for b in bits), *(f"less the best, {b}" for b in bits)]
    return table(header, rows)


def ranges() -> str:
    told, rows = head("kernel-ranges"), []
    for line in told["panels"]:
        threshold = "random" if line["dither"] else "none"
        bits = (line["worst"], line["mean"])
        numbers = ["unreadable" if n is None else f"{n:,.0f}" for n in bits]
        rows.append([f"{line['near']:g} to {line['far']:g}", threshold, line["kernel"], *numbers])
    header = ["distances", "threshold", "kernel", "bits at the worst r", "geometric mean"]
    return table(header, rows)


def widths() -> str:
    rows = []
    for line in read_csv(FOUND / "kernel-widths-summary.csv"):
        cells = [
            f"{line[name]:{sign}.3f} ± {line[f'{name} ±']:.3f}"
            for name, sign in (("best of the grid", ""), ("isometry", ""), ("difference", "+"))
        ]
        rows.append([f"{line['bits']:,}", f"{line['factor']:g}", *cells])
    rows.sort(key=lambda row: int(row[0].replace(",", "")))
    return table(
        ["bits", "ratio of the widths", "best single bandwidth", "learned", "difference"], rows
    )


def mean_field() -> str:
    told = head("kernel-mean-field")
    settings = told["settings"]["mean_field"]
    n = settings["n_particles"]
    return (
        f"W_1 between {n[0]} to {n[-1]:,} particles and the density (γ = {settings['gamma']:g}, "
        f"β = {settings['beta']:g}, {settings['n_repeats']} runs each) falls with slope "
        f"{told['slope']:.2f} ± {told['slope_half_width']:.2f} in log N. At "
        f"t = {settings['times'][-1]:g} the density is {told['gibbs_distance_of_density']:.0e} "
        f"from the Gibbs density and {settings['n_shown']:,} particles are "
        f"{told['gibbs_distance_of_particles']:.3f} from it, which is sampling error. Mass is off "
        f"by at most {told['largest_mass_error']:.0e}."
    )


def cost() -> str:
    told = read_results(FOUND, "kernel-cost")
    settings, rows = told["settings"], []
    found = {(r["method"], r["n_particles"], r["n_pairs"]): r for r in told["rows"]}
    for method in COSTS:
        cells = []
        for n in settings["cost_particles"]:
            of_pairs = [None] if method == "importance sampling" else settings["cost_pairs"]
            known = [found.get((method, n, pairs)) for pairs in of_pairs]
            cells.append(" / ".join("-" if r is None else _seconds(r) for r in known))
        rows.append([method, *cells])
    pairs = " / ".join(f"{p:,}" for p in settings["cost_pairs"])
    sizes = [f"{n:,} particles" for n in settings["cost_particles"]]
    return table([f"processor seconds, {pairs} pairs", *sizes], rows)


def _seconds(row: dict[str, Any]) -> str:
    mark = "*" if row["timed_share"] < 1 else ""
    return f"{row['processor_seconds']:.2g}{mark}"


def filled(text: str) -> str:
    """The page with every table written anew."""
    blocks = {
        "dice-mnist": dice("mnist"), "dice-ct": dice("ct"), "ranges": ranges(),
        "widths": widths(), "mean-field": mean_field(), "cost": cost(),
        "origin": origin(head("kernel")),
    }  # fmt: skip
    for name, body in blocks.items():
        block = f"<!-- {name} -->\n{body}\n<!-- /{name} -->"
        pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
        text = re.sub(pattern, lambda _, block=block: block, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
