"""The rows of the validity study: correlations, scores of the nearest plan, coverage of bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from isohash.dosimetry.bands import conformal_factor, coverage, nearest_bands
from isohash.evaluation.kit.results import bootstrap_interval
from isohash.evaluation.validity.distances import PLAN, needs_dose
from isohash.evaluation.validity.patients import Patient
from isohash.evaluation.validity.scores import (
    MeanDose,
    PairScores,
    Scores,
    agreement,
    anatomy_of,
    scores_of,
)
from isohash.progress import Progress, tell

Table = NDArray[np.float64]
Row = dict[str, Any]

NOMINAL = (0.5, 0.68, 0.8, 0.9, 0.95)
NORMAL = {0.5: 0.674, 0.68: 0.994, 0.8: 1.282, 0.9: 1.645, 0.95: 1.960}
SEVERAL = 5  # nearest whose mean dose is a prediction too
AVERAGED = ("CT, aligned slices", "geometry", PLAN)
TOLD = (1, 5, 10)
SPLITS = 100  # of the training patients into calibration and test


@dataclass(frozen=True, eq=False)
class Split:
    """Queries against past cases: tables (n_queries, n_past) by way, and what they should follow.

    `expected` are the ends of the interval told with a distance by plan. In `same` splits the
    queries are the past cases, and nobody is their own neighbour.
    """

    name: str
    queries: Sequence[Patient]
    past: Sequence[Patient]
    ways: Mapping[str, Table]
    plan: Table
    dose: Table
    expected: tuple[Table, Table]
    same: bool

    @property
    def pairs(self) -> NDArray[np.bool_]:
        """Which cells compare two patients."""
        cells = ~np.isnan(self.plan)
        if self.same:
            np.fill_diagonal(cells, False)
        return cells

    def order(self, way: str) -> NDArray[np.int64]:
        """Past cases, nearest first (n_queries, n_past); -1 where there are no more."""
        away = np.where(self.pairs & ~np.isnan(self.ways[way]), self.ways[way], np.inf)
        order = np.argsort(away, axis=1, kind="stable")
        return np.where(np.isfinite(np.take_along_axis(away, order, axis=1)), order, -1)


def correlation_rows(split: Split, n_bootstrap: int, seed: int) -> list[Row]:
    """Rank correlation of retrieval distance with plan and dose distance; Gy to the nearest."""
    drawn = {way: 0 if way.startswith("joint") else n_bootstrap for way in split.ways}
    return [_correlations(split, way, n, seed) for way, n in drawn.items()]


def _correlations(split: Split, way: str, n_bootstrap: int, seed: int) -> Row:
    order = split.order(way)
    rows = np.flatnonzero(order[:, 0] >= 0)
    nearest = [split.plan[row, order[row, 0]] for row in rows]
    five = [np.mean([split.plan[row, at] for at in order[row, :5] if at >= 0]) for row in rows]
    found: Row = {"way": way, "split": split.name, "needs_dose": needs_dose(way)}
    for target, table in (("plan", split.plan), ("dose", split.dose)):
        r, ends = _pooled(split, way, table, n_bootstrap, seed)
        found |= {f"r_{target}": _short(r), f"{target}_low": ends[0], f"{target}_high": ends[1]}
    each = [_spearman(split.ways[way][row][c], split.plan[row][c]) for row, c in _cells(split, way)]
    found |= {
        "r_plan_per_query": _short(float(np.mean(each))),
        "nearest_gy": _short(float(np.mean(nearest)), 2),
        "five_nearest_gy": _short(float(np.mean(five)), 2),
        "random_gy": _short(float(split.plan[split.pairs].mean()), 2),
    }
    return found


def _cells(split: Split, way: str) -> list[tuple[int, NDArray[np.bool_]]]:
    known = split.pairs & ~np.isnan(split.ways[way])
    return [(row, known[row]) for row in range(len(known)) if known[row].sum() > 2]


def _pooled(
    split: Split, way: str, target: Table, n_bootstrap: int, seed: int
) -> tuple[float, tuple[float | None, float | None]]:
    """Correlation over all pairs with its 95 % interval, resampling patients, not pairs."""
    known = split.pairs & ~np.isnan(split.ways[way])
    rng = np.random.default_rng(seed)
    n_queries, n_past = target.shape
    drawn = []
    for _ in range(n_bootstrap):
        rows = rng.integers(0, n_queries, n_queries)
        columns = rows if split.same else rng.integers(0, n_past, n_past)
        cells = np.ix_(rows, columns)
        kept = known[cells]
        drawn.append(_spearman(split.ways[way][cells][kept], target[cells][kept]))
    ends = (
        [_short(float(end)) for end in np.quantile(drawn, [0.025, 0.975])] if drawn else [None] * 2
    )
    return _spearman(split.ways[way][known], target[known]), (ends[0], ends[1])


def _spearman(a: Table, b: Table) -> float:
    x, y = rankdata(a), rankdata(b)
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else 0.0


def nearest_rows(
    split: Split, ways: Sequence[str], n_random: int, seed: int, progress: Progress | None
) -> list[Row]:
    """Dose and DVH scores of each way's nearest plan, and how its anatomy agrees."""
    scores = PairScores(split.queries, split.past)
    facts = [[anatomy_of(one) for one in group] for group in (split.queries, split.past)]
    rng = np.random.default_rng(seed)
    rows = []
    for done, way in enumerate(ways):
        tell(progress, done, len(ways) + 2, f"scoring the nearest by {way}")
        order = split.order(way)
        chosen = [(row, [order[row, 0]]) for row in range(len(order)) if order[row, 0] >= 0]
        rows.append(_nearest_row(way, split, chosen, scores, facts, seed))
        if way in AVERAGED:
            means = [scores.of_mean(row, at[at >= 0][:SEVERAL]) for row, at in enumerate(order)]
            rows.append(_score_cells(f"{way}, mean of {SEVERAL}", split.name, means, seed))
    others = [np.flatnonzero(cells) for cells in split.pairs]
    chosen = [(row, list(rng.choice(at, n_random))) for row, at in enumerate(others)]
    tell(progress, len(ways), len(ways) + 2, "scoring random plans")
    rows.append(_nearest_row("a random plan", split, chosen, scores, facts, seed))
    return [*rows, _mean_dose_row(split, seed)]


def _nearest_row(
    way: str,
    split: Split,
    chosen: Sequence[tuple[int, Sequence[int]]],
    scores: PairScores,
    facts: Sequence[Sequence[Any]],
    seed: int,
) -> Row:
    """Over queries, of the means over the past cases chosen for each."""
    found = [Scores.mean([scores.of(row, int(at)) for at in several]) for row, several in chosen]
    alike = np.array(
        [
            np.mean([agreement(facts[0][row], facts[1][at]) for at in several], axis=0)
            for row, several in chosen
        ]
    )
    return {
        **_score_cells(way, split.name, found, seed),
        "same_side": _short(float(alike[:, 0].mean()), 2),
        "same_number_of_targets": _short(float(alike[:, 1].mean()), 2),
        "target_volume_ratio": _short(float(np.median(alike[:, 2])), 2),
    }


def _mean_dose_row(split: Split, seed: int) -> Row:
    mean = MeanDose(split.past)
    found = [scores_of(one, mean.at(one, split.same)) for one in split.queries]
    return _score_cells("the mean dose", split.name, found, seed)


def _score_cells(way: str, name: str, found: Sequence[Scores], seed: int) -> Row:
    """Scores as the challenge pools them, with intervals by resampling patients."""
    row: Row = {"way": way, "split": name, "needs_dose": needs_dose(way)}
    patient = np.repeat(np.arange(len(found)), [len(one.misses) for one in found])
    pooled = {
        "dose_score": (np.array([one.dose for one in found]), np.arange(len(found))),
        "dvh_score": (np.concatenate([one.misses for one in found]), patient),
    }
    for score, (values, whose) in pooled.items():
        low, high = bootstrap_interval(values, whose, np.random.default_rng(seed))
        row |= {score: _short(float(values.mean()), 2)}
        row |= {f"{score}_low": _short(low, 2), f"{score}_high": _short(high, 2)}
    return row


def interval_rows(split: Split, seed: int) -> list[Row]:
    """How often the true plan distance lies in the interval told with the k nearest by plan."""
    order, rng = split.order(PLAN), np.random.default_rng(seed)
    low, high = split.expected
    rows = []
    for k in TOLD:
        held = np.zeros(len(order))
        for row, nearest in enumerate(order[:, :k]):
            true = split.plan[row, nearest]
            held[row] = np.mean((low[row, nearest] <= true) & (true <= high[row, nearest]))
        ends = bootstrap_interval(held, np.arange(len(held)), rng)
        cells = {"coverage": float(held.mean()), "low": ends[0], "high": ends[1]}
        told = {name: _short(share) for name, share in cells.items()}
        rows.append({"split": split.name, "nearest": k, "nominal": 0.95, **told})
    return rows


@dataclass(frozen=True, eq=False)
class Banded:
    """Bands of a split: centre, spread, and truth (n, structures, dose_volumes) in Gy."""

    centre: Table
    spread: Table
    true: Table

    @property
    def misses(self) -> Table:
        """|true - centre| / spread, NaN where the patient lacks the structure."""
        missed: Table = np.abs(self.true - self.centre) / self.spread
        return missed

    @classmethod
    def of(cls, order: NDArray[np.int64], planned: Table, true: Table, k: int) -> Banded:
        """From the k nearest plans."""
        return cls(*nearest_bands(order, planned, k), true)


def band_rows(name: str, calibration: Banded, new: Banded | None, way: str, seed: int) -> list[Row]:
    """Coverage and half width of conformal bands at each nominal level.

    On `new` patients with factors from all calibration patients; without any, on random halves of
    the calibration patients with factors from the other half.
    """
    rng = np.random.default_rng(seed)
    return [_band_row(name, calibration, new, way, nominal, rng) for nominal in NOMINAL]


def _band_row(
    name: str,
    calibration: Banded,
    new: Banded | None,
    way: str,
    nominal: float,
    rng: np.random.Generator,
) -> Row:
    n = len(calibration.true)
    held = np.zeros(n if new is None else len(new.true))
    counts = np.zeros_like(held)
    widths = []
    if new is None:
        for _ in range(SPLITS):
            order = rng.permutation(n)
            factor = conformal_factor(calibration.misses[order[: n // 2]], nominal)
            for at in order[n // 2 :]:
                _count(calibration, at, factor, held, counts)
            widths.append(_half_width(calibration, factor))
    else:
        factor = conformal_factor(calibration.misses, nominal)
        for at in range(len(new.true)):
            _count(new, at, factor, held, counts)
        widths.append(_half_width(new, factor))
    return _coverage_cells(name, way, nominal, held, counts, float(np.mean(widths)), rng)


def _count(bands: Banded, at: int, factor: Table, held: Table, counts: Table) -> None:
    inside, known = coverage(bands.misses[at : at + 1], factor)
    held[at] += inside
    counts[at] += known


def _half_width(bands: Banded, factor: Table) -> float:
    width = bands.spread * factor
    shown = width[~np.isnan(bands.misses) & np.isfinite(width)]
    return float(shown.mean()) if len(shown) else np.inf


def uncalibrated_rows(name: str, bands: Banded, way: str, seed: int) -> list[Row]:
    """The same for mean +- z standard deviations of the nearest, as if they were normal."""
    rng = np.random.default_rng(seed)
    rows = []
    for nominal in NOMINAL:
        held, counts = np.zeros(len(bands.true)), np.zeros(len(bands.true))
        factor = np.full(bands.true.shape[1:], NORMAL[nominal])
        for at in range(len(bands.true)):
            _count(bands, at, factor, held, counts)
        width = _half_width(bands, factor)
        rows.append(_coverage_cells(name, way, nominal, held, counts, width, rng))
    return rows


def _coverage_cells(
    name: str,
    way: str,
    nominal: float,
    held: Table,
    counts: Table,
    width: float,
    rng: np.random.Generator,
) -> Row:
    """Coverage over all entries, its interval by resampling patients."""
    used = counts > 0
    drawn = rng.integers(0, int(used.sum()), (1000, int(used.sum())))
    shares = held[used][drawn].sum(axis=1) / counts[used][drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return {
        "split": name,
        "bands": way,
        "nominal": nominal,
        "coverage": _short(float(held.sum() / counts.sum())),
        "low": _short(float(low)),
        "high": _short(float(high)),
        "half_width_gy": _short(width, 2) if np.isfinite(width) else None,
    }


def _short(number: float, digits: int = 3) -> float:
    return round(number, digits)
