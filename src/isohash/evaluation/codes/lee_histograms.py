"""Lee distances against Euclidean ones, as histograms, for alphabets of several sizes.

With equally many symbols, as in the literature, larger alphabets come nearer to the Euclidean
distance; but they also store more bits. The second budget gives all alphabets equally many stored
bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isohash.alphabets import bits_per_symbol
from isohash.evaluation.kit.plotting import BLUE, PAGE_WIDTH, figure
from isohash.evaluation.kit.views import Embedded
from isohash.hashing.lee_hasher import LeeHasher
from isohash.records import Codes

N_SYMBOLS = 1024  # of the first budget
STORED_BITS = 1024  # of the second
BINS = 48
EQUAL_SYMBOLS, EQUAL_BITS = "equal symbols", "equal stored bits"

Row = dict[str, Any]


def histogram_panels(
    view: Embedded, alphabets: tuple[int, ...], n_pairs: int, seed: int
) -> list[Row]:
    """Histograms of both distances over the same bins, per budget and alphabet."""
    rng = np.random.default_rng(seed)
    first, second = (view.base[rng.integers(0, len(view.base), n_pairs)] for _ in range(2))
    r = np.linalg.norm((first - second).astype(np.float64), axis=1)
    panels = []
    for budget in (EQUAL_SYMBOLS, EQUAL_BITS):
        for q in alphabets:
            length = N_SYMBOLS
            if budget == EQUAL_BITS:
                length = max(1, STORED_BITS // bits_per_symbol(q))
            hasher = LeeHasher(length, q, random_state=seed).fit(view.base)
            lee = pair_distances(hasher.transform(first), hasher.transform(second))
            panel = {"view": view.name, "budget": budget, "q": q, "symbols": length}
            panels.append(panel | _compared(r, lee, length * bits_per_symbol(q)))
    return panels


def pair_distances(a: Codes, b: Codes) -> Any:
    """Lee distances (n,) of corresponding codes."""
    gap = np.abs(a.symbols() - b.symbols())
    return np.minimum(gap, a.q - gap).sum(axis=1)


def _compared(r: Any, lee: Any, stored_bits: int) -> Row:
    from scipy.stats import spearmanr

    factor = float((r @ lee) / (lee @ lee))
    scaled = factor * lee
    edges = np.linspace(0, max(r.max(), scaled.max()), BINS + 1)
    return {
        "stored_bits": stored_bits,
        "relative_rms": round(float(np.sqrt(np.mean((scaled - r) ** 2)) / r.mean()), 4),
        "spearman": round(float(spearmanr(r, lee).statistic), 4),
        "low": [round(float(v), 4) for v in edges[:-1]],
        "high": [round(float(v), 4) for v in edges[1:]],
        "euclidean": [float(v) / len(r) for v in np.histogram(r, edges)[0]],
        "lee": [float(v) / len(r) for v in np.histogram(scaled, edges)[0]],
    }


def draw_histograms(panels: list[Row], path: Path) -> None:
    """A row per budget, a column per alphabet."""
    alphabets = list(dict.fromkeys(panel["q"] for panel in panels))
    budgets = list(dict.fromkeys(panel["budget"] for panel in panels))
    shape: dict[str, Any] = {"nrows": len(budgets), "ncols": len(alphabets), "squeeze": False}
    with figure(path, PAGE_WIDTH, 4.6, sharex=True, sharey=True, **shape) as (drawing, grid):
        for panel in panels:
            axes = grid[budgets.index(panel["budget"]), alphabets.index(panel["q"])]
            edges = [*panel["low"], panel["high"][-1]]
            axes.stairs(panel["euclidean"], edges, fill=True, color="#BBBBBB", label="Euclidean")
            axes.stairs(panel["lee"], edges, color=BLUE, linewidth=1.2, label="Lee, rescaled")
            title = f"q = {panel['q']}: {panel['symbols']} symbols, {panel['stored_bits']} bits"
            axes.set_title(title)
            told = f"off by {panel['relative_rms']:.1%}\nrank corr. {panel['spearman']:.3f}"
            axes.text(0.03, 0.95, told, transform=axes.transAxes, va="top", size=7.5)
        for axes, budget in zip(grid[:, 0], budgets, strict=True):
            axes.set_ylabel(f"{budget}\nshare of pairs per bin")
        for axes in grid[-1]:
            axes.set_xlabel(f"distance, {panels[0]['view']}")
        grid[0, 0].set_ylim(0, 1.25 * max(max(p["lee"] + p["euclidean"]) for p in panels))
        handles, labels = grid[0, 0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=2)
