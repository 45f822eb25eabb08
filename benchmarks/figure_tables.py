"""Write the tables and numbers of docs/figures.md from docs/figures: none is typed by hand.

python benchmarks/figure_tables.py

The page marks each by its name, `<!-- name -->...<!-- /name -->`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from isohash.evaluation.kit.results import read_results

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "figures.md"
NUMBERS = ROOT / "docs" / "figures"

Row = dict[str, Any]
SCATTERS = ("mnist-scatter-raw", "mnist-scatter-pca", "mnist-scatter-autoencoder",
            "slices-scatter-ct", "slices-scatter-dose")  # fmt: skip
SCORES = {"dice10": "Dice@10", "dice50": "Dice@50", "dice100": "Dice@100",
          "recall10@100": "recall of the 10 nearest among 100"}  # fmt: skip
VIEWS = {"mnist": "MNIST digits", "ct": "CT slices", "dose": "dose slices"}


@cache
def told(name: str) -> dict[str, Any]:
    """What one figure's JSON says, with the rows of its table unless it draws points."""
    head = json.loads((NUMBERS / f"{name}.json").read_text())
    return {**head, "rows": head["panels"]} if "panels" in head else read_results(NUMBERS, name)


def rows(name: str, **wanted: Any) -> list[Row]:
    """The rows of a figure whose columns have the wanted values."""
    return [r for r in told(name)["rows"] if all(r[k] == v for k, v in wanted.items())]


def row(name: str, **wanted: Any) -> Row:
    """The only such row."""
    (found,) = rows(name, **wanted)
    return found


def names(found: Iterable[Row], column: str) -> list[Any]:
    """The values of a column, in the order of their first occurrence."""
    return list(dict.fromkeys(r[column] for r in found))


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table on lines of its own."""
    rule = "|---" * len(header) + "|"
    body = ["| " + " | ".join(line) + " |" for line in (header, *lines)]
    return "\n".join(["", body[0], rule, *body[1:], ""])


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def scatter() -> str:
    header = ("embedding", "kernel", "gamma", "median distance", "beyond range, 128 / 512 / 4096",
              "rank correlation, 128 / 512 / 4096")  # fmt: skip
    lines = []
    for name in SCATTERS:
        for kernel in names(rows(name), "kernel"):
            mine = rows(name, kernel=kernel)
            first = mine[0]
            gamma = f"{first['gamma_least']:.3g}"
            if first["gamma_largest"] > 1.001 * first["gamma_least"]:
                gamma += f" to {first['gamma_largest']:.3g}"
            beyond = " / ".join(percent(r["beyond_range"]) for r in mine)
            correlation = " / ".join(f"{r['spearman']:.2f}" for r in mine)
            distance = f"{first['median_euclidean']:.1f}"
            lines.append((first["view"], kernel, gamma, distance, beyond, correlation))
    return table(header, lines)


def average_precision() -> str:
    """A row per alphabet and length; a column per kernel and rule."""
    name, rules = "mnist-precision-recall", ("label", "Euclidean")
    coded = [r for r in rows(name) if r["bits"]]
    kernels = names(coded, "kernel")
    lines = []
    for alphabet, bits in dict.fromkeys((r["alphabet"], r["bits"]) for r in coded):
        found = [row(name, alphabet=alphabet, bits=bits, kernel=kernel, relevant=rule)
                 for rule in rules for kernel in kernels]  # fmt: skip
        lines.append(
            (_codes_name(alphabet, bits), *(f"{r['average_precision']:.3f}" for r in found))
        )
    (exact,) = rows(name, bits=0)
    lines.append(("embeddings themselves", f"{exact['average_precision']:.3f}", *[""] * 5))
    shown = {"label": "digit", "Euclidean": "Euclidean"}
    columns = [f"{kernel}, by {shown[rule]}" for rule in rules for kernel in kernels]
    return table(("average precision", *columns), lines)


def _codes_name(alphabet: str, bits: int) -> str:
    if alphabet == "binary":
        return f"{bits} bits"
    settings = told("mnist-precision-recall")["settings"]
    symbols = bits // settings["symbol_bits"]
    return f"{symbols} symbols, q = {settings['curve_q']} ({bits} bits)"


def collage() -> str:
    found = rows("mnist-collage")
    kinds = names(found, "codes")
    lines = []
    for query in names(found, "query"):
        mine = [row("mnist-collage", query=query, codes=kind) for kind in kinds]
        cells = [f"{r['right']} ({r['shared_with_euclidean']})" for r in mine]
        lines.append((f"{mine[0]['digit']}", *cells))
    return table(("query", *kinds), lines)


def lee() -> str:
    lines = [
        (r["budget"], str(r["q"]), str(r["symbols"]), str(r["stored_bits"]),
         f"{100 * r['relative_rms']:.1f} %", f"{r['spearman']:.4f}")
        for r in rows("mnist-lee")
    ]  # fmt: skip
    header = ("budget", "q", "symbols", "stored bits", "off by", "rank correlation")
    return table(header, lines)


def violin() -> str:
    found = rows("slices-violin", score="Dice")
    lengths = names(found, "bits")
    lines = []
    for view in names(found, "view"):
        for family in names(found, "family"):
            mine = [row("slices-violin", score="Dice", view=view, family=family, bits=b)
                    for b in lengths]  # fmt: skip
            cells = (f"{r['mean']:.3f} ({r['q25']:.2f} to {r['q75']:.2f})" for r in mine)
            lines.append((f"{view}, {family}", *cells))
    return table(("mean Dice (quartiles)", *(f"{b:,} bits" for b in lengths)), lines)


def by_k() -> str:
    points = _points("slices-by-k")
    shown = ("1", "10", "50", "100", "500")
    lines = []
    for view, family, score in dict.fromkeys((p["view"], p["family"], p["score"]) for p in points):
        mine = {p["k"]: p for p in points
                if (p["view"], p["family"], p["score"]) == (view, family, score)}  # fmt: skip
        cells = (f"{float(mine[k]['mean']):.3f}" for k in shown)
        lines.append((f"{view}, {family}, {score}", *cells))
    return table(("mean over queries", *(f"k = {k}" for k in shown)), lines)


def _points(name: str) -> list[dict[str, str]]:
    import csv

    with (NUMBERS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def codes(view: str, score: str) -> str:
    """One score of every family by stored bits; the interval under it only for Dice@50."""
    found = rows("codes", view=view)
    lengths = names(found, "bits")
    lines = []
    for query in ("code", "real"):
        for family in names([r for r in found if r["query"] == query], "family"):
            mine = {r["bits"]: r for r in found if (r["family"], r["query"]) == (family, query)}
            name = family if query == "code" else f"{family}, real-valued query"
            if any(r["stored_bits"] != r["bits"] for r in mine.values()):
                name += " (+64 or +160 bits)"
            lines.append((name, *(_cell(mine.get(b), score) for b in lengths)))
    return table((SCORES[score], *map(str, lengths)), lines)


def _cell(found: Row | None, score: str) -> str:
    if found is None:
        return ""
    value = f"{found[score]:.3f}"
    if score != "dice50":
        return value
    return f"{value} ±{(found[f'{score}_high'] - found[f'{score}_low']) / 2:.3f}"


def origin(name: str) -> str:
    """Seed, data and machine of one figure."""
    about = told(name)
    seed = about["settings"].get("seed", about["settings"].get("dice", {}).get("seed"))
    parts = about.get("data", {}).get("slices", about)
    digests = ", ".join(f"{part} {parts[part]['digest'][:12]} ({parts[part]['n']:,})"
                        for part in ("database", "queries"))  # fmt: skip
    machine = about["machine"]
    return f"seed {seed}; data digests: {digests}; {machine['processor']}, {machine['cores']} cores"


def blind() -> str:
    """The share of pairs that the literature's untrained kernel cannot see."""
    return percent(row("mnist-range", view="autoencoder 500", kernel="untrained")["beyond_range"])


def curve_queries() -> str:
    return f"{told('mnist-precision-recall')['settings']['curve_queries']:,}"


PIECES: dict[str, Callable[[], str]] = {
    "scatter": scatter,
    "average_precision": average_precision,
    "collage": collage,
    "lee": lee,
    "violin": violin,
    "by_k": by_k,
    "blind": blind,
    "curve_queries": curve_queries,
    **{f"codes_{v}_{s}": partial(codes, v, s) for v in VIEWS for s in SCORES},
    **{f"origin_{name}": partial(origin, name)
       for name in ("mnist-scatter-autoencoder", "slices-violin", "codes")},
}  # fmt: skip


def filled(text: str) -> str:
    """The page with every marked piece written anew."""
    for name, piece in PIECES.items():
        pattern = rf"(<!-- {re.escape(name)} -->).*?(<!-- /{re.escape(name)} -->)"
        if re.search(pattern, text, flags=re.DOTALL):
            body = piece()
            text = re.sub(pattern, lambda m, b=body: m[1] + b + m[2], text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
