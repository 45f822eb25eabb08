"""How far the dose model's predictions lie from plans: bands that hold what they promise.

Everything is measured on left-out predictions, so on cases that the predicting model has not seen.
Half widths are split-conformal (`dosimetry.bands`): of a structure's histogram and objectives,
entry by entry; where fewer than `FEWEST` cases have the structure, of all organs or all targets. Of
voxels by where they lie and how much dose is foreseen: each class of voxels keeps quantiles per
case, and cases weigh alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.bands import conformal_factor
from isohash.dosimetry.names import is_target
from isohash.errors import InputError
from isohash.features.cases.anatomy import Anatomy, Field
from isohash.features.cases.distance import signed_distance
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.features.encoders.encoder_file import EncoderHeader, KeptEncoder, Tensors
from isohash.features.encoders.plan import expected_curves, shared_curves

NOMINAL = (0.68, 0.9)
FEWEST_CASES = 10  # from which anything is told
FEWEST = 20  # cases with a structure, for a half width of its own
# Classes of voxels: within a target; outside by distance to the nearest, in mm; by predicted dose
# as a share of the prescription.
BEYOND_MM = (3.0, 6.0, 10.0, 15.0, 25.0, 40.0)
SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CLASSES = (2 + len(BEYOND_MM), 1 + len(SHARES))
QUANTILES = np.linspace(0.0, 1.0, 21)
ORGAN, TARGET = 0, 1  # rows of what stands for structures that few cases have

Doses = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Misses:
    """What one left-out prediction missed, with what it predicted, in Gy.

    Histograms (structures, dose_volumes) and metrics (structures, 3) are NaN where absent;
    `quantiles` (*CLASSES, 21) of the absolute miss and `cells` (*CLASSES) of each class of voxels.
    """

    predicted: Doses
    planned: Doses
    predicted_metrics: Doses
    planned_metrics: Doses
    quantiles: Doses
    cells: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DoseCalibration(KeptEncoder):
    """Half widths in Gy at the nominal covers `NOMINAL`, first axis.

    `histograms` (2, structures, dose_volumes) and `metrics` (2, structures, 3); `pooled_histograms`
    (2, 2, dose_volumes) and `pooled_metrics` (2, 2, 3) are of any organ and any target; `voxels`
    (2, *CLASSES). `expected` as in `PlanEncoder`.
    """

    KIND: ClassVar = "dose calibration"

    settings: GeometrySettings
    histograms: Doses
    metrics: Doses
    pooled_histograms: Doses
    pooled_metrics: Doses
    voxels: Doses
    expected: Doses
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def structures(self) -> tuple[str, ...]:
        """Whose histograms are compared, in the order of the first axis of doses."""
        return self.settings.structures

    def expected_distance(self, predicted_gy: float) -> tuple[float, float, float]:
        """Median and 95 % interval of the true plan distance, given the predicted one; in Gy."""
        return _read_off(self.expected, predicted_gy)

    @property
    def expected_shared(self) -> Callable[[float], tuple[float, float, float]] | None:
        """The same of distances in shared structures alone; None in older archives."""
        curve = self.about.get("expected_shared")
        return None if curve is None else partial(_read_off, np.array(curve))

    def histogram_half_widths(self, structure: str) -> Doses:
        """Gy (2, dose_volumes) of a structure by canonical name, of its kind if it is unknown."""
        return self._of(structure, self.histograms, self.pooled_histograms)

    def metric_half_widths(self, structure: str) -> Doses:
        """Gy (2, 3) of `objectives.metric_names`."""
        return self._of(structure, self.metrics, self.pooled_metrics)

    def voxel_half_widths(self, places: NDArray[np.uint8], share: Field) -> NDArray[np.float32]:
        """Gy (2, z, y, x) of a predicted dose; 0 where none is foretold.

        `places` as `voxel_places` gives them, `share` (z, y, x) the dose per prescription.
        """
        rows = np.pad(self.voxels, ((0, 0), (1, 0), (0, 0)))  # place 0 is nowhere
        return rows[:, places, np.searchsorted(SHARES, share)].astype(np.float32)

    def _of(self, structure: str, own: Doses, pooled: Doses) -> Doses:
        if structure in self.structures:
            return own[:, self.structures.index(structure)]
        return pooled[:, TARGET if is_target(structure) else ORGAN]

    @property
    def _header(self) -> EncoderHeader:
        settings = {**self.about, "geometry": self.settings.to_json()}
        return EncoderHeader(self.KIND, "dose calibration", len(self.structures), 0, settings)

    @property
    def _tensors(self) -> Tensors:
        names = ("histograms", "metrics", "pooled_histograms", "pooled_metrics", "voxels")
        return {name: getattr(self, name) for name in (*names, "expected")}

    @classmethod
    def of(cls, header: EncoderHeader, tensors: Tensors) -> Self:
        """The calibration with this header and these tensors."""
        about = dict(header.settings)
        return cls(GeometrySettings.from_json(about.pop("geometry")), **tensors, about=about)


def _read_off(expected: Doses, predicted_gy: float) -> tuple[float, float, float]:
    at, low, median, high = expected
    found = [float(np.interp(predicted_gy, at, curve)) for curve in (median, low, high)]
    return found[0], found[1], found[2]


def voxel_places(anatomy: Anatomy) -> NDArray[np.uint8]:
    """1 + the class of place of each cell (z, y, x), 0 where no dose is foretold."""
    apart = signed_distance(anatomy.target, anatomy.spacing_mm)
    place = np.where(apart < 0, 1, 2 + np.searchsorted(BEYOND_MM, apart))
    return np.where(anatomy.reached, place, 0).astype(np.uint8)


def voxel_misses(
    anatomy: Anatomy, predicted: Field, planned: Field
) -> tuple[Doses, NDArray[np.int64]]:
    """Quantiles (*CLASSES, 21) of |planned - predicted| and numbers of cells, by class.

    Where no dose is recorded nothing is known, and nothing counted.
    """
    known = anatomy.reached & (planned > 0)
    place = voxel_places(anatomy)[known].astype(np.int64) - 1
    share = np.searchsorted(SHARES, predicted[known] / anatomy.prescription_gy)
    missed = np.abs(planned - predicted)[known]
    quantiles, cells = np.zeros((*CLASSES, len(QUANTILES))), np.zeros(CLASSES, np.int64)
    of = place * CLASSES[1] + share
    order = np.argsort(of, kind="stable")
    ends = np.searchsorted(of[order], np.arange(CLASSES[0] * CLASSES[1] + 1))
    for at in np.flatnonzero(np.diff(ends)).tolist():
        own = missed[order[ends[at] : ends[at + 1]]]
        quantiles[divmod(at, CLASSES[1])] = np.quantile(own, QUANTILES)
        cells[divmod(at, CLASSES[1])] = len(own)
    return quantiles, cells


def calibrate(settings: GeometrySettings, misses: Sequence[Misses]) -> DoseCalibration:
    """Half widths from left-out predictions of at least `FEWEST_CASES` cases."""
    if len(misses) < FEWEST_CASES:
        raise InputError(f"bands need {FEWEST_CASES} left-out predictions, got {len(misses)}")
    predicted, planned, told, true = (
        np.array([getattr(one, name) for one in misses])
        for name in ("predicted", "planned", "predicted_metrics", "planned_metrics")
    )
    kinds = np.array([is_target(name) for name in settings.structures]).astype(int)
    histograms, pooled = _half_widths(np.abs(planned - predicted), kinds)
    metrics, pooled_metrics = _half_widths(np.abs(true - told), kinds)
    return DoseCalibration(
        settings,
        histograms,
        metrics,
        pooled,
        pooled_metrics,
        np.array([_voxel_half_widths(misses, nominal) for nominal in NOMINAL]),
        expected_curves(predicted, planned),
        {"cases": len(misses), "expected_shared": shared_curves(predicted, planned).tolist()},
    )


def _half_widths(missed: Doses, kinds: NDArray[np.int64]) -> tuple[Doses, Doses]:
    """By structure (2, structures, m) and pooled by kind (2, 2, m) from misses (n, structures, m).

    An entry that no structure of its kind has stays NaN.
    """
    pooled = np.full((len(NOMINAL), 2, missed.shape[2]), np.nan)
    own = np.full((len(NOMINAL), *missed.shape[1:]), np.nan)
    few = (~np.isnan(missed[:, :, 0])).sum(axis=0) < FEWEST
    for at, nominal in enumerate(NOMINAL):
        for kind in (ORGAN, TARGET):
            alike = missed[:, kinds == kind].reshape(-1, 1, missed.shape[2])
            if (~np.isnan(alike[:, 0, 0])).any():
                pooled[at, kind] = conformal_factor(alike, nominal)[0]
        own[at] = np.where(few[:, None], pooled[at][kinds], conformal_factor(missed, nominal))
    return own, pooled


def _voxel_half_widths(misses: Sequence[Misses], nominal: float) -> Doses:
    """(*CLASSES): the miss that `nominal` of a class's voxels do not exceed, cases alike.

    A class that no case has takes that of its row with most cells, a row without any 0.
    """
    cells = np.array([one.cells for one in misses], dtype=np.float64)
    weight = cells / np.maximum(1.0, cells.sum(axis=(1, 2), keepdims=True))
    found = np.full(CLASSES, np.nan)
    for place in np.ndindex(*CLASSES):
        own = weight[:, *place]
        if own.any():
            values = np.array([one.quantiles[place] for one in misses])
            found[place] = _weighted_quantile(values, own, nominal)
    for row, filled in enumerate(found):
        if np.isnan(filled).all():
            found[row] = 0.0
        else:
            found[row, np.isnan(filled)] = filled[int(weight.sum(axis=0)[row].argmax())]
    return found


def _weighted_quantile(values: Doses, weights: Doses, share: float) -> float:
    """Of values (n, m), those of a row weighing `weights` (n,) together."""
    flat, each = values.ravel(), np.repeat(weights / values.shape[1], values.shape[1])
    order = np.argsort(flat, kind="stable")
    at = np.searchsorted(np.cumsum(each[order]), share * each.sum())
    return float(flat[order[min(int(at), len(flat) - 1)]])
