"""One draw looked at closely: code against Euclidean distance, and precision against recall."""

from __future__ import annotations

from typing import Any

import numpy as np

from isohash.evaluation.curves import thin
from isohash.evaluation.kernel_data import KernelSettings, Vectors
from isohash.evaluation.kernel_retrieval import BEST, code_distances, kernels, nearest
from isohash.evaluation.metrics import precision_recall
from isohash.evaluation.scatter import sample_pairs, scatter
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.kernels.radial import RadialKernel

Row = dict[str, Any]

SHOWN = ("gamma = 1", BEST, "alignment", "isometry")
N_PAIRS = 500
SEED = 0


def shown_kernels(
    name: str, vectors: Vectors, settings: KernelSettings, table: list[Row]
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


def views(
    name: str, vectors: Vectors, settings: KernelSettings, table: list[Row]
) -> dict[str, list[Row]]:
    """Rows of both views: pairs with the share of differing bits, and points of the curves."""
    shown = shown_kernels(name, vectors, settings, table)
    return {
        "scatter": _scatter(name, vectors, shown),
        "precision-recall": _curves(name, vectors, shown, settings.k),
    }


def _scatter(name: str, vectors: Vectors, shown: dict[tuple[str, int], RadialKernel]) -> list[Row]:
    rng = np.random.default_rng(SEED)
    pairs = sample_pairs(vectors.base, N_PAIRS, rng)
    rows: list[Row] = [{"dataset": name} for _ in range(N_PAIRS)]
    for (method, bits), kernel in shown.items():
        hasher = KernelHasher(bits, kernel, random_state=SEED).fit(vectors.base)
        found = scatter(vectors.base, hasher.transform, pairs)
        for row, r, share in zip(rows, found.r, found.share, strict=True):
            row["euclidean"] = round(float(r), 4)
            row[column(method, bits)] = round(float(share), 4)
    return rows


def column(method: str, bits: int) -> str:
    """The scatter table's column of a kernel and a code length."""
    return f"{method}, {bits} bits"


def _curves(
    name: str, vectors: Vectors, shown: dict[tuple[str, int], RadialKernel], k: int
) -> list[Row]:
    """Relevant are the k Euclidean nearest."""
    relevant = np.zeros((len(vectors.queries), len(vectors.base)), dtype=bool)
    np.put_along_axis(relevant, nearest(vectors, k), True, axis=1)
    rows = []
    for (method, bits), kernel in shown.items():
        curve = precision_recall(code_distances(vectors, kernel, bits, SEED), relevant)
        rows += [
            {
                "dataset": name, "method": method, "bits": bits, "distance": threshold,
                "precision": round(precision, 4), "recall": round(recall, 4),
            }
            for threshold, precision, recall in thin(curve)
        ]  # fmt: skip
    return rows
