"""How well past plans are ranked by predicted doses, and what the nearest are worth when laid.

Each query is compared with all plans of other patients: by histograms, and by whole doses laid
rigidly on it. What counts is the same comparison with the query's own plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.features.encoders.dose_calibration import DoseCalibration
from isohash.progress import Progress, tell
from isohash.records import Volume

FIVE = 5
EVERY = 2  # doses are compared at every other cell along each axis: their mean is the same
RANKS = (1, 5, 10)


Cells = NDArray[np.int64]
Plan = tuple[Mapping[str, NDArray[np.float64]], Volume]  # centres of structures, and the dose


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
    plans = [_plan(one) for one in past]
    for done, query in enumerate(queries):
        tell(progress, done, len(queries), f"laying past doses on {query.id}")
        own = np.array([one.patient == query.patient for one in past])
        told, true = (_in(query, names, planned=p) for p in (False, True))
        by = _by_histograms(told, true, planned)
        some = _cells(query, EVERY)
        fields = _fields(query, plans, some)
        by["map"] = np.abs(fields - _inside(query.kept.predicted, some)).mean(axis=1)
        by["own map"] = np.abs(fields - _inside(query.kept.planned, some)).mean(axis=1)
        for name, gy in by.items():
            rows[name].append(np.where(own, np.nan, gy))
        _lay(laid, query, plans, {n: rows[n][-1] for n in ("map", "plan", "own map")})
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


def _cells(query: Patient, every: int = 1) -> Cells:
    """Indices (n, 3) of the cells where dose is foreseen, of every so many along each axis."""
    cells = np.argwhere(query.kept.places > 0)
    return cells[(cells % every == 0).all(axis=1)]


def _plan(patient: Patient) -> Plan:
    dose = patient.kept.planned
    assert dose is not None
    return patient.kept.centres, dose


def _fields(query: Patient, plans: Sequence[Plan], cells: Cells) -> NDArray[np.float32]:
    """The past doses (plans, n) at cells (n, 3) of the query."""
    predicted, own = query.kept.predicted, query.kept.centres
    assert predicted is not None
    points = cells @ predicted.affine[:3, :3].T + predicted.affine[:3, 3]
    laid = [dose_at(dose, rigid_between(own, centres)(points)) for centres, dose in plans]
    return np.array(laid)


def _inside(dose: Volume | None, cells: Cells) -> NDArray[np.float32]:
    assert dose is not None
    inside: NDArray[np.float32] = dose.array[tuple(cells.T)]
    return inside


def _lay(
    laid: dict[str, list[tuple[float, Doses | None]]],
    query: Patient,
    plans: Sequence[Plan],
    by: dict[str, Doses],
) -> None:
    """The scores of the nearest past dose and of the mean of five, in each order."""
    for name, gy in by.items():
        order = np.argsort(np.where(np.isnan(gy), np.inf, gy), kind="stable")[:FIVE]
        fields = _fields(query, [plans[at] for at in order.tolist()], _cells(query))
        for what, n in (("nearest", 1), ("mean of five", FIVE)):
            scored = _scores(query, fields[:n].mean(axis=0))
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
