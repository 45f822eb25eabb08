"""Figures of the kernel-learning experiment, drawn from its tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isohash.evaluation.kernel.mixture import widths_table
from isohash.evaluation.kernel.retrieval import BEST
from isohash.evaluation.kernel.views import SHOWN, column
from isohash.evaluation.kit.plotting import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PAGE_WIDTH,
    PURPLE,
    VERMILION,
    figure,
    legend_below,
)

Row = dict[str, Any]

# One colour, marker and name per method, in every figure.
LOOK: dict[str, tuple[str, str, str]] = {
    "gamma = 1": (GREY, "v", "γ = 1 (untrained)"),
    "median": (PURPLE, "D", "median heuristic"),
    BEST: (BLACK, "o", "best single bandwidth of a grid"),
    "rule": (ORANGE, "^", "KernelHasher's rule"),
    "alignment": (BLUE, "s", "learned: alignment"),
    "isometry": (VERMILION, "P", "learned: isometry"),
}
TITLES = {"mnist": "MNIST", "ct": "CT slices (OpenKBP)"}


def draw_dice(table: list[Row], path: Path) -> None:
    """Dice against code length, and below it the difference to the best of the grid."""
    names = list(dict.fromkeys(row["dataset"] for row in table))
    lengths = sorted({row["bits"] for row in table})
    with figure(
        path, PAGE_WIDTH, 5.0, nrows=2, ncols=len(names), squeeze=False, sharex=True,
        gridspec_kw={"height_ratios": [1.4, 1.0]},
    ) as (drawing, axes):  # fmt: skip
        for (upper, lower), name in zip(axes.T, names, strict=True):
            for shift, method in enumerate(LOOK):
                mine = [r for r in table if (r["dataset"], r["method"]) == (name, method)]
                _bars(upper, mine, "dice", "half_width", method, 1.0)
                if method not in ("gamma = 1", BEST):
                    _bars(
                        lower, mine, "minus_best", "minus_best_half_width", method,
                        1.06 ** (shift - 3),
                    )  # fmt: skip
            upper.set_title(TITLES.get(name, name))
            upper.set_ylim(0, 1)
            upper.set_xscale("log", base=2)
            upper.set_xticks(lengths, [str(bits) for bits in lengths])
            upper.minorticks_off()
            lower.axhline(0.0, color=BLACK, linewidth=0.9)
            lower.set_xlabel("bits of a code")
        axes[0, 0].set_ylabel("Dice of the 50 nearest")
        axes[1, 0].set_ylabel("difference to the best\nsingle bandwidth (paired)")
        legend_below(drawing, axes[0, 0], 3)


def _bars(
    axis: Any, rows: list[Row], value: str, half_width: str, method: str, shift: float
) -> None:
    colour, marker, name = LOOK[method]
    axis.errorbar(
        [row["bits"] * shift for row in rows],
        [row[value] for row in rows],
        [row[half_width] for row in rows],
        color=colour, marker=marker, label=name, linestyle="--" if method == BEST else "-",
        linewidth=1.1,
    )  # fmt: skip


def draw_scatter(panel: Row, bits: Sequence[int], path: Path) -> None:
    """Share of differing bits against Euclidean distance, a row per length, a column per kernel."""
    r, name = panel["euclidean"], TITLES.get(panel["dataset"], panel["dataset"])
    with figure(
        path, PAGE_WIDTH, 1.75 * len(bits) + 0.5, colours=64, nrows=len(bits), ncols=len(SHOWN),
        sharex=True, sharey=True, squeeze=False,
    ) as (drawing, axes):  # fmt: skip
        for line, length in zip(axes, bits, strict=True):
            for axis, method in zip(line, SHOWN, strict=True):
                share = panel[column(method, length)]
                axis.plot(r, share, ".", markersize=2, alpha=0.5, color=LOOK[method][0])
            line[0].set_ylabel(f"{length} bits\nshare that differ")
        for axis, method in zip(axes[0], SHOWN, strict=True):
            axis.set_title(LOOK[method][2].replace(" of a grid", "\nof a grid"))
            axis.set_ylim(0, 0.55)
            axis.set_xlim(0, None)
        drawing.supxlabel(f"Euclidean distance of two vectors, {name}", size=8.5)


def draw_precision_recall(panels: list[Row], bits: Sequence[int], path: Path) -> None:
    """Precision against recall of the Euclidean nearest, a row per data set."""
    found = {(panel["dataset"], panel["bits"], panel["method"]): panel for panel in panels}
    names = list(dict.fromkeys(panel["dataset"] for panel in panels))
    with figure(
        path, PAGE_WIDTH, 2.4 * len(names) + 0.5, nrows=len(names), ncols=len(bits), sharex=True,
        sharey=True, squeeze=False,
    ) as (drawing, axes):  # fmt: skip
        for line, name in zip(axes, names, strict=True):
            for axis, length in zip(line, bits, strict=True):
                for method in SHOWN:
                    curve, (colour, _, label) = found[name, length, method], LOOK[method]
                    axis.plot(
                        curve["recall"], curve["precision"],
                        color=colour, label=label, linestyle=_dash(method),
                    )  # fmt: skip
                axis.set_title(f"{TITLES.get(name, name)}, {length} bits")
                axis.set_xlim(0, 1)
                axis.set_ylim(0, 1.02)
            line[0].set_ylabel("precision")
        for axis in axes[-1]:
            axis.set_xlabel("recall of the 50 nearest")
        legend_below(drawing, axes[0, 0], len(SHOWN))


def _dash(method: str) -> Any:
    """Curves that coincide stay visible under each other."""
    return {BEST: "--", "isometry": (0, (1, 1.5))}.get(method, "-")


def draw_traces(rows: list[Row], path: Path) -> None:
    """The objectives against seconds: particles on the line, and frequencies in R^d."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    with figure(path, PAGE_WIDTH, 3.0, ncols=2) as (drawing, axes):
        for axis, objective in zip(axes, ("alignment", "isometry"), strict=True):
            for method, colour, dash in zip(methods, (BLUE, ORANGE), ("-", "--"), strict=True):
                mine = [r for r in rows if (r["method"], r["objective"]) == (method, objective)]
                axis.plot(
                    [r["processor_seconds"] for r in mine], [r["value"] for r in mine],
                    dash, color=colour, label=method.replace("R^d", "ℝᵈ"),
                )  # fmt: skip
            axis.set_xscale("symlog", linthresh=0.01)
            axis.set_title(f"{objective}, {_size(rows)} particles")
            axis.set_xlabel("processor seconds (one thread)")
        axes[0].set_ylabel("objective on fixed pairs\n(to be minimised)")
        legend_below(drawing, axes[0], 2)


def _size(rows: list[Row]) -> str:
    return f"{rows[0]['n_particles']:,}"


RANGE_LOOK: dict[str, tuple[str, Any]] = {
    "gamma = 1": (GREY, (0, (4, 1.5))),
    "16 scales, 0.001 to 1": (GREEN, (0, (1, 1.2))),
    "best single bandwidth": (BLACK, "--"),
    "learned mixture": (VERMILION, "-"),
}


def draw_ranges(panels: list[Row], read: list[Row], error: float, path: Path) -> None:
    """Bits for a relative error against distance, per range; dots are read off drawn codes."""
    found = {(p["near"], p["far"], p["kernel"]): p for p in panels if p["dither"]}
    ranges = list(dict.fromkeys((near, far) for near, far, _ in found))
    with figure(path, PAGE_WIDTH, 3.3, ncols=len(ranges), sharey=True, squeeze=False) as (
        drawing,
        axes,
    ):
        for axis, ends in zip(axes[0], ranges, strict=True):
            for name, (colour, dash) in RANGE_LOOK.items():
                line = found[(*ends, name)]
                axis.plot(
                    line["r"], np.array(line["bits"], float), linestyle=dash,
                    color=colour, label=name.replace("gamma", "γ"),
                )  # fmt: skip
                dots = [r for r in read if (r["near"], r["far"], r["kernel"]) == (*ends, name)]
                axis.plot([r["r"] for r in dots], [r["bits"] for r in dots], ".", color=colour)
            axis.plot([], [], ".", color=BLACK, label="measured")
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_ylim(200, 2e5)
            axis.set_xticks(*_ticks(ends))
            axis.minorticks_off()
            axis.set_title(f"r from {ends[0]:g} to {ends[1]:g}")
            axis.set_xlabel("distance r")
        axes[0, 0].set_ylabel(f"bits for a relative error of {100 * error:g} %")
        legend_below(drawing, axes[0, 0], 5)


def _ticks(ends: tuple[float, float]) -> tuple[list[float], list[str]]:
    places = [x for x in (0.05, 0.2, 0.5, 1, 2, 3, 5, 10, 20) if ends[0] <= x <= ends[1]]
    if ends[1] / ends[0] > 100:
        places = [x for x in places if x in (0.05, 0.2, 1, 5, 20)]
    return places, [f"{x:g}" for x in places]


def draw_widths(rows: list[Row], path: Path) -> None:
    """Dice on data of two widths against their ratio: learned, and best of a grid."""
    table = widths_table(rows)
    factors = sorted({row["factor"] for row in table})
    lengths = sorted({row["bits"] for row in table})
    with figure(
        path, PAGE_WIDTH, 3.0, ncols=len(lengths), sharey=True, squeeze=False
    ) as (drawing, axes):  # fmt: skip
        for axis, bits in zip(axes[0], lengths, strict=True):
            mine = [row for row in table if row["bits"] == bits]
            for method in (BEST, "isometry"):
                colour, marker, label = LOOK[method]
                axis.errorbar(
                    factors, [row[method] for row in mine], [row[f"{method} ±"] for row in mine],
                    color=colour, marker=marker, label=label,
                    linestyle="--" if method == BEST else "-",
                )  # fmt: skip
            axis.set_xscale("log")
            axis.set_xticks(factors, [f"{factor:g}" for factor in factors])
            axis.minorticks_off()
            axis.set_ylim(0, 1)
            axis.set_title(f"{bits:,} bits")
            axis.set_xlabel("width of the wide clusters / of the narrow ones")
        axes[0, 0].set_ylabel("Dice of the 50 nearest")
        legend_below(drawing, axes[0, 0], 2)
