"""One dose against another, as physicists compare them: gamma, difference, D and V, conformity.

Doses are in Gy, volumes in percent or cc, always `dose - reference`. What is read off a structure:

| of | metric | meaning |
|---|---|---|
| targets | D98, D95, D50, D2 | Gy that this percent of the volume gets at least (ICRU 83, 3.7.1) |
| | V95%, V107% | percent of the volume with this percent of its prescription at least |
| organs | mean, D2, D0.03cc | Gy: mean; what the hottest 2 % and 0.03 cc get at least (TG-263) |
| | V20Gy, V30Gy, V50Gy | percent of the volume with this dose at least |
| targets | | `metrics.Conformity`, where prescriptions are known |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from isohash.dosimetry.dose import own_grid
from isohash.dosimetry.dvh import DVH, dvh
from isohash.dosimetry.gamma import Gamma, GammaCriteria, gamma_index
from isohash.dosimetry.metrics import MAX_CC, Conformity, fit_of
from isohash.dosimetry.names import is_target
from isohash.dosimetry.resample import resample
from isohash.errors import InputError
from isohash.records import Volume

TARGET_VOLUMES = (98.0, 95.0, 50.0, 2.0)  # percent
TARGET_LEVELS = (95.0, 107.0)  # percent of the prescription
ORGAN_LEVELS_GY = (20.0, 30.0, 50.0)
CRITERIA = (GammaCriteria(), GammaCriteria(percent=3.0, mm=3.0), GammaCriteria(percent=2.0))


@dataclass(frozen=True, eq=False)
class PlanDose:
    """A dose with what is read off it: histograms by structure, conformity by target."""

    name: str
    dose: Volume
    curves: Mapping[str, DVH] = field(default_factory=dict)
    conformity: Mapping[str, Conformity] = field(default_factory=dict)
    prescriptions: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        dose: Volume,
        structures: Mapping[str, Volume],
        prescriptions: Mapping[str, float],
    ) -> PlanDose:
        """Read off in structures (masks or drawn ones), by name; `prescriptions` of targets, Gy."""
        curves, fits = {}, {}
        for one, mask in structures.items():
            curves[one] = dvh(dose, mask)
            if one in prescriptions:
                try:
                    fits[one] = fit_of(dose, mask, prescriptions[one], curves[one])
                except InputError:  # of another grid, or nothing of it on this one
                    continue
        return cls(name, dose, curves, fits, dict(prescriptions))


@dataclass(frozen=True)
class MetricPair:
    """A number of one structure in both doses; `unit` is "Gy" or "%"."""

    structure: str
    metric: str
    unit: str
    value: float
    reference: float

    @property
    def difference(self) -> float:
        """Value minus reference."""
        return self.value - self.reference


@dataclass(frozen=True)
class DoseDifference:
    """Dose minus reference in Gy, at the points above the threshold of gamma.

    `low_gy` and `high_gy` hold 95 % of them between them.
    """

    points: int
    mean_gy: float
    mean_absolute_gy: float
    low_gy: float
    high_gy: float

    @property
    def text(self) -> str:
        """One sentence for people."""
        return (
            f"dose difference: mean {self.mean_gy:+.2f} Gy, absolute "
            f"{self.mean_absolute_gy:.2f} Gy, 95 % between {self.low_gy:+.1f} and "
            f"{self.high_gy:+.1f} Gy"
        )


@dataclass(frozen=True, eq=False)
class DoseComparison:
    """What `compare_doses` found. `notes` say in words what the numbers leave open.

    Example:
        >>> import isohash, numpy as np
        >>> plan = isohash.Volume(np.full((6, 6, 6), 60.0), np.eye(4))
        >>> organ = isohash.Volume(np.ones((6, 6, 6), bool), np.eye(4))
        >>> found = isohash.compare_doses(plan, plan, {"Parotid_L": organ})
        >>> [one.metric for one in found.metrics]
        ['mean', 'D2', 'D0.03cc', 'V20Gy', 'V30Gy', 'V50Gy']
    """

    dose: PlanDose
    reference: PlanDose
    difference: DoseDifference
    gamma: tuple[Gamma, ...]
    metrics: tuple[MetricPair, ...]
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """Gamma and difference in sentences, and what is to be kept in mind."""
        notes = (f"note: {one}" for one in self.notes)
        return (*(one.text for one in self.gamma), self.difference.text, *notes)

    @property
    def fits(self) -> list[tuple[str, str, Conformity]]:
        """Target, name of the dose, and how it fits, target by target."""
        sides = (self.dose, self.reference)
        targets = dict.fromkeys(name for side in sides for name in side.conformity)
        return [
            (name, side.name, side.conformity[name])
            for name in targets
            for side in sides
            if name in side.conformity
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the volumes; what is not known is None."""
        sides = (("dose", self.dose), ("reference", self.reference))
        return {
            **{name: side.name for name, side in sides},
            "difference": asdict(self.difference),
            "gamma": [_gamma(one) for one in self.gamma],
            "metrics": [{**asdict(one), "difference": one.difference} for one in self.metrics],
            "conformity": {
                name: {target: _known(asdict(fit)) for target, fit in side.conformity.items()}
                for name, side in sides
            },
            "notes": list(self.notes),
        }


def compare_doses(
    dose: Volume,
    reference: Volume,
    structures: Mapping[str, Volume] | None = None,
    prescriptions: Mapping[str, float] | None = None,
    criteria: Sequence[GammaCriteria] = CRITERIA,
) -> DoseComparison:
    """Compare two doses (Gy) of one patient, on grids of their own.

    Args:
        dose: what is judged; its grid is the one that gamma interpolates.
        reference: what it is judged against; its grid points are the ones that are judged.
        structures: by name, of TG-263 where targets are to be told from organs.
        prescriptions: Gy of targets, by name; these get V95%, V107% and `Conformity`.
        criteria: of gamma, each calculated anew; () leaves gamma out.

    Raises:
        InputError: a dose without voxels above the threshold, an empty structure.

    Example:
        >>> import isohash, numpy as np
        >>> plan = isohash.Volume(np.full((6, 6, 6), 60.0, np.float32), np.eye(4))
        >>> cooler = isohash.Volume(plan.array - 1.0, np.eye(4))
        >>> found = compare_doses(cooler, plan)
        >>> found.difference.mean_gy, round(found.gamma[0].mean, 3)
        (-1.0, 0.556)
    """
    masks, wanted = structures or {}, prescriptions or {}
    return compare_plans(
        PlanDose.of("dose", dose, masks, wanted),
        PlanDose.of("reference", reference, masks, wanted),
        criteria,
    )


def compare_plans(
    plan: PlanDose,
    reference: PlanDose,
    criteria: Sequence[GammaCriteria] = CRITERIA,
    notes: Sequence[str] = (),
) -> DoseComparison:
    """The same of doses from which the histograms were read already."""
    return DoseComparison(
        plan,
        reference,
        dose_difference(plan.dose, reference.dose),
        tuple(gamma_index(plan.dose, reference.dose, one) for one in criteria),
        tuple(_pairs(plan, reference)),
        tuple(notes),
    )


def dose_difference(
    dose: Volume, reference: Volume, threshold_percent: float = 10.0
) -> DoseDifference:
    """At the reference's own grid points above a percentage of its highest dose.

    The dose is interpolated linearly; points outside its grid are left out.
    """
    dose, reference = own_grid(dose), own_grid(reference)
    z, y, x = reference.array.shape
    there = resample(dose, reference.affine, (z, y, x), outside=np.nan)
    level = max(threshold_percent / 100.0 * float(reference.array.max()), 1e-9)
    apart = (there - reference.array)[reference.array >= level].astype(np.float64)
    apart = apart[~np.isnan(apart)]
    if not len(apart):
        raise InputError("the doses share no point: their grids do not meet, or one has no dose")
    low, high = np.quantile(apart, [0.025, 0.975])
    return DoseDifference(
        len(apart), float(apart.mean()), float(np.abs(apart).mean()), float(low), float(high)
    )


def _pairs(plan: PlanDose, reference: PlanDose) -> list[MetricPair]:
    """The metrics of the structures that both have, in the plan's order."""
    found = []
    for name, own in plan.curves.items():
        other = reference.curves.get(name)
        if other is None:
            continue
        a, b = (
            _read(name, curve, side.prescriptions.get(name))
            for curve, side in ((own, plan), (other, reference))
        )
        found += [MetricPair(name, *key, a[key], b[key]) for key in a if key in b]
    return found


def _read(name: str, curve: DVH, prescription_gy: float | None) -> dict[tuple[str, str], float]:
    if not is_target(name):
        levels = {(f"V{gy:g}Gy", "%"): curve.v(gy) for gy in ORGAN_LEVELS_GY}
        near = {("D2", "Gy"): curve.d(2.0), (f"D{MAX_CC:g}cc", "Gy"): curve.d_cc(MAX_CC)}
        return {("mean", "Gy"): curve.mean_gy, **near, **levels}
    doses = {(f"D{volume:g}", "Gy"): curve.d(volume) for volume in TARGET_VOLUMES}
    if prescription_gy is None:
        return doses
    shares = {
        (f"V{percent:g}%", "%"): curve.v(percent / 100.0 * prescription_gy)
        for percent in TARGET_LEVELS
    }
    return {**doses, **shares}


def _gamma(one: Gamma) -> dict[str, Any]:
    told = {
        "passing_percent": one.passing_percent,
        "mean": one.mean,
        "points": one.points,
        "outside": one.outside,
        "normalisation_gy": one.normalisation_gy,
    }
    return {**asdict(one.criteria), **_known(told)}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN."""
    return {name: None if value != value else value for name, value in values.items()}
