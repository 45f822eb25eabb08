"""The dose model: what dose an anatomy gets, cell by cell, as past plans teach it.

Boosted trees foretell the dose of every cell from its features (`cases.voxels`), as a share of the
prescription. Afterwards the dose outside the targets is smoothed, and the hottest part of each
target is corrected by what left-out predictions missed there: a mean of many plans has no hot
spots, a plan has.

The model knows what it was fitted to (`Scope`): it refuses anatomies of which it has seen nothing
alike, and says where others reach beyond what it has seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.anatomy import Anatomy, Field
from isohash.features.cases.beams import BeamSettings
from isohash.features.cases.crude_plan import PlanningGoals
from isohash.features.cases.voxels import Voxels, VoxelSettings, voxels_of
from isohash.features.encoders.encoder_file import EncoderHeader, KeptEncoder, Tensors
from isohash.features.encoders.scope import Scope
from isohash.features.encoders.trees import BoostedTrees
from isohash.records import Volume

SMOOTHING_MM = 2.2  # standard deviation of the smoothing outside the targets
# Shares of a target, in percent from the hottest, at which the correction is learned.
HOT_PERCENT = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 35.0, 50.0)
FEWEST_HOT = 30  # cells of a target below which it has no hottest part to speak of


@dataclass(frozen=True, eq=False)
class PredictedDose:
    """Gy on an anatomy's grid, 0 where no dose is foreseen."""

    anatomy: Anatomy
    gy: Field  # (z, y, x)

    @property
    def volume(self) -> Volume:
        """The dose with its place in the patient."""
        return Volume(self.gy, self.anatomy.affine)


@dataclass(frozen=True, eq=False)
class DoseModel(KeptEncoder):
    """`hot` (levels, len(HOT_PERCENT)) is added at the hottest shares of each dose level.

    All doses inside are shares of the highest prescription.
    """

    KIND: ClassVar = "dose model"

    name: str
    voxels: VoxelSettings
    trees: BoostedTrees
    hot: NDArray[np.float64]
    scope: Scope
    about: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, anatomy: Anatomy) -> PredictedDose:
        """The dose that this anatomy would get."""
        return self.predict_voxels(voxels_of(anatomy, self.voxels))

    def predict_voxels(self, voxels: Voxels) -> PredictedDose:
        """The same of features that are there already."""
        share = np.maximum(self.trees.predict(voxels.values), np.float32(0.0))
        share = smoothed_outside(share, voxels)
        share = share + self._hot_spots(share, voxels)
        gy = voxels.filled(share * np.float32(voxels.anatomy.prescription_gy))
        return PredictedDose(voxels.anatomy, gy)

    def _hot_spots(self, share: Field, voxels: Voxels) -> Field:
        more = np.zeros_like(share)
        for level, rows in level_rows(voxels, self.voxels.levels).items():
            if len(rows) >= FEWEST_HOT:
                percent = _hotter(share[rows])
                more[rows] = np.interp(percent, HOT_PERCENT, self.hot[level], right=0.0)
        return more

    @property
    def _header(self) -> EncoderHeader:
        settings = {**self.about, "voxels": _plain(self.voxels), "scope": list(self.scope.names)}
        return EncoderHeader(self.KIND, self.name, self.trees.n_features, 0, settings)

    @property
    def _tensors(self) -> dict[str, NDArray[Any]]:
        return {**self.trees.arrays, **self.scope.arrays, "hot": self.hot}

    @classmethod
    def of(cls, header: EncoderHeader, tensors: Tensors) -> Self:
        """The model with this header and these tensors."""
        about = dict(header.settings)
        voxels = _settings(about.pop("voxels"))
        scope = Scope.of(about.pop("scope"), tensors)
        return cls(header.name, voxels, BoostedTrees.of(tensors), tensors["hot"], scope, about)


@dataclass(frozen=True, eq=False)
class DoseModels:
    """The model of all plans; `left_out[fold[patient]]` has not seen those of that patient."""

    model: DoseModel
    left_out: tuple[DoseModel, ...] = ()
    fold: Mapping[str, int] = field(default_factory=dict)

    def for_patient(self, patient: str) -> DoseModel:
        """The model that answers for a patient as if they were new."""
        return self.left_out[self.fold[patient]] if patient in self.fold else self.model


def smoothed_outside(share: Field, voxels: Voxels) -> Field:
    """Doses (n,), outside the targets the Gaussian mean of the cells around."""
    from scipy import ndimage

    sigma = [SMOOTHING_MM / mm for mm in voxels.anatomy.spacing_mm]
    doses = ndimage.gaussian_filter(voxels.filled(share), sigma)[voxels.cells]
    near = ndimage.gaussian_filter(voxels.filled(np.ones_like(share)), sigma)[voxels.cells]
    inside = voxels.anatomy.target[voxels.cells]
    return np.where(inside, share, doses / np.maximum(near, np.float32(1e-3)))


def level_rows(voxels: Voxels, levels: tuple[float, ...]) -> dict[int, NDArray[np.int64]]:
    """The rows of the cells of each level, by its position; a cell counts for its highest dose."""
    own = voxels.anatomy.prescribed[voxels.cells] / np.float32(voxels.anatomy.prescription_gy)
    nearest = np.abs(own[:, None] - np.array(levels)).argmin(axis=1)
    nearest[own == 0] = -1
    return {at: np.flatnonzero(nearest == at) for at in range(len(levels))}


def _hotter(share: Field) -> NDArray[np.float64]:
    """How many percent of the cells (n,) are hotter than each."""
    hotter = np.empty(len(share))
    hotter[np.argsort(-share, kind="stable")] = np.arange(len(share)) + 0.5
    return 100.0 * hotter / len(share)


def _plain(settings: VoxelSettings) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return plain


def _settings(plain: Mapping[str, Any]) -> VoxelSettings:
    beams = {**plain["beams"], "angles": tuple(plain["beams"]["angles"])}
    return VoxelSettings(
        tuple(plain["levels"]),
        tuple(plain["organs"]),
        BeamSettings(**beams),
        PlanningGoals(**plain["goals"]),
    )
