"""The patients of the planning study: what was foretold of each, by a model that had not seen it.

Those of the archive are read from it; those of a held-out set are asked like new patients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.names import structures_by_name
from isohash.dosimetry.plan_scores import dose_score, dvh_misses
from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.records import Case, Volume
from isohash.retrieval.dose_arrays import OWN, OWN_PLANNED, KeptDose
from isohash.retrieval.foreseen import Foreseen, foresee
from isohash.retrieval.items import Items
from isohash.sources.found import Found
from isohash.sources.reading import find

Doses = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Patient:
    """One patient with a plan: `kept` is what an archive keeps of it, its prediction left out.

    `fresh` is there of patients of a held-out set, with where its dose is scored, (z, y, x).
    """

    id: str
    patient: str
    kept: KeptDose
    fresh: Foreseen | None = None
    scored: NDArray[np.bool_] | None = None

    @property
    def structures(self) -> tuple[str, ...]:
        """By canonical name."""
        return self.kept.structures

    @cached_property
    def histograms(self) -> tuple[Doses, Doses]:
        """Predicted and planned, (m, volumes) in Gy."""
        return self._rows(0)

    @cached_property
    def metrics(self) -> tuple[Doses, Doses]:
        """Predicted and planned objectives, (m, 3) in Gy."""
        return self._rows(1)

    def _rows(self, which: int) -> tuple[Doses, Doses]:
        told, true = self.kept.own(), self.kept.own(planned=True)
        assert told is not None  # as `is_told` has made sure
        assert true is not None
        return told[which], true[which]

    @cached_property
    def dose_score(self) -> float:
        """Of the prediction, where dose is possible; in the archive, where a dose is recorded."""
        if self.fresh is not None:
            return self.score_on_ct(self.fresh.on_ct)
        told, true = self.kept.predicted, self.kept.planned
        assert told is not None
        assert true is not None
        dosed = true.array > 0
        return dose_score(told.array[dosed], true.array[dosed])

    def score_on_ct(self, dose: Volume) -> float:
        """Of a dose on the grid of the CT, where dose is possible; held-out patients only."""
        assert self.fresh is not None
        planned, scored = self.fresh.case.dose, self.scored
        assert planned is not None
        assert scored is not None
        return dose_score(dose.array[scored], planned.array[scored])

    @cached_property
    def dvh_misses(self) -> Doses:
        """|predicted - planned| of all objectives, as the challenge pools them."""
        told, true = self.metrics
        missed = np.abs(told - true).ravel()
        return missed[~np.isnan(missed)]

    def misses_of(self, dose: Volume) -> Doses:
        """The same of another dose on the grid of the CT, of a patient of a held-out set."""
        assert self.fresh is not None
        case = self.fresh.case
        assert case.dose is not None
        masks = {n: m.array for n, m in structures_by_name(case).items() if n in self.structures}
        planned = case.dose.array
        laid = {name: dose.array[mask] for name, mask in masks.items()}
        true = {name: planned[mask] for name, mask in masks.items()}
        return dvh_misses(laid, true, case.dose.voxel_cc)


def stored_patients(items: Items) -> list[Patient]:
    """All cases of an archive of which a dose was foretold, and which have a plan."""
    wanted = {OWN, OWN_PLANNED}
    ids = [name for name in items.ids if wanted <= set(items.store.array_names(name))]
    return [
        Patient(name, items.store.metadata(name)["patient"], KeptDose(items.store.arrays(name)))
        for name in ids
    ]


def new_patients(
    items: Items, source: str | Path, progress: Progress | None
) -> tuple[list[Patient], list[str]]:
    """The patients below a path, asked as new ones; and why others cannot take part."""
    patients, skipped = [], []
    found = find(source).found
    for done, one in enumerate(found):
        tell(progress, done, len(found), f"foretelling the dose of {one.key}")
        try:
            patients.append(_new(items, one))
        except InputError as error:
            skipped.append(str(error))
    if len(patients) < 2:
        raise InputError(f"{source}: fewer than 2 cases have CT, dose and structures as known here")
    return patients, skipped


def _new(items: Items, found: Found) -> Patient:
    view, layout = items.pipeline.dose, items.pipeline.dose_layout
    if view is None or layout is None or view.why_not:
        raise InputError("the archive has no dose model")
    case = found.read()
    if not isinstance(case, Case) or case.dose is None:
        raise InputError(f"{found.key} has no dose")
    foreseen = foresee(case, view.model)
    if foreseen.dose is None:
        raise InputError(f"{found.key}: {foreseen.why_not}")
    scored = case.dose.array > 0 if case.possible is None else case.possible.array
    kept = KeptDose(foreseen.stored(layout))
    return Patient(found.key, case.patient, kept, foreseen, scored)


def by_name(patient: Patient) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Of each structure its histograms and objectives, predicted and planned."""
    for at, name in enumerate(patient.structures):
        histograms, metrics = patient.histograms, patient.metrics
        yield (
            name,
            {
                "histogram": (histograms[0][at], histograms[1][at]),
                "metrics": (metrics[0][at], metrics[1][at]),
            },
        )
