"""How well past plans are ranked by predicted doses, and what the nearest are worth when laid.

Each query is compared with all plans of other patients: by histograms, and by whole doses laid
rigidly on it. What counts is the same comparison with the query's own plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from isohash.dosimetry.plan_distance import differences, plan_distances, with_unknown
from isohash.dosimetry.plan_scores import dose_score
from isohash.dosimetry.resample import resample
from isohash.dosimetry.rigid import dose_at, rigid_between
from isohash.evaluation.planning.patients import Patient
from isohash.evaluation.planning.rows import Doses, Row, score_row
from isohash.features.cases.geometry import GeometrySettings
from isohash.features.encoders.dose_calibration import DoseCalibration
from isohash.progress import Progress, tell
from isohash.records import Volume

FIVE = 5
RANKS = (1, 5, 10)


@dataclass(eq=False)
class Distances:
    """Gy (n, past) by each comparison, NaN for a query's own patient.

    "map" and "own map" of whole doses, predicted and planned; "plan", "shared" and "own" of
    histograms: absent structures at the mean of the others, left out, and of the own plan. `laid`
    are scores of the nearest and of the mean of five by each.
    """

    by: dict[str, Doses]
    laid: dict[str, list[tuple[float, Doses | None]]] = field(default_factory=dict)


def distances(
    queries: Sequence[Patient],
    past: Sequence[Patient],
    layout: GeometrySettings,
    progress: Progress | None,
) -> Distances:
    """All comparisons of some queries with the past plans."""
    names = layout.structures
    planned = np.array([_in(one, names, planned=True) for one in past])
    rows: dict[str, list[Doses]] = {n: [] for n in ("map", "own map", "plan", "shared", "own")}
    laid: dict[str, list[tuple[float, Doses | None]]] = {}
    doses = [one.kept.planned for one in past]
    for done, query in enumerate(queries):
        tell(progress, done, len(queries), f"laying past doses on {query.id}")
        own = np.array([one.patient == query.patient for one in past])
        told, true = (_in(query, names, planned=p) for p in (False, True))
        by = _by_histograms(told, true, planned)
        fields = _fields(query, past, doses)
        by["map"] = np.abs(fields - _inside(query, query.kept.predicted)).mean(axis=1)
        by["own map"] = np.abs(fields - _inside(query, query.kept.planned)).mean(axis=1)
        for name, gy in by.items():
            rows[name].append(np.where(own, np.nan, gy))
        _lay(laid, query, fields, {n: rows[n][-1] for n in ("map", "plan", "own map")})
    return Distances({name: np.array(found) for name, found in rows.items()}, laid)


def _in(patient: Patient, names: Sequence[str], planned: bool) -> Doses:
    told = dict(zip(patient.structures, patient.histograms[int(planned)], strict=True))
    nothing = np.full(patient.histograms[0].shape[1], np.nan)
    return np.array([told.get(name, nothing) for name in names])


def _by_histograms(told: Doses, true: Doses, planned: Doses) -> dict[str, Doses]:
    return {
        "plan": with_unknown(*differences(told, planned)).mean(axis=0),
        "shared": plan_distances(told[None], planned)[0],
        "own": plan_distances(true[None], planned)[0],
    }


def _fields(
    query: Patient, past: Sequence[Patient], doses: Sequence[Volume | None]
) -> NDArray[np.float32]:
    """The past doses (past, n) at the cells of the query where dose is foreseen."""
    predicted = query.kept.predicted
    assert predicted is not None
    affine = predicted.affine
    points = np.argwhere(query.kept.places > 0) @ affine[:3, :3].T + affine[:3, 3]
    found = []
    for one, dose in zip(past, doses, strict=True):
        assert dose is not None
        found.append(dose_at(dose, rigid_between(query.kept.centres, one.kept.centres)(points)))
    return np.array(found)


def _inside(query: Patient, dose: Volume | None) -> NDArray[np.float32]:
    assert dose is not None
    inside: NDArray[np.float32] = dose.array[query.kept.places > 0]
    return inside


def _lay(
    laid: dict[str, list[tuple[float, Doses | None]]],
    query: Patient,
    fields: NDArray[np.float32],
    by: dict[str, Doses],
) -> None:
    """The scores of the nearest past dose and of the mean of five, in each order."""
    for name, gy in by.items():
        order = np.argsort(np.where(np.isnan(gy), np.inf, gy), kind="stable")[:FIVE]
        for what, chosen in (("nearest", order[:1]), ("mean of five", order)):
            scored = _scores(query, fields[chosen].mean(axis=0))
            laid.setdefault(f"{what} by {name}", []).append(scored)


def _scores(query: Patient, gy: NDArray[np.float32]) -> tuple[float, Doses | None]:
    planned = query.kept.planned
    assert planned is not None
    grid = np.zeros(planned.array.shape, np.float32)
    grid[query.kept.places > 0] = gy
    if query.fresh is None:
        dosed = planned.array > 0
        return dose_score(grid[dosed], planned.array[dosed]), None
    ct = query.fresh.on_ct
    on_ct = Volume(resample(Volume(grid, planned.affine), ct.affine, ct.array.shape), ct.affine)
    return query.score_on_ct(on_ct), query.misses_of(on_ct)


def ranking_rows(split: str, found: Distances, seed: int) -> list[Row]:
    """Rank correlation of each comparison with what the own plan says, and its nearest in Gy."""
    pairs = (("map", "own map"), ("plan", "own"), ("shared", "own"), ("plan", "own map"))
    rows = []
    for name, true in pairs:
        a, b = found.by[name], found.by[true]
        order = np.argsort(np.where(np.isnan(a), np.inf, a), axis=1, kind="stable")
        near = np.take_along_axis(b, order[:, :FIVE], axis=1)
        low, high = _correlation_interval(a, b, seed)
        rows.append(
            {
                "split": split,
                "ranked by": name,
                "against": "doses" if true == "own map" else "histograms",
                "queries": len(a),
                "r": _correlation(a, b),
                "r_low": low,
                "r_high": high,
                "nearest_gy": float(near[:, 0].mean()),
                "five_gy": float(near.mean()),
                "best_gy": float(np.nanmin(b, axis=1).mean()),
            }
        )
    return rows


def _correlation(a: Doses, b: Doses) -> float:
    known = ~np.isnan(a) & ~np.isnan(b)
    return float(spearmanr(a[known], b[known]).statistic)


def _correlation_interval(a: Doses, b: Doses, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, len(a), len(a)) for _ in range(100)]
    low, high = np.quantile([_correlation(a[at], b[at]) for at in drawn], [0.025, 0.975])
    return float(low), float(high)


def laid_rows(split: str, found: Distances) -> list[Row]:
    """The scores of laid doses."""
    return [
        score_row(split, what, [one[0] for one in scored], _known([one[1] for one in scored]))
        for what, scored in found.laid.items()
    ]


def _known(misses: Sequence[Doses | None]) -> list[Doses]:
    return [one for one in misses if one is not None]


def interval_rows(split: str, found: Distances, calibration: DoseCalibration) -> list[Row]:
    """How often the interval told with a distance by plan holds the true one, by rank."""
    told, true = found.by["plan"], found.by["own"]
    order = np.argsort(np.where(np.isnan(told), np.inf, told), axis=1, kind="stable")
    rows = []
    for rank in RANKS:
        held = []
        for query, chosen in enumerate(order[:, :rank]):
            for at in chosen.tolist():
                _, low, high = calibration.expected_distance(float(told[query, at]))
                held.append(low <= true[query, at] <= high)
        rows.append({"split": split, "nearest": rank, "held_percent": 100.0 * np.mean(held)})
    return rows
