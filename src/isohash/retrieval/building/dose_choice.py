"""The dose model that a new archive gets: learned from its own plans, else the shipped one.

The shipped one is taken where most of the patients have organs like those of the plans behind it.

Plans are read one after the other; of each a sample of voxels is kept, so memory does not grow with
the number of voxels. The features of every plan lie in a working folder until it is indexed, for
the prediction that leaves it out.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isohash.errors import InputError
from isohash.features.cases.anatomy import Anatomy, anatomy_of
from isohash.features.cases.voxels import Voxels, VoxelSettings, voxels_of
from isohash.features.encoders.dose_fitting import (
    CELLS,
    FEW_PLANS,
    MANY_CELLS,
    Sample,
    fit_dose_models,
    sample_of,
)
from isohash.features.encoders.dose_model import DoseModels
from isohash.features.encoders.scope import FEWEST
from isohash.features.encoders.shipped import shipped_dose_model
from isohash.features.kinds import Kind
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.retrieval.building.plans_seen import PlansSeen
from isohash.retrieval.building.sampling import item_of
from isohash.retrieval.dose_view import MODEL, OWN, dose_files
from isohash.retrieval.foreseen import planned_on
from isohash.sources.found import Found
from isohash.whole_files import private_folder

MEASURED_AS = 2  # another number where features of the same names are measured otherwise
MOST_PLANS = 300  # more teach little more and take their time
# Where an archive has too few plans, so many of its cases are looked at, and more than this share
# of them must be known to the shipped model.
LOOKED_AT, FITTING = 12, 0.5


@dataclass(frozen=True, eq=False)
class DoseChoice:
    """The models, or None; `about` says for the recipe which, how well they fit, or why none."""

    models: DoseModels | None
    about: dict[str, Any]

    @property
    def files(self) -> dict[str, bytes]:
        """The models as named blobs for an archive."""
        return {} if self.models is None else dose_files(self.models)

    @property
    def digests(self) -> dict[str, str]:
        """By which a file that is lost is known to be the shipped one."""
        return {} if self.models is None else {MODEL: self.models.model.digest}


def choose_dose_model(
    kind: Kind,
    found: Sequence[Found],
    plans: PlansSeen,
    features: FeatureFolder,
    seed: int,
    progress: Progress | None,
) -> DoseChoice:
    """What the plans found teach, where they are enough; else what the shipped model knows."""
    settings = plans.settings()
    if settings is None:
        return _shipped(kind, found, len(plans.levels))
    samples = list(_samples(kind, found, settings, features, seed, progress))
    if len({sample.patient for sample in samples}) < FEWEST:
        return _shipped(kind, found, len(samples))
    models = fit_dose_models(samples, settings, name=OWN, progress=progress)
    about = {"model": models.model.name, "plans": len(samples), "left_out": len(models.left_out)}
    return DoseChoice(models, about)


def _shipped(kind: Kind, found: Sequence[Found], plans: int) -> DoseChoice:
    """The shipped model if it knows the anatomy of most patients looked at, else none."""
    model = shipped_dose_model()
    fits = [model.scope.refusal(anatomy) is None for anatomy in _anatomies(kind, found)]
    if sum(fits) <= FITTING * len(fits):
        return DoseChoice(None, {"missing": _why_none(plans)})
    return DoseChoice(DoseModels(model), {"model": model.name, "plans": model.about["plans"]})


def _anatomies(kind: Kind, found: Sequence[Found]) -> Iterator[Anatomy]:
    """Of up to `LOOKED_AT` cases; those without one say so when they are indexed."""
    for one in found[:LOOKED_AT]:
        with suppress(InputError):
            yield anatomy_of(item_of(one, kind))


def _samples(
    kind: Kind,
    found: Sequence[Found],
    settings: VoxelSettings,
    features: FeatureFolder,
    seed: int,
    progress: Progress | None,
) -> Iterator[Sample]:
    """Of up to `MOST_PLANS` plans, drawn by the seed."""
    cells = CELLS if len(found) >= FEW_PLANS else MANY_CELLS
    chosen = np.random.default_rng([seed, 3]).permutation(len(found))[:MOST_PLANS]
    for done, at in enumerate(np.sort(chosen).tolist()):
        tell(progress, done, len(chosen), f"measuring doses of {found[at].key}")
        try:
            case = item_of(found[at], kind)
            if case.dose is None or case.ct is None or not case.structures:
                continue
            voxels = features.of(found[at], case, settings)
            gy = planned_on(voxels.anatomy, case.dose)[voxels.cells]
            yield sample_of(voxels, gy, settings, case.patient, cells, seed)
        except InputError:
            continue  # said when the case itself is indexed


@dataclass(frozen=True)
class FeatureFolder:
    """Features of cases on disk, made when first asked for; a run that was killed finds them."""

    path: Path

    def of(self, found: Found, case: Case, settings: VoxelSettings) -> Voxels:
        """The features of a case; InputError where it has no anatomy."""
        anatomy = anatomy_of(case)
        named = json.dumps([MEASURED_AS, found.key, found.fingerprint, asdict(settings)])
        path = self.path / f"{hashlib.sha256(named.encode()).hexdigest()[:32]}.npy"
        with suppress(OSError, ValueError, EOFError):  # not there, or written by halves
            values = np.load(path, allow_pickle=False)
            return Voxels(anatomy, np.nonzero(anatomy.reached), values)
        voxels = voxels_of(anatomy, settings)
        private_folder(self.path)
        np.save(path, voxels.values, allow_pickle=False)
        return voxels

    def clear(self) -> None:
        """Remove what was kept."""
        shutil.rmtree(self.path, ignore_errors=True)


def _why_none(n: int) -> str:
    return (
        f"{n} cases have CT, dose and a target whose dose is known; a dose model needs {FEWEST} "
        "that share an organ"
    )
