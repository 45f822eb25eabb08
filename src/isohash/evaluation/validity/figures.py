"""The figures of the validity study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isohash.evaluation.kit.plotting import BLACK, BLUE, GREEN, GREY, PAGE_WIDTH, VERMILION, figure
from isohash.evaluation.validity.distances import ALPHAS, PLAN
from isohash.evaluation.validity.rows import Row, Split

SCATTERED = ("CT, aligned slices", "geometry", PLAN)
LOOKS = ((BLUE, "o"), (VERMILION, "s"))


def looks(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each split."""
    return dict(zip(dict.fromkeys(row["split"] for row in rows), LOOKS, strict=False))


def draw(out: Path, splits: Sequence[Split], tables: Mapping[str, Sequence[Row]]) -> None:
    """Write every figure of the study into `out`."""
    draw_correlations(out / "correlation.png", tables["correlation"])
    draw_scatter(out / "scatter.png", splits[-1], tables["correlation"])
    draw_alpha(out / "alpha.png", tables["correlation"])
    draw_nearest(out / "nearest.png", tables["nearest"])
    draw_coverage(out / "coverage.png", tables["bands"])
    if "learning" in tables:
        draw_learning(out / "learning.png", tables["learning"])


def draw_correlations(path: Path, rows: Sequence[Row]) -> None:
    """Rank correlation with plan and dose distance, best first."""
    shown = [row for row in rows if row["plan_low"] is not None]
    ways = _ordered(shown, "r_plan")
    with figure(path, PAGE_WIDTH, 0.6 + 0.26 * len(ways), ncols=2, sharey=True) as (_, axes):
        for axis, target in zip(axes, ("plan", "dose"), strict=True):
            _dots(axis, shown, ways, f"r_{target}", f"{target}_low", f"{target}_high")
            axis.set_xlabel(f"rank correlation with {target} distance")
        axes[0].legend(loc="lower right")


def draw_nearest(path: Path, rows: Sequence[Row]) -> None:
    """Dose score and DVH score of each way's nearest plan, best first."""
    ways = _ordered(rows, "dvh_score")[::-1]
    with figure(path, PAGE_WIDTH, 0.6 + 0.26 * len(ways), ncols=2, sharey=True) as (_, axes):
        for axis, score in zip(axes, ("dose_score", "dvh_score"), strict=True):
            _dots(axis, rows, ways, score, f"{score}_low", f"{score}_high")
            name = {"dose_score": "dose score", "dvh_score": "DVH score"}[score]
            axis.set_xlabel(f"{name}, Gy (lower is better)")
        axes[0].legend(loc="upper right")


def draw_scatter(path: Path, split: Split, rows: Sequence[Row]) -> None:
    """Plan distance against retrieval distance, every pair one point."""
    r = {row["way"]: row["r_plan"] for row in rows if row["split"] == split.name}
    with figure(path, PAGE_WIDTH, 2.7, ncols=3, sharey=True) as (_, axes):
        for axis, way in zip(axes, SCATTERED, strict=True):
            kept = split.pairs & ~np.isnan(split.ways[way])
            axis.plot(split.ways[way][kept], split.plan[kept], ",", color=BLUE, alpha=0.5)
            axis.set_title(f"{way}: r = {r[way]:.2f}")
            axis.set_xlabel("retrieval distance" + (", Gy" if way == PLAN else ""))
        axes[0].set_ylabel(f"plan distance, Gy ({split.name})")


def draw_alpha(path: Path, rows: Sequence[Row]) -> None:
    """Correlation and plan distance of the nearest against alpha, for both fusions."""
    with figure(path, PAGE_WIDTH, 2.7, ncols=2) as (_, axes):
        for fusion, style in (("late", "-"), ("early", "--")):
            for name, (colour, marker) in looks(rows).items():
                found = {row["way"]: row for row in rows if row["split"] == name}
                at = [found[f"joint, {fusion}, alpha {alpha:g}"] for alpha in ALPHAS]
                for axis, key in zip(axes, ("r_plan", "five_nearest_gy"), strict=True):
                    axis.plot(
                        ALPHAS,
                        [row[key] for row in at],
                        style,
                        marker=marker,
                        color=colour,
                        label=f"{fusion}, {name}",
                    )
        axes[0].set_ylabel("rank correlation with plan distance")
        axes[1].set_ylabel("plan distance of the 5 nearest, Gy")
        for axis in axes:
            axis.set_xlabel("alpha (weight of CT)")
        axes[0].legend()


def draw_coverage(path: Path, rows: Sequence[Row]) -> None:
    """Observed against nominal coverage, and what the bands cost in width."""
    bands = list(dict.fromkeys(row["bands"] for row in rows))
    colours = dict(zip(bands, (BLUE, GREEN, GREY, VERMILION), strict=False))
    last = rows[-1]["split"]
    with figure(path, PAGE_WIDTH, 3.0, ncols=2) as (_, axes):
        axes[0].plot([0.45, 1], [0.45, 1], color=BLACK, linewidth=0.7)
        for name in bands:
            for split, style in zip(looks(rows), ("o-", "s--"), strict=False):
                own = [row for row in rows if row["bands"] == name and row["split"] == split]
                if own:
                    x = [row["nominal"] for row in own]
                    label = name if split == last else None
                    axes[0].plot(
                        x, [row["coverage"] for row in own], style, color=colours[name], label=label
                    )
                    axes[1].plot(
                        x, [row["half_width_gy"] for row in own], style, color=colours[name]
                    )
        axes[0].set_xlabel("nominal coverage")
        axes[0].set_ylabel(f"observed (circles: {rows[0]['split']})")
        axes[0].legend()
        axes[1].set_xlabel("nominal coverage")
        axes[1].set_ylabel("mean half width, Gy")


def draw_learning(path: Path, rows: Sequence[Row]) -> None:
    """Error of the predicted histograms, and correlation, against the number of plans."""
    n = [row["cases"] for row in rows]
    with figure(path, PAGE_WIDTH, 2.7, ncols=2) as (_, axes):
        axes[0].plot(n, [row["error_gy"] for row in rows], "o-", color=BLUE, label="plan encoder")
        mean = [row["mean_plan_error_gy"] for row in rows]
        axes[0].plot(n, mean, "--", color=GREY, label="the mean of the plans")
        axes[0].set_ylabel("error of the predicted histograms, Gy")
        axes[0].set_ylim(bottom=0)
        axes[0].legend()
        axes[1].plot(n, [row["r_plan"] for row in rows], "o-", color=BLUE)
        axes[1].set_ylabel("rank correlation with plan distance")
        for axis in axes:
            axis.set_xlabel("plans that the encoder has learned from")


def _ordered(rows: Sequence[Row], key: str) -> list[str]:
    """Ways, the largest of `key` last: the top of the axis; by the first split."""
    first = [row for row in rows if row["split"] == rows[0]["split"]]
    return [row["way"] for row in sorted(first, key=lambda row: float(row[key]))]


def _dots(
    axis: Any, rows: Sequence[Row], ways: Sequence[str], key: str, low: str, high: str
) -> None:
    """One dot with its interval per way and split; ways that need the query's dose are starred."""
    dosed = {row["way"] for row in rows if row["needs_dose"]}
    for offset, (name, (colour, marker)) in zip((0.14, -0.14), looks(rows).items(), strict=False):
        found = {row["way"]: row for row in rows if row["split"] == name}
        y = [at + offset for at, way in enumerate(ways) if way in found]
        own = [found[way] for way in ways if way in found]
        x = np.array([row[key] for row in own])
        error = [x - [row[low] for row in own], [row[high] for row in own] - x]
        axis.errorbar(x, y, xerr=np.abs(error), fmt=marker, color=colour, label=name, linewidth=1)
    labels = [f"{way} *" if way in dosed else way for way in ways]
    axis.set_yticks(range(len(ways)), labels)
