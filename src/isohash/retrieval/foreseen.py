"""The dose that a case's anatomy would get, and what is kept of it.

The case's own dose is looked at only where it is the plan that a prediction is measured against:
in what is named `planned`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dose import PlacedDose
from isohash.dosimetry.names import structures_by_name
from isohash.dosimetry.objectives import MOST_METRICS, doses_of
from isohash.dosimetry.resample import resample
from isohash.dosimetry.structures import cropped
from isohash.features.cases.anatomy import Anatomy, Field, anatomy_of
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.features.cases.measures import own_structures
from isohash.features.cases.voxels import Voxels, voxels_of
from isohash.features.encoders.dose_calibration import Misses, voxel_misses, voxel_places
from isohash.features.encoders.dose_model import DoseModel, PredictedDose
from isohash.records import Case, Volume
from isohash.retrieval import dose_arrays as kept
from isohash.retrieval.dose_arrays import Arrays
from isohash.retrieval.dose_cubes import cube_of

Doses = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Foreseen:
    """A case with its anatomy and, where a model tells it, the dose that this would get.

    `unlike` says where the anatomy reaches beyond what the model has seen, `why_not` why no dose
    is told.
    """

    case: Case
    anatomy: Anatomy
    dose: PredictedDose | None = None
    unlike: tuple[str, ...] = ()
    why_not: str | None = None

    @cached_property
    def own(self) -> GeometrySettings:
        """The structures of the case that have a canonical name."""
        return own_structures(self.case)

    @property
    def on_ct(self) -> Volume:
        """The predicted dose on the grid of the case's CT, 0 where none is foretold."""
        assert self.case.ct is not None  # there would be no anatomy
        assert self.dose is not None
        z, y, x = self.case.ct.array.shape
        return PlacedDose([self.dose.volume], self.case.ct.affine, (z, y, x))

    @property
    def planned(self) -> Doses:
        """Histograms and objectives (m, volumes + 3) in Gy of the case's own dose."""
        assert self.case.dose is not None  # as who asks has made sure
        return self._doses_of(self.case.dose)

    def asked(self, layout: GeometrySettings) -> Arrays:
        """What is kept of a query: nothing of its own dose."""
        assert self.case.ct is not None
        about: dict[str, Any] = {
            "structures": list(self.own.structures),
            "prescription_gy": self.anatomy.prescription_gy,
            "unlike": list(self.unlike),
            **({"why_not": self.why_not} if self.why_not else {}),
        }
        arrays: Arrays = {
            kept.ABOUT: kept.as_json(about),
            kept.GRID: kept.grid_array(self.anatomy.affine, self.anatomy.body.shape),
            kept.CT_GRID: kept.grid_array(self.case.ct.affine, self.case.ct.array.shape),
            kept.CENTRES: self._centres(),
            kept.PLACES: kept.deflated(voxel_places(self.anatomy)),
        }
        if self.dose is None:
            return arrays
        doses = self._doses_of(self.on_ct)
        return {
            **arrays,
            kept.BYTES: kept.packed(self.dose.gy),
            kept.OWN: doses.astype(np.float16),
            kept.HISTOGRAMS: self._laid_out(doses, layout)[None, :, :-MOST_METRICS].astype("f2"),
        }

    def stored(self, layout: GeometrySettings) -> Arrays:
        """What is kept of a case in an archive: also its plan, and what the prediction missed."""
        arrays = self.asked(layout)
        if self.case.dose is None:
            return arrays
        gy = planned_on(self.anatomy, self.case.dose)
        planned = self.planned
        arrays[kept.CUBE] = cube_of(Volume(gy, self.anatomy.affine), arrays[kept.CENTRES][-1])
        arrays |= {kept.PLAN_BYTES: kept.packed(gy), kept.OWN_PLANNED: planned.astype(np.float16)}
        if self.dose is None:
            return arrays
        told = self._laid_out(np.asarray(arrays[kept.OWN], np.float64), layout)
        true = self._laid_out(planned, layout)
        quantiles, cells = voxel_misses(self.anatomy, self.dose.gy, gy)
        split = -MOST_METRICS
        missed = Misses(
            told[:, :split], true[:, :split], told[:, split:], true[:, split:], quantiles, cells
        )
        return {**arrays, **kept.kept_misses(missed)}

    def _doses_of(self, dose: Volume) -> Doses:
        """Histograms and objectives (m, volumes + 3) in Gy of a dose in all own structures."""
        own, found = self.own, structures_by_name(self.case)
        rows = [doses_of(dose, found[name], name, own.dose_volumes) for name in own.structures]
        return np.reshape(rows, (-1, len(own.dose_volumes) + MOST_METRICS))

    def _laid_out(self, doses: Doses, layout: GeometrySettings) -> Doses:
        """Rows of the own structures as those of the layout, NaN where one is absent."""
        row = {name: doses[at] for at, name in enumerate(self.own.structures)}
        nothing = np.full(doses.shape[1], np.nan)
        return np.array([row.get(name, nothing) for name in layout.structures])

    def _centres(self) -> Doses:
        """Mm (m + 1, 3): of each own structure, and of all targets."""
        found = structures_by_name(self.case)
        target = Volume(self.anatomy.target, self.anatomy.affine)
        masks = (*(found[name] for name in self.own.structures), target)
        return np.array([_centre(mask) for mask in masks])


def foresee(
    case: Case, model: DoseModel | None, why_not: str | None = None,
    prescription_gy: float | None = None, voxels: Voxels | None = None,
) -> Foreseen:  # fmt: skip
    """The dose that a case would get, or why none can be told.

    `why_not` says why there is no model; `voxels` are features that are there already. InputError
    where the case has no anatomy.
    """
    anatomy = voxels.anatomy if voxels is not None else anatomy_of(case, prescription_gy)
    if model is None:
        return Foreseen(case, anatomy, why_not=why_not)
    if why := model.scope.refusal(anatomy):
        return Foreseen(case, anatomy, why_not=why)
    dose = model.predict_voxels(voxels or voxels_of(anatomy, model.voxels))
    return Foreseen(case, anatomy, dose, model.scope.unlike(anatomy))


def planned_on(anatomy: Anatomy, dose: Volume) -> Field:
    """A planned dose in Gy on an anatomy's grid, 0 where none is recorded."""
    z, y, x = anatomy.body.shape
    if isinstance(dose, PlacedDose):  # from its own grids, not from what the CT's makes of them
        return PlacedDose(dose.parts, anatomy.affine, (z, y, x)).array
    return resample(dose, anatomy.affine, (z, y, x))


def _centre(mask: Volume) -> NDArray[np.float64]:
    """Mm of the middle of a mask's voxels, unpacked within its box only."""
    first, inside = cropped(mask)
    index = [
        np.average(
            np.arange(n), weights=inside.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.float64)
        )
        for axis, n in enumerate(inside.shape)
    ]
    return mask.affine[:3, :3] @ (first + index) + mask.affine[:3, 3]
