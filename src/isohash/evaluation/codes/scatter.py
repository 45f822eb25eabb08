"""Code distance against Euclidean distance, and why a bandwidth of 1 sees nothing of either.

Three kernels: the literature's Gaussian with gamma = 1 ("untrained"), the bandwidth that
`KernelHasher` chooses from the data ("tuned"), and the mixture that `KernelLearner` trains for
alignment ("trained"). The share of pairs beyond range is `range_of_view`: of how many random pairs
the code can only say "at least so far".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.distances import distance_matrix
from isohash.evaluation.kit.plotting import BLACK, BLUE, GREEN, GREY, PAGE_WIDTH, VERMILION, figure
from isohash.evaluation.kit.views import Embedded
from isohash.hashing.calibration import range_of_view
from isohash.hashing.closed_forms import RANDOM_THRESHOLD_LIMIT
from isohash.hashing.cosine import CosineHash
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.kernels.learning.learner import KernelLearner
from isohash.kernels.radial import RadialKernel
from isohash.records import Codes

UNTRAINED = RadialKernel([1.0])  # the literature's Gaussian, bandwidth parameter 1
KERNELS = ("untrained", "tuned", "trained")
LABELS = {
    "untrained": "untrained, $\\gamma$ = 1",
    "tuned": "tuned bandwidth",
    "trained": "trained for alignment",
}
COLOURS = {"untrained": VERMILION, "tuned": BLUE, "trained": GREEN}
LEARNED_FROM = 20_000  # rows that a kernel is trained on, at most
POOL = 2000  # rows among which near partners are looked for
NEAR = 50  # a near partner is one of so many nearest in the pool
BINS = 60
NEAR_QUERIES = 1000  # rows whose neighbours' distances are shown

SCATTER_METRIC = (
    "hamming: share of differing bits, against the Euclidean distance of the same pairs (first "
    "half near pairs, then random ones); beyond_range: share of the random pairs of which the "
    "code can only say that they are at least so far apart; spearman: rank correlation, ties share "
    "ranks; line_hamming: the closed form's share at the distances line_euclidean"
)
RANGE_METRIC = (
    "shares of random pairs and of queries (by their k-th neighbour) per bin of Euclidean "
    "distance; closed_form: expected share of differing bits; beyond_range: share of the pairs of "
    "which the code can only say that they are at least so far apart"
)

Row = dict[str, Any]
Kernels = Mapping[str, RadialKernel | None]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class PairSample:
    """Pairs of rows: Euclidean distance r (m,) and share of differing bits (m,)."""

    r: NDArray[np.float64]
    share: NDArray[np.float64]


def shown_name(view: str) -> str:
    """A view's name as titles have it."""
    return {"ct": "CT slices", "dose": "dose slices", "mnist": "MNIST digits"}.get(view, view)


def trained_kernel(X: NDArray[np.float32], seed: int, n_particles: int, n_steps: int) -> list[Row]:
    """One row with the particles of a kernel trained for alignment, to be kept."""
    learner = KernelLearner("alignment", n_particles, seed, n_steps=n_steps)
    return [{"particles": learner.fit(X[:LEARNED_FROM]).kernel.particles.tolist()}]


def chosen_kernels(trained: RadialKernel) -> Kernels:
    """The kernels by name; None lets `KernelHasher` tune the bandwidth."""
    return {"untrained": UNTRAINED, "tuned": None, "trained": trained}


def drawn_hash(
    X: NDArray[np.float32], kernel: RadialKernel | None, bits: int, seed: int
) -> CosineHash:
    """The literature's hash (random thresholds) of that kernel."""
    return KernelHasher(bits, kernel, random_state=seed).fit(X).hash_


def sample_pairs(X: NDArray[np.float32], n: int, rng: np.random.Generator) -> Pairs:
    """Rows of n pairs: first half near ones (a row and a near one of a pool), then random ones."""
    first, second = rng.integers(0, len(X), n), rng.integers(0, len(X), n)
    pool = rng.permutation(len(X))[:POOL]
    near = first[: n // 2]
    ranked = np.argsort(distance_matrix(X[near], X[pool]), axis=1)[:, 1 : NEAR + 1]
    pick = rng.integers(0, ranked.shape[1], len(near))
    second[: n // 2] = pool[ranked[np.arange(len(near)), pick]]
    return first, second


def scatter(
    X: NDArray[np.float32], encode: Callable[[NDArray[np.float32]], Codes], pairs: Pairs
) -> PairSample:
    """Euclidean distance and share of differing bits of the same pairs of rows of X."""
    first, second = (X[rows] for rows in pairs)
    r = np.linalg.norm(first.astype(np.float64) - second.astype(np.float64), axis=1)
    a, b = encode(first), encode(second)
    differing = np.bitwise_count(a.packed ^ b.packed).sum(axis=1)
    return PairSample(r, differing / a.length)


def scatter_panels(
    view: Embedded, kernels: Kernels, lengths: Sequence[int], n_pairs: int, seed: int
) -> list[Row]:
    """One panel per kernel and code length: the pairs, their code distances, the closed form."""
    pairs = sample_pairs(view.base, n_pairs, np.random.default_rng(seed))
    panels = []
    for name, kernel in kernels.items():
        for bits in lengths:
            drawn = drawn_hash(view.base, kernel, bits, seed)
            panels.append({"view": view.name, "kernel": name, "bits": bits})
            panels[-1] |= _panel(view.base, drawn, pairs)
    return panels


def _panel(X: NDArray[np.float32], drawn: CosineHash, pairs: Pairs) -> Row:
    from scipy.stats import spearmanr

    found = scatter(X, drawn.encode, pairs)
    r, share = found.r, found.share
    random, line = r[len(r) // 2 :], np.linspace(0.0, r.max(), len(r))
    return {
        "gamma_least": float(f"{drawn.kernel.particles.min():.4g}"),
        "gamma_largest": float(f"{drawn.kernel.particles.max():.4g}"),
        "median_euclidean": round(float(np.median(random)), 3),
        "beyond_range": round(range_of_view(drawn, random), 4),
        "spearman": round(float(spearmanr(r, share).statistic), 4),
        "euclidean": [round(float(v), 2) for v in r],
        "hamming": [round(float(v), 4) for v in share],
        "line_euclidean": [round(float(v), 3) for v in line],
        "line_hamming": [round(float(v), 4) for v in drawn.disagreement(line)],
    }


def draw_scatter(panels: list[Row], path: Path) -> None:
    """A row of panels per kernel, a column per code length."""
    lengths = list(dict.fromkeys(panel["bits"] for panel in panels))
    shape: dict[str, Any] = {"nrows": len(KERNELS), "ncols": len(lengths), "squeeze": False}
    shape |= {"sharex": True, "sharey": True}
    with figure(path, PAGE_WIDTH, 2.0 * len(KERNELS) + 0.4, **shape) as (_, grid):
        for panel in panels:
            row, column = KERNELS.index(panel["kernel"]), lengths.index(panel["bits"])
            _draw_panel(grid[row, column], panel)
        for axes, bits in zip(grid[0], lengths, strict=True):
            axes.set_title(f"{bits} bits")
        for axes, kernel in zip(grid[:, 0], KERNELS, strict=True):
            axes.set_ylabel(f"{LABELS[kernel]}\nshare of differing bits")
        grid[0, 0].set(ylim=(0, 0.55), xlim=(0, None))
        for axes in grid[-1]:
            axes.set_xlabel(f"Euclidean distance, {shown_name(panels[0]['view'])}")


def _draw_panel(axes: Any, panel: Row) -> None:
    look: dict[str, Any] = {"markersize": 1.6, "markeredgewidth": 0, "alpha": 0.45, "color": BLUE}
    axes.plot(panel["euclidean"], panel["hamming"], "o", **look)
    axes.plot(panel["line_euclidean"], panel["line_hamming"], color=BLACK, linewidth=1)
    axes.axhline(RANDOM_THRESHOLD_LIMIT, color=GREY, linewidth=0.8, linestyle=":")
    told = f"beyond range {panel['beyond_range']:.0%}\nrank correlation {panel['spearman']:.2f}"
    axes.text(0.97, 0.05, told, transform=axes.transAxes, ha="right", va="bottom", size=7.5)


def range_panels(
    view: Embedded, kernels: Kernels, bits: int, n_pairs: int, n_neighbours: int, seed: int
) -> list[Row]:
    """Which distances occur, of random pairs and of neighbours, and what each kernel sees of them.

    One panel per kernel: the closed form on a grid of distances, beside both histograms.
    """
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(0, len(view.base), n_pairs) for _ in range(2))
    random = np.linalg.norm((view.base[first] - view.base[second]).astype(np.float64), axis=1)
    queries = view.base[rng.permutation(len(view.base))[:NEAR_QUERIES]]
    near = np.partition(distance_matrix(queries, view.base), n_neighbours, axis=1)[:, n_neighbours]
    edges = np.linspace(0, max(random.max(), near.max()), BINS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    shared = {
        "euclidean": [round(float(v), 4) for v in middle],
        "random_pairs": [float(v) / n_pairs for v in np.histogram(random, edges)[0]],
        "neighbours": [float(v) / len(near) for v in np.histogram(near, edges)[0]],
    }
    panels = []
    for name, kernel in kernels.items():
        drawn = drawn_hash(view.base, kernel, bits, seed)
        seen: Row = {"view": view.name, "kernel": name, "bits": bits}
        seen["beyond_range"] = round(range_of_view(drawn, random), 4)
        seen["neighbours_beyond_range"] = round(range_of_view(drawn, near), 4)
        curve = [round(float(v), 5) for v in drawn.disagreement(middle)]
        panels.append(seen | {"closed_form": curve} | shared)
    return panels


def draw_range(panels: list[Row], path: Path) -> None:
    """Above, the distances that occur; below, how the code distance grows over the same axis."""
    views = list(dict.fromkeys(panel["view"] for panel in panels))
    shape: dict[str, Any] = {"nrows": 2, "ncols": len(views), "squeeze": False}
    shape |= {"sharex": "col", "sharey": "row"}
    with figure(path, PAGE_WIDTH, 4.4, **shape) as (drawing, grid):
        for column, name in enumerate(views):
            mine = [panel for panel in panels if panel["view"] == name]
            _draw_distances(grid[0, column], mine[0])
            _draw_responses(grid[1, column], mine)
        grid[0, 0].set_ylabel("share of pairs per bin")
        grid[1, 0].set_ylabel("expected share\nof differing bits")
        for axes in grid[1]:
            axes.set_xlabel("Euclidean distance")
        handles = [h for axes in grid[:, 0] for h in axes.get_legend_handles_labels()[0]]
        drawing.legend(handles=handles, loc="outside lower center", ncols=5, columnspacing=1.2)


def _draw_distances(axes: Any, panel: Row) -> None:
    x = np.array(panel["euclidean"])
    half = (x[1] - x[0]) / 2
    edges = np.append(x - half, x[-1] + half)
    axes.stairs(panel["random_pairs"], edges, fill=True, color="#BBBBBB", label="random pairs")
    axes.stairs(panel["neighbours"], edges, color=BLACK, linewidth=1, label="to the 50th neighbour")
    axes.set_title(shown_name(panel["view"]))


def _draw_responses(axes: Any, panels: list[Row]) -> None:
    lines = []
    for panel in panels:
        name = panel["kernel"]
        axes.plot(
            [0.0, *panel["euclidean"]],
            [0.0, *panel["closed_form"]],
            color=COLOURS[name],
            linestyle="--" if name == "trained" else "-",
            label=LABELS[name],
        )
        lines.append(f"{name} {panel['beyond_range']:.0%}")
    told = "pairs beyond range:\n" + "\n".join(lines)
    axes.text(0.97, 0.05, told, transform=axes.transAxes, ha="right", va="bottom", size=7.5)
    axes.set(xlim=(0, None), ylim=(0, 0.45))
