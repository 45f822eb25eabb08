"""What codes see of distances: code against Euclidean distance, and precision against recall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.evaluation.metrics import PrecisionRecall, precision_recall
from isohash.hashing.cosine import CosineHash
from isohash.index.flat import FlatIndex, distances
from isohash.records import Codes

# A pair is saturated if its expected code distance is within 5 % of the largest there is: codes can
# then no longer tell how far apart its items are.
SATURATED = 0.95


@dataclass(frozen=True, eq=False)
class PairSample:
    """Random pairs of rows: Euclidean distance r (m,) and share of differing symbols (m,)."""

    r: NDArray[np.float64]
    share: NDArray[np.float64]


def sample_pairs(
    X: NDArray[np.float32], n: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of n pairs: half at random, half a row and one of its 50 nearest of 2 000 others."""
    first = rng.integers(0, len(X), n)
    second = rng.integers(0, len(X), n)
    pool = rng.permutation(len(X))[:2000]
    near = first[: n // 2]
    ranked = np.argsort(euclidean(X[near], X[pool]), axis=1)[:, 1:51]
    second[: n // 2] = pool[
        ranked[np.arange(len(near)), rng.integers(0, ranked.shape[1], len(near))]
    ]
    return first, second


def euclidean(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Distances (n, m) between the rows of a and of b, in float64."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    squared = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2.0 * x @ y.T
    return np.sqrt(np.maximum(squared, 0.0))


def scatter(
    X: NDArray[np.float32],
    encode: Callable[[NDArray[np.float32]], Codes],
    pairs: tuple[NDArray[Any], NDArray[Any]],
) -> PairSample:
    """Euclidean distance, and code distance per symbol, of the same pairs of rows of X."""
    first, second = (X[rows] for rows in pairs)
    r = np.linalg.norm(first.astype(np.float64) - second.astype(np.float64), axis=1)
    a, b = encode(first), encode(second)
    gap = np.abs(a.symbols() - b.symbols())
    gap = np.minimum(gap, a.q - gap)
    if a.metric == "squared_lee":
        gap = gap * gap
    return PairSample(r, gap.mean(axis=1))


def draw_scatter(
    axes: Any,
    title: str,
    X: NDArray[np.float32],
    drawn: CosineHash,
    pairs: tuple[NDArray[Any], NDArray[Any]],
) -> dict[str, float]:
    """Draw code against Euclidean distance of the pairs, with the closed form; what it shows."""
    found = scatter(X, drawn.encode, pairs)
    line = np.linspace(0, float(found.r.max()), 200)
    axes.plot(found.r, found.share, ".", markersize=1.5, alpha=0.4, color="#0072B2")
    axes.plot(line, drawn.disagreement(line), color="#D55E00", linewidth=1.2)
    axes.set_title(title, fontsize=8)
    axes.set_ylim(0, 0.5)
    limit = float(drawn.disagreement(np.array([np.inf]))[0])
    return {
        "gamma": float(drawn.kernel.particles[0]),
        "median_euclidean": round(float(np.median(found.r)), 4),
        "spearman": round(spearman(found.r, found.share), 4),
        "saturated_share": round(saturated_share(drawn.disagreement(found.r), limit), 4),
    }


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


def saturated_share(expected: NDArray[np.float64], limit: float) -> float:
    """Share of pairs beyond the code's range of view, from their expected code distances."""
    return float(np.mean(expected >= SATURATED * limit)) if len(expected) else 0.0


def curve_by_label(
    base: Codes,
    query: Codes,
    base_labels: NDArray[Any],
    query_labels: NDArray[Any],
) -> PrecisionRecall:
    """Precision and recall when items of the query's class are relevant."""
    return precision_recall(distances(query, base), query_labels[:, None] == base_labels)


def curve_by_truth(base: Codes, query: Codes, truth: NDArray[np.int64]) -> PrecisionRecall:
    """Precision and recall when the Euclidean nearest `truth` (n_queries, k) are relevant."""
    relevant = np.zeros((len(query), len(base)), dtype=bool)
    np.put_along_axis(relevant, truth, True, axis=1)
    return precision_recall(distances(query, base), relevant)


def top(base: Codes, query: Codes, k: int) -> NDArray[np.int64]:
    """Positions (n_queries, k) of the nearest codes."""
    return FlatIndex.of(base).search(query, k).ids


def thin(curve: PrecisionRecall, n: int = 64) -> Sequence[tuple[float, float, float]]:
    """At most n points (threshold, precision, recall) of a curve, for a table."""
    at = np.unique(np.linspace(0, len(curve.thresholds) - 1, n).round().astype(int))
    points = zip(curve.thresholds[at], curve.precision[at], curve.recall[at], strict=True)
    return [(float(a), float(b), float(c)) for a, b, c in points if np.isfinite(b)]
