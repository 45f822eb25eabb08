"""The figure of the classification experiment: test and training errors and seconds, by set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isohash.evaluation.kit import plotting
from isohash.evaluation.kit.parts import Row
from isohash.evaluation.kit.plotting import figure, legend_below
from isohash.evaluation.svm.methods import CONTEXT, CURVES

N_COLUMNS = 3
PANELS = ("test error, %", "training error, %", "to learn, s")
LEAST = 0.1  # per cent: where an error of 0 lies on a logarithmic axis
TITLES = {
    "adult": "Adult", "news": "Online News (a fifth)", "buzz": "Buzz, Tom's Hardware",
    "seizure": "Epileptic Seizure", "seizure5": "Epileptic Seizure, 5 classes",
    "kather": "Kather textures, 8 classes",
}  # fmt: skip
# Colour, marker and line of every curve: rivals thin, ours thick, so that colour is not needed.
LOOKS: dict[str, tuple[str, str, str, float]] = {
    "gaussian": (plotting.GREY, "x", ":", 0.9),
    "median": (plotting.SKY, "v", "--", 0.9),
    "cross-validated": (plotting.BLUE, "s", "--", 0.9),
    "importance": (plotting.ORANGE, "^", "-", 1.0),
    "particle-sgd": (plotting.VERMILION, "D", "-", 1.0),
    "alignment": (plotting.PURPLE, "+", ":", 1.0),
    "learned": (plotting.GREEN, "o", "-", 1.8),
    "learned-importance": (plotting.BLACK, "o", "-", 1.8),
}
# Where errors are labelled within a decade, on panels that span more than a factor of two or not.
COARSE, FINE = (1, 1.5, 2, 3, 4, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8)
CONTEXT_LINES = {"svc": "-", "nystroem": "--", "linear": ":"}


def draw(table: list[Row], path: Path) -> None:
    """Draw the summary of `isohash.evaluation.svm.experiment` to a PNG."""
    names = list(dict.fromkeys(row["dataset"] for row in table))
    columns = min(N_COLUMNS, len(names))
    bands = -(-len(names) // columns)
    with figure(
        path, plotting.PAGE_WIDTH * columns / N_COLUMNS + 0.4, 5.4 * bands + 0.9,
        nrows=len(PANELS) * bands, ncols=columns, squeeze=False, sharex=True,
        gridspec_kw={"height_ratios": [1.7, 1.3, 1.0] * bands},
    ) as (drawing, axes):  # fmt: skip
        for place in range(bands * columns):
            band, column = divmod(place, columns)
            own = axes[len(PANELS) * band : len(PANELS) * (band + 1), column]
            if place >= len(names):
                for axis in own:
                    axis.set_axis_off()
                continue
            mine = [row for row in table if row["dataset"] == names[place]]
            _draw_errors(own[0], "test_error", mine)
            _draw_errors(own[1], "train_error", mine)
            _draw_seconds(own[2], mine)
            own[0].set_title(TITLES.get(names[place], names[place]))
            if column == 0:
                for axis, label in zip(own, PANELS, strict=True):
                    axis.set_ylabel(label)
        legend_below(drawing, axes[0, 0], 3)


def _draw_errors(axis: Any, which: str, rows: list[Row]) -> None:
    """In per cent; an error of none at all is drawn at LEAST."""
    for method, (colour, marker, line, width) in LOOKS.items():
        mine = [row for row in rows if row["method"] == method]
        axis.errorbar(
            [r["n_features"] for r in mine],
            [max(LEAST, 100 * r[which]) for r in mine],
            [100 * r[f"{which}_half_width"] for r in mine],
            label=CURVES[method], color=colour, marker=marker, linestyle=line, linewidth=width,
            elinewidth=0.7, markersize=3.5, markerfacecolor="none" if marker != "o" else colour,
        )  # fmt: skip
    for method, label in CONTEXT.items():
        for r in rows:
            if r["method"] == method:
                axis.axhline(
                    max(LEAST, 100 * r[which]), label=label, color="0.45",
                    linestyle=CONTEXT_LINES[method], linewidth=0.8, zorder=1,
                )  # fmt: skip
    axis.set_xscale("log")
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    low = max(low, 0.7 * LEAST)
    axis.set_ylim(low, high)
    places = FINE if high < 2 * low else COARSE if high < 20 * low else (1, 3)
    _label(axis.yaxis, places)


def _label(ticks: Any, places: tuple[float, ...]) -> None:
    """Label a logarithmic axis at `places` of every decade, in plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ticks.set_major_locator(LogLocator(subs=places))
    ticks.set_major_formatter(StrMethodFormatter("{x:g}"))
    ticks.set_minor_formatter(NullFormatter())


def _draw_seconds(axis: Any, rows: list[Row]) -> None:
    for method, (colour, marker, line, width) in LOOKS.items():
        if method in ("gaussian", "median"):
            continue  # nothing is learned there
        mine = [row for row in rows if row["method"] == method]
        axis.plot(
            [r["n_features"] for r in mine],
            [r["median_learning_seconds"] for r in mine],
            color=colour, marker=marker, linestyle=line, linewidth=width, markersize=3.5,
            markerfacecolor="none" if marker != "o" else colour,
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("random features D")
    _label(axis.xaxis, (1, 2, 5))
    low, high = axis.get_ylim()
    _label(axis.yaxis, (1, 3) if high < 30 * low else (1,))
    axis.tick_params(axis="x", labelbottom=True)
    axis.tick_params(which="minor", length=0)
