"""Growing boosted trees with scikit-learn, and taking them over as plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from isohash.features.encoders.trees import MOST_CUTS, QUANTUM, BoostedTrees, BoostingSettings


def fit_trees(
    values: NDArray[np.floating],
    wanted: NDArray[np.floating],
    settings: BoostingSettings,
    weights: NDArray[np.floating] | None = None,
) -> BoostedTrees:
    """Trees that foretell `wanted` (n,) from features (n, f), NaN where one is missing."""
    from sklearn.ensemble import HistGradientBoostingRegressor  # half a second to import

    model = HistGradientBoostingRegressor(
        max_iter=settings.n_trees,
        learning_rate=settings.learning_rate,
        max_leaf_nodes=settings.leaves,
        min_samples_leaf=settings.least_samples,
        l2_regularization=settings.ridge,
        max_bins=settings.bins,
        early_stopping=False,
        random_state=settings.seed,
    )
    known = ~np.isnan(values).all(axis=0)  # a feature that no row has splits nothing
    with threadpool_limits(1):  # its threads spin while they wait for each other
        model.fit(np.where(known, values, np.float32(0.0)), wanted, weights)
    grown = [one[0].nodes for one in model._predictors]
    return taken_over(grown, float(np.ravel(model._baseline_prediction)[0]), values.shape[1])


def taken_over(grown: list[Any], base: float, n_features: int) -> BoostedTrees:
    """Scikit-learn's trees (structured arrays of nodes) as `BoostedTrees`."""
    splits = np.concatenate([tree[tree["is_leaf"] == 0] for tree in grown])
    thresholds = [
        np.unique(splits["num_threshold"][splits["feature_idx"] == j]) for j in range(n_features)
    ]
    assert max(map(len, thresholds), default=0) <= MOST_CUTS  # at most `bins` of them
    trees = [_laid_out(tree, thresholds) for tree in grown]
    sizes = [len(tree["left"]) for tree in trees]
    columns = {name: np.concatenate([t[name] for t in trees]) for name in trees[0]}
    return BoostedTrees(
        np.concatenate(thresholds),
        np.cumsum([0, *map(len, thresholds)]),
        np.cumsum([0, *sizes]),
        **columns,
        base=round(base / QUANTUM),
    )


def _laid_out(tree: Any, thresholds: list[NDArray[np.float64]]) -> dict[str, NDArray[Any]]:
    """One tree with its children side by side, each behind its parent."""
    order: list[int] = [0]
    left: list[int] = []
    for at in order:  # grows while it is gone through
        node = tree[at]
        left.append(len(left) if node["is_leaf"] else len(order))
        if not node["is_leaf"]:
            order += [int(node["left"]), int(node["right"])]
    nodes, leaf = tree[order], tree[order]["is_leaf"].astype(bool)
    n_features = len(thresholds)
    own = np.where(leaf, 0, nodes["feature_idx"])
    cut = [
        255 if is_leaf else int(np.searchsorted(thresholds[j], t))
        for is_leaf, j, t in zip(leaf, own, nodes["num_threshold"], strict=True)
    ]
    smaller = nodes["missing_go_to_left"].astype(bool) & ~leaf  # NaN goes left: bins begin at 1
    return {
        "feature": (own + n_features * smaller).astype(np.uint8),
        "cut": (np.array(cut) + smaller).astype(np.uint8),
        "left": np.array(left, np.uint16),
        "values": np.where(leaf, np.rint(nodes["value"] / QUANTUM), 0).astype(np.int32),
    }
