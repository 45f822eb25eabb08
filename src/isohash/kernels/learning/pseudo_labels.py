"""Labels without labels: k-means on a subset, one cluster against the rest."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError

ClusterChoice = int | Literal["all"]


def cluster_labels(
    points: NDArray[np.floating], n_clusters: int, cluster: ClusterChoice, seed: int
) -> NDArray[np.int64]:
    """Labels (n,) of the rows of `points` (n, d).

    `cluster` is the rank of the chosen cluster by size (0 is the largest): its members get 1, all
    others 0. "all" keeps every cluster as a class of its own.
    """
    if not 2 <= n_clusters <= len(points):
        raise InputError(
            f"n_clusters must lie between 2 and the {len(points)} points, got {n_clusters}"
        )
    if cluster != "all" and not 0 <= cluster < n_clusters:
        raise InputError(
            f"cluster must be 'all' or a rank in 0..{n_clusters - 1} (by size), got {cluster!r}"
        )
    members = _k_means(points, n_clusters, seed)
    counts = np.bincount(members, minlength=n_clusters)
    if counts.min() == 0:
        raise InputError(
            f"k-means left {np.count_nonzero(counts == 0)} of {n_clusters} clusters empty: the "
            "points have too few distinct values; lower n_clusters"
        )
    if cluster == "all":
        return members
    return (members == np.argsort(-counts, kind="stable")[cluster]).astype(np.int64)


def _k_means(points: NDArray[np.floating], n_clusters: int, seed: int) -> NDArray[np.int64]:
    from sklearn.cluster import KMeans  # importing scikit-learn takes most of a second
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # told as an empty cluster above
        found = KMeans(n_clusters, n_init=3, random_state=seed).fit(points)
    return found.labels_.astype(np.int64)
