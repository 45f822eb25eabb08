"""One draw looked at closely: code against Euclidean distance, and precision against recall."""

from __future__ import annotations

from typing import Any

import numpy as np

from isohash.distances import nearest
from isohash.evaluation.codes.scatter import sample_pairs, scatter
from isohash.evaluation.kernel.data import EmbeddedSet, KernelSettings
from isohash.evaluation.kernel.retrieval import BEST, kernels
from isohash.evaluation.kit.curves import code_blocks, code_levels, truth_curve
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.kernels.radial import RadialKernel

Row = dict[str, Any]

SHOWN = ("gamma = 1", BEST, "alignment", "isometry")
N_PAIRS = 500
SEED = 0


def shown_kernels(
    name: str, vectors: EmbeddedSet, settings: KernelSettings, table: list[Row]
) -> dict[tuple[str, int], RadialKernel]:
    """The kernels that are shown, by method and bits; `table` tells the best of the grid."""
    made = {method: kernel for method, (kernel, _) in kernels(vectors, SEED, settings).items()}
    found = {}
    for bits in settings.bits:
        tried = [
            row for row in table
            if (row["dataset"], row["bits"]) == (name, bits) and row["method"].startswith("grid ")
        ]  # fmt: skip
        best = max(tried, key=lambda row: row["dice"])["method"]
        for method in SHOWN:
            kernel = made[best if method == BEST else method]
            assert kernel is not None  # only the closed rule has none, and it is not shown
            found[method, bits] = kernel
    return found


def views(name: str, vectors: EmbeddedSet, settings: KernelSettings, table: list[Row]) -> list[Row]:
    """The panels of both views: first the scatter's, then a curve per kernel and code length."""
    shown = shown_kernels(name, vectors, settings, table)
    return [_scatter(name, vectors, shown), *_curves(name, vectors, shown, settings.k)]


def _scatter(name: str, vectors: EmbeddedSet, shown: dict[tuple[str, int], RadialKernel]) -> Row:
    """Distances of the same pairs of rows, and the share of their bits that differ, by kernel."""
    pairs = sample_pairs(vectors.base, N_PAIRS, np.random.default_rng(SEED))
    panel: Row = {"dataset": name}
    for (method, bits), kernel in shown.items():
        hasher = KernelHasher(bits, kernel, random_state=SEED).fit(vectors.base)
        found = scatter(vectors.base, hasher.transform, pairs)
        panel["euclidean"] = np.round(found.r, 4).tolist()
        panel[column(method, bits)] = np.round(found.share, 4).tolist()
    return panel


def column(method: str, bits: int) -> str:
    """The scatter table's column of a kernel and a code length."""
    return f"{method}, {bits} bits"


def _curves(
    name: str, vectors: EmbeddedSet, shown: dict[tuple[str, int], RadialKernel], k: int
) -> list[Row]:
    """Relevant are the k Euclidean nearest."""
    truth, panels = nearest(vectors.base, vectors.queries, k), []
    for (method, bits), kernel in shown.items():
        hasher = KernelHasher(bits, kernel, random_state=SEED).fit(vectors.base)
        base, queries = hasher.transform(vectors.base), hasher.transform(vectors.queries)
        curve = truth_curve(code_blocks(base, queries), code_levels(base), truth)
        panels.append({
            "dataset": name, "method": method, "bits": bits,
            "average_precision": round(curve.average_precision, 4), **curve.to_json(),
        })  # fmt: skip
    return panels
