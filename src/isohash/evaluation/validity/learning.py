"""How many past plans a plan encoder needs: its error and correlation against their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from isohash.dosimetry.plan_distance import differences, plan_distances, with_unknown
from isohash.errors import InputError
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.features.cases.measures import Measured, common_structures
from isohash.features.encoders.plan import fit_plan

NUMBERS = (10, 15, 20, 30, 40, 60, 80, 120)
REPETITIONS = 10
TESTED = 40  # patients that no fit sees, drawn anew in every repetition


def learning_rows(cases: Sequence[Measured], seed: int) -> list[dict[str, Any]]:
    """For each number of plans learned from: error in Gy, that of their mean, and correlation.

    The tested patients are ranked against all that are not tested, as if these were the archive.
    """
    rng = np.random.default_rng(seed)
    tested = min(TESTED, len(cases) // 4)
    found: dict[int, list[tuple[float, float, float]]] = {}
    for _ in range(REPETITIONS):
        order = rng.permutation(len(cases))
        new = [cases[at] for at in order[:tested]]
        archive = [cases[at] for at in order[tested:]]
        for n in (n for n in NUMBERS if n <= len(archive)):
            try:
                found.setdefault(n, []).append(_learned(archive[:n], archive, new))
            except InputError:  # so few that they share no structure
                continue
    return [
        {"cases": n, "repetitions": len(scores)}
        | dict(
            zip(
                ("error_gy", "mean_plan_error_gy", "r_plan"),
                np.mean(scores, axis=0).round(3).tolist(),
                strict=True,
            )
        )
        for n, scores in found.items()
        if scores
    ]


def _learned(
    known: Sequence[Measured], archive: Sequence[Measured], new: Sequence[Measured]
) -> tuple[float, float, float]:
    encoder = fit_plan(known, common_structures(known))
    settings = encoder.settings
    planned = np.array([one.doses(settings) for one in archive])
    true = np.array([one.doses(settings) for one in new])
    mean = np.nanmean(planned[: len(known)], axis=0)
    predicted = [encoder.predict(one) for one in new]
    usable = [at for at, doses in enumerate(predicted) if doses is not None]
    misses = [np.nanmean(np.abs(predicted[at] - true[at])) for at in usable]
    told = np.array(
        [with_unknown(*differences(predicted[at], planned)).mean(axis=0) for at in usable]  # type: ignore[arg-type]
    )
    wanted = _plan_distances([new[at] for at in usable], archive)
    r = spearmanr(told.ravel(), wanted.ravel(), nan_policy="omit").statistic
    return float(np.mean(misses)), float(np.nanmean(np.abs(mean - true))), float(r)


def _plan_distances(new: Sequence[Measured], archive: Sequence[Measured]) -> Any:
    """Over all structures that two cases share, whether or not they can be learned."""
    settings: GeometrySettings = common_structures([*new, *archive], share=0.0)
    a, b = (np.array([one.doses(settings) for one in group]) for group in (new, archive))
    return plan_distances(a, b)
