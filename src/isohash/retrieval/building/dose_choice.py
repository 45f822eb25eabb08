"""The dose model that a new archive gets: learned from its own plans, else the shipped one.

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
from isohash.features.cases.anatomy import anatomy_of
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
from isohash.features.kinds import Kind
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.retrieval.building.plans_seen import PlansSeen
from isohash.retrieval.building.sampling import item_of
from isohash.retrieval.dose_view import dose_files
from isohash.retrieval.foreseen import planned_on
from isohash.sources.found import Found
from isohash.whole_files import private_folder

MOST_PLANS = 300  # more teach little more and take their time


@dataclass(frozen=True, eq=False)
class DoseChoice:
    """The models, or None; `about` says for the recipe which, how well they fit, or why none."""

    models: DoseModels | None
    about: dict[str, Any]

    @property
    def files(self) -> dict[str, bytes]:
        """The models as named blobs for an archive."""
        return {} if self.models is None else dose_files(self.models)


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
        return DoseChoice(None, {"missing": _why_none(len(plans.levels))})
    samples = list(_samples(kind, found, settings, features, seed, progress))
    if len({sample.patient for sample in samples}) < FEWEST:
        return DoseChoice(None, {"missing": _why_none(len(samples))})
    models = fit_dose_models(samples, settings, progress=progress)
    about = {"model": models.model.name, "plans": len(samples), "left_out": len(models.left_out)}
    return DoseChoice(models, about)


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
        named = json.dumps([found.key, found.fingerprint, asdict(settings)])
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
