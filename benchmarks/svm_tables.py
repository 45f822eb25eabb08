"""Write the tables of docs/svm.md from docs/figures/svm, and draw its figure: nothing by hand.

isohash evaluate svm DATA --out docs/figures/svm
python benchmarks/svm_tables.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from isohash.evaluation.kit.results import read_results
from isohash.evaluation.svm.experiment import SvmSettings
from isohash.evaluation.svm.figure import draw

ROOT = Path(__file__).resolve().parents[1]
FOUND = ROOT / "docs" / "figures" / "svm"
PAGE = ROOT / "docs" / "svm.md"
SHOWN = (20, 100, 1000)
OURS = ("learned", "learned-importance")
RIVALS = {"over_importance": "importance sampling", "over_particle_sgd": "particle SGD"}

Row = dict[str, Any]


class Summary:
    """The summary rows of svm.json, by data set, method and number of features."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.labels: dict[str, str] = found["curves"]
        self.names: list[str] = found["settings"]["datasets"]
        self.sizes: list[int] = found["settings"]["n_features"]
        self.rows = {(r["dataset"], r["method"], r["n_features"]): r for r in found["rows"]}
        self.methods = list(dict.fromkeys(r["method"] for r in found["rows"]))

    def at(self, name: str, method: str, n: int) -> Row:
        """One row; methods without features have theirs at 0."""
        return self.rows.get((name, method, n)) or self.rows[name, method, 0]

    def has_features(self, method: str) -> bool:
        """Whether a method is a curve."""
        return (self.names[0], method, 0) not in self.rows


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    cells = [list(head), *map(list, lines)]
    cells.insert(1, ["---"] * len(cells[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def errors(found: Summary) -> str:
    """Test errors in per cent at three numbers of features."""
    lines = []
    for method in found.methods:
        line = [found.labels[method]]
        for name in found.names:
            sizes = SHOWN if found.has_features(method) else (0,)
            values = [100 * found.at(name, method, n)["test_error"] for n in sizes]
            line.append(" / ".join(f"{value:.1f}" for value in values))
        lines.append(line)
    widest = max(
        100 * row["test_error_half_width"] for row in found.rows.values() if row["method"] in OURS
    )
    note = (
        "\n\nThe widest 95 % interval of the two learned rows is ± "
        f"{widest:.1f}; all are in svm.csv and in the figure."
    )
    return table(["test error, %: D = 20 / 100 / 1000", *found.names], lines) + note


def gaps(found: Summary) -> str:
    """Paired differences to the two rivals, over the seeds."""
    lines = []
    for method in OURS:
        for column, rival in RIVALS.items():
            line = [f"{found.labels[method]} less {rival}"]
            for name in found.names:
                rows = [found.at(name, method, n) for n in SHOWN]
                line.append("<br>".join(gap(row, column) for row in rows))
            lines.append(line)
    return table(["points: D = 20, 100, 1000", *found.names], lines)


def gap(row: Row, column: str) -> str:
    """A difference with its interval, bold where it is certainly worse."""
    mean, half = 100 * row[column], 100 * row[f"{column}_half_width"]
    text = f"{mean:+.1f} ± {half:.1f}"
    return f"**{text}**" if mean - half > 0 else text


def seconds(found: Summary) -> str:
    """Median seconds to learn, training of the SVM not included."""
    lines = []
    for method in found.methods:
        if not found.has_features(method) or method in ("gaussian", "median"):
            continue
        line = [found.labels[method]]
        for name in found.names:
            rows = [found.at(name, method, n) for n in SHOWN]
            line.append(" / ".join(f"{row['median_learning_seconds']:.2f}" for row in rows))
        lines.append(line)
    return table(["seconds to learn: D = 20 / 100 / 1000", *found.names], lines)


def verdicts(found: Summary) -> str:
    """Where each target is met: at how many D, and by how much at worst."""
    lines = []
    for method in OURS:
        for column, rival in RIVALS.items():
            cells = [worst(found, name, method, column) for name in found.names]
            lines.append([f"{found.labels[method]}: error at most that of {rival}", *cells])
        cells = [faster(found, name, method) for name in found.names]
        lines.append([f"{found.labels[method]}: learned faster than particle SGD", *cells])
        cells = [near(found, name, method) for name in found.names]
        lines.append([f"{found.labels[method]}: within 1 point of exact, D = 1000", *cells])
    return table(["target", *found.names], lines)


def worst(found: Summary, name: str, method: str, column: str) -> str:
    """Met at every D, or at which D it is certainly or perhaps not."""
    rows = [found.at(name, method, n) for n in found.sizes]
    sure = [str(r["n_features"]) for r in rows if r[column] > r[f"{column}_half_width"]]
    unsure = [str(r["n_features"]) for r in rows if 0 < r[column] <= r[f"{column}_half_width"]]
    if not sure and not unsure:
        return "yes"
    told = [f"no at D = {', '.join(sure)}"] if sure else []
    return "; ".join([*told, f"within noise at {', '.join(unsure)}"] if unsure else told)


def faster(found: Summary, name: str, method: str) -> str:
    """At how many D it is faster than particle SGD, and the ratio of the times."""
    ratios = [
        found.at(name, "particle-sgd", n)["median_learning_seconds"]
        / found.at(name, method, n)["median_learning_seconds"]
        for n in found.sizes
    ]
    slow = [str(n) for n, ratio in zip(found.sizes, ratios, strict=True) if ratio < 1]
    span = f"{min(ratios):.1f} to {max(ratios):.1f} times"
    return f"yes, {span}" if not slow else f"not at D = {', '.join(slow)}; {span}"


def near(found: Summary, name: str, method: str) -> str:
    """The gap to the exact kernel in points."""
    mine = found.at(name, method, max(found.sizes))["test_error"]
    points = 100 * (mine - found.at(name, "svc", 0)["test_error"])
    return f"{'yes' if points <= 1.0 else 'no'}, {points:+.1f}"


def example(found: dict[str, Any]) -> str:
    """The synthetic example against its published errors."""
    lines = [
        [f"{row['method']}, labels {'centred' if row['centred'] else 'as they are'}",
         f"{row['n_features']:.0f}", f"{row['train_error']:.3f}",
         f"{row['test_error']:.3f} ± {row['half_width']:.3f}", f"{row['deviation']:.3f}",
         f"{row['published']:.3f}", f"{row['z']:+.1f}"]
        for row in found["rows"]
    ]  # fmt: skip
    head = ["features", "D", "training error", "test error, mean of the draws",
            "deviation of a draw", "published draw", "published - mean, deviations"]  # fmt: skip
    return table(head, lines)


def origin(found: dict[str, Any]) -> str:
    """Which command, data and machine the tables are from."""
    settings, where = found["settings"], found["machine"]
    data = ", ".join(f"{name} {digest[:8]}" for name, digest in found["data_digests"].items())
    seeds, asked = settings["n_seeds"], SvmSettings().n_seeds
    told = f"{seeds} seeds" if seeds == asked else f"the first {seeds} of its {asked} seeds"
    return (
        f"Command: `isohash evaluate svm DATA --out docs/figures/svm`; {told}, at most "
        f"{settings['n_train']} training and {settings['n_test']} test rows each; data digests "
        f"{data}; {where['processor']}, {where['cores']} cores, Python {where['python']}; "
        f"{found['seconds'] / 60:.0f} processor minutes, which two processes share."
    )


def filled(text: str) -> str:
    """The page with every table written anew."""
    raw = read_results(FOUND, "svm")
    summary = Summary(raw)
    parts: dict[str, Callable[[], str]] = {
        "errors": lambda: errors(summary),
        "gaps": lambda: gaps(summary),
        "seconds": lambda: seconds(summary),
        "verdicts": lambda: verdicts(summary),
        "origin": lambda: origin(raw),
        "example": lambda: example(read_results(FOUND, "importance-example")),
    }
    for name, part in parts.items():
        body = f"<!-- {name} -->\n{part()}\n<!-- /{name} -->"
        pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
        text = re.sub(pattern, lambda _, body=body: body, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    draw(read_results(FOUND, "svm")["rows"], FOUND / "svm.png")
    PAGE.write_text(filled(PAGE.read_text()))
