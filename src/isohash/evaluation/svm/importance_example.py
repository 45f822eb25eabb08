"""The synthetic example of Sinha and Duchi (NIPS 2016), drawn afresh many times.

Points are N(0, I) in 10 dimensions, the label is sign(|x| - sqrt(10)). Importance sampling chooses
among 20 000 Gaussian features with rho = 0.005 per candidate; a ridge regression (0.05) on all the
features it leaves is compared with one on as many fresh ones. The published program subtracts the
mean label before the regression and adds it to the prediction, but the features have no intercept:
43.8 % of the labels are positive, so this pulls every prediction down by 0.124. The published
error of plain features depends on that step, hence both forms are measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from isohash.evaluation.kit.parts import Row
from isohash.kernels.machines.importance import alignment_scores, best_distribution, select_features
from isohash.kernels.radial import RadialKernel
from isohash.kernels.random_features import RandomFeatures

PUBLISHED = {"plain": (0.3127, 0.355), "importance": (0.1199, 0.143)}  # training, test error
DIM, N_TRAIN, N_TEST = 10, 10_000, 1000
RHO = 0.005
RIDGE = 0.05


def example_rows(seed: int, n_candidates: int = 20_000) -> list[Row]:
    """Training and test errors of one draw: plain and chosen features, label centred or not."""
    rng = np.random.default_rng(seed)
    X, X_test = rng.standard_normal((N_TRAIN, DIM)), rng.standard_normal((N_TEST, DIM))
    y, y_test = (np.sign(np.linalg.norm(a, axis=1) - np.sqrt(DIM)) for a in (X, X_test))
    kernel = RadialKernel([0.5])  # frequencies are N(0, I)
    candidates = RandomFeatures.draw(kernel, n_candidates, DIM, rng)
    scores = alignment_scores(candidates, X, (y > 0).astype(np.int64))
    weights = best_distribution(scores, float(np.sqrt(RHO)), tolerance=1e-11)
    chosen = select_features(candidates, weights, None, rng)
    plain = RandomFeatures.draw(kernel, len(chosen), DIM, rng)
    rows: list[Row] = []
    for method, features in (("plain", plain), ("importance", chosen)):
        z, z_test = features(X), features(X_test)
        for centred in (True, False):
            shift = float(y.mean()) if centred else 0.0
            model = Ridge(RIDGE, fit_intercept=False, solver="cholesky").fit(z, y - shift)
            train, test = (
                float(np.mean(np.sign(model.predict(f) + shift) != labels))
                for f, labels in ((z, y), (z_test, y_test))
            )
            rows.append(
                {"seed": seed, "method": method, "centred": centred, "n_features": len(features),
                 "train_error": round(train, 6), "test_error": round(test, 6)}
            )  # fmt: skip
    return rows


def example_summary(rows: list[Row]) -> list[Row]:
    """Mean and deviation over the draws, and whether the published draw looks like one of them.

    `z` is the published test error less the mean, in deviations of the difference between one
    draw and a mean of n draws.
    """
    table = []
    for method, (_, published) in PUBLISHED.items():
        for centred in (True, False):
            mine = [r for r in rows if r["method"] == method and r["centred"] == centred]
            errors: NDArray[np.float64] = np.array([r["test_error"] for r in mine])
            mean, spread = float(errors.mean()), float(errors.std(ddof=1))
            table.append(
                {"method": method, "centred": centred, "draws": len(mine), "published": published,
                 "n_features": round(float(np.mean([r["n_features"] for r in mine])), 1),
                 "train_error": round(float(np.mean([r["train_error"] for r in mine])), 4),
                 "test_error": round(mean, 4), "deviation": round(spread, 4),
                 "half_width": round(1.96 * spread / len(mine) ** 0.5, 4),
                 "z": round((published - mean) / (spread * (1 + 1 / len(mine)) ** 0.5), 2)}
            )  # fmt: skip
    return table
