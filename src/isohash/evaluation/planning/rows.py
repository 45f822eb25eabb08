"""The tables of the planning study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.bands import conformal_factor
from isohash.dosimetry.names import is_target
from isohash.dosimetry.objectives import metric_names
from isohash.dosimetry.plan_scores import pooled_dvh_score
from isohash.evaluation.planning.patients import Patient, by_name
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.features.encoders.dose_calibration import NOMINAL, DoseCalibration

HALVES = 100
BOOTSTRAPS = 200

Row = dict[str, Any]
Doses = NDArray[np.float64]


def score_row(split: str, what: str, doses: Sequence[float], misses: Sequence[Doses]) -> Row:
    """Dose and DVH score with 95 % intervals, patients resampled; pooled as the challenge pools."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(doses), (BOOTSTRAPS, len(doses)))
    each = np.array(doses)
    row: Row = {"split": split, "dose": what, "patients": len(doses), "dose_score": each.mean()}
    row |= _ends("dose_score", [each[at].mean() for at in drawn])
    row["dvh_score"] = pooled_dvh_score(misses) if misses else None
    if misses:
        pooled = [pooled_dvh_score([misses[i] for i in at.tolist()]) for at in drawn]
        row |= _ends("dvh_score", pooled)
    return row


def _ends(name: str, values: Sequence[float]) -> Row:
    low, high = np.quantile(values, [0.025, 0.975])
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


@dataclass(frozen=True, eq=False)
class Table:
    """Absolute misses in Gy of n patients, (n, structures, entries), NaN where absent."""

    structures: tuple[str, ...]
    missed: Doses

    @classmethod
    def of(cls, patients: Sequence[Patient], names: Sequence[str], what: str) -> Table:
        """Of "histogram" or "metrics"."""
        rows = []
        for patient in patients:
            own = {name: np.abs(np.subtract(*found[what])) for name, found in by_name(patient)}
            width = len(next(iter(own.values())))
            rows.append([own.get(name, np.full(width, np.nan)) for name in names])
        return cls(tuple(names), np.array(rows))

    def kinds(self) -> Mapping[str, NDArray[np.bool_]]:
        """Which structures are organs, targets, any."""
        targets = np.array([is_target(name) for name in self.structures])
        return {"organs": ~targets, "targets": targets, "all": np.ones_like(targets)}


def halved(table: Table, at: int, seed: int) -> list[Row]:
    """Cover on one half of the patients with half widths from the other, `HALVES` times."""
    rng, rows = np.random.default_rng([seed, at]), []
    for _ in range(HALVES):
        order = rng.permutation(len(table.missed))
        fitted, tested = np.array_split(order, 2)
        half = conformal_factor(table.missed[fitted], NOMINAL[at])
        rows.append(_covered(table, table.missed[tested], half))
    return [{name: _mean(np.array([row[name] for row in rows])) for name in rows[0]}]


def _covered(table: Table, missed: Doses, half: Doses) -> Row:
    half = np.where(np.isfinite(half), half, np.nan)
    row: Row = {}
    for kind, used in table.kinds().items():
        inside, known = missed[:, used] <= half[used], ~np.isnan(missed[:, used] - half[used])
        widths = np.broadcast_to(half[used], known.shape)
        row[f"cover {kind}"] = 100.0 * _mean(inside[known].astype(float))
        row[f"width {kind}"] = _mean(widths[known])
    return row


def _mean(values: Doses) -> float:
    """Of what is known; NaN where nothing is, as where few patients have a structure."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def band_rows(
    split: str, table: Table, half: Callable[[str], Doses] | None, seed: int
) -> list[Row]:
    """Cover and mean half width of bands; half widths by structure, or None for random halves."""
    rows: list[Row] = []
    for at, nominal in enumerate(NOMINAL):
        if half is None:
            (found,) = halved(table, at, seed)
            low, high = np.nan, np.nan
        else:
            widths = np.array([half(name)[at] for name in table.structures])
            found = _covered(table, table.missed, widths)
            low, high = _resampled(table, widths)
        for kind in table.kinds():
            every = kind == "all" and half is not None
            rows.append(
                {
                    "split": split,
                    "of": kind,
                    "nominal": nominal,
                    "cover_percent": found[f"cover {kind}"],
                    "cover_low": low if every else None,
                    "cover_high": high if every else None,
                    "half_width_gy": found[f"width {kind}"],
                }
            )
    return rows


def _resampled(table: Table, half: Doses) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    n = len(table.missed)
    drawn = [_covered(table, table.missed[rng.integers(0, n, n)], half) for _ in range(BOOTSTRAPS)]
    low, high = np.quantile([row["cover all"] for row in drawn], [0.025, 0.975])
    return float(low), float(high)


def objective_rows(
    split: str,
    patients: Sequence[Patient],
    settings: GeometrySettings,
    calibration: DoseCalibration,
) -> list[Row]:
    """Mean absolute error of every objective, half widths, and how many plans these held."""
    table = Table.of(patients, settings.structures, "metrics")
    rows = []
    for s, name in enumerate(settings.structures):
        half = calibration.metric_half_widths(name)
        for at, metric in enumerate(metric_names(name)):
            missed = table.missed[:, s, at]
            missed = missed[~np.isnan(missed)]
            if not len(missed):
                continue
            row: Row = {"split": split, "structure": name, "metric": metric}
            row |= {"patients": len(missed), "error_gy": missed.mean()}
            for k, nominal in enumerate((68, 90)):
                row[f"half_width_{nominal}"] = half[k, at]
                row[f"cover_{nominal}"] = 100.0 * (missed <= half[k, at]).mean()
            rows.append(row)
    return rows


def voxel_row(split: str, patients: Sequence[Patient], calibration: DoseCalibration) -> list[Row]:
    """How many voxels of the planned doses lie within the half widths told; patients alike."""
    cover: list[list[float]] = [[], []]
    width: list[list[float]] = [[], []]
    for patient in patients:
        told, true = patient.kept.predicted, patient.kept.planned
        assert told is not None
        assert true is not None
        dosed = (true.array > 0) & (patient.kept.places > 0)
        share = (told.array / patient.kept.about["prescription_gy"]).astype(np.float32)
        half = calibration.voxel_half_widths(patient.kept.places, share)[:, dosed]
        inside = np.abs(told.array - true.array)[dosed] <= half
        for at in range(len(NOMINAL)):
            cover[at].append(float(100.0 * inside[at].mean()))
            width[at].append(float(half[at].mean()))
    return [
        {
            "split": split,
            "of": "voxels",
            "nominal": nominal,
            "cover_percent": float(np.mean(cover[at])),
            "cover_low": None,
            "cover_high": None,
            "half_width_gy": float(np.mean(width[at])),
        }
        for at, nominal in enumerate(NOMINAL)
    ]
