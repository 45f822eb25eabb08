"""Fitting the models of a new archive to a sample of its cases, and a dose model to their plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.recipe import IndexSettings
from isohash.errors import InputError
from isohash.features.cases.measures import common_structures
from isohash.features.encoders.encoders import Encoder
from isohash.features.encoders.plan import PlanEncoder
from isohash.features.encoders.shipped import DOSE, shipped_dose_calibration
from isohash.features.kinds import Kind
from isohash.features.known import KINDS, has_own_encoder, own_encoder
from isohash.progress import Progress, tell
from isohash.retrieval.building.dose_choice import DoseChoice, FeatureFolder, choose_dose_model
from isohash.retrieval.building.encoder_choice import choose, named_encoders, slices_for
from isohash.retrieval.building.fitting import fit_encoder, fit_model, hash_for, told_apart
from isohash.retrieval.building.plan_fitting import PlanChoice, choose_plan_encoder
from isohash.retrieval.building.sampling import (
    HeldOut,
    Reading,
    Shares,
    SliceSample,
    held_out_embeddings,
    sample_slices,
)
from isohash.retrieval.pipeline import Pipeline, as_stored
from isohash.retrieval.settings import versions
from isohash.sources.found import Findings, Found


@dataclass(frozen=True, eq=False)
class Fitted:
    """The models of a new archive, and the recipe that says how they were made."""

    pipeline: Pipeline
    dose: DoseChoice
    recipe: dict[str, Any]


def fit(
    findings: Findings,
    settings: IndexSettings,
    archive: str | Path,
    features: FeatureFolder,
    progress: Progress | None,
) -> Fitted:
    """Fit encoders and hashes on a sample of the cases found, and a dose model on their plans."""
    kind = KINDS[findings.holds]
    named = named_encoders(settings.encoder, tuple(kind.labels))
    settings = replace(settings, slices=slices_for(named, settings.slices))
    found = findings.found
    order = np.random.default_rng(settings.seed).permutation(len(found))
    reading = Reading(kind, found, order, settings.slices)
    shares = Shares.of(len(found), settings, kind.single)
    sample = sample_slices(reading, shares.fitted, settings, progress)
    if not sample:
        first = reading.reasons[0]
        raise InputError(f"none of the {len(found)} {kind.name} found can be used; first: {first}")
    encoders, notes = _encoders(kind, sample, named, settings, archive, progress)
    fitted = {v: as_stored(encoders[v].encode(images.images)) for v, images in sample.items()}
    seen = {str(name) for images in sample.values() for name in images.patient}
    del sample  # hundreds of megabytes
    held_out = held_out_embeddings(reading, shares.held_out, seen, encoders, settings, progress)
    plan = choose_plan_encoder(reading.measured)
    dose = _dose_model(kind, found, reading, plan, features, settings, progress)
    notes += _tell_apart(fitted, held_out, settings.seed)
    settings = hash_for(settings, min(len(rows) for rows in fitted.values()))
    models = {
        view: fit_model(rows, held_out[view].rows, settings, held_out[view].patient)
        for view, rows in fitted.items()
    }
    kept: dict[str, Encoder | PlanEncoder] = dict(encoders)
    if plan.encoder is not None:
        kept["plan"] = plan.encoder
    recipe = {
        "kind": kind.name,
        "settings": settings.to_json(),
        "slices": settings.slices.to_json(),
        "near": {view: model.near for view, model in models.items()},
        "encoders": {view: encoder.name for view, encoder in encoders.items()},
        "notes": notes,
        "digests": {f"encoder-{name}": one.digest for name, one in kept.items()} | dose.digests,
        "plan": plan.about,
        "dose": dose.about,
        "fitted_on": {view: len(rows) for view, rows in fitted.items()},
        "calibrated_on": {view: model.calibration.source for view, model in models.items()},
        "versions": versions(),
    }
    pipeline = Pipeline(kind, settings.slices, encoders, models, plan=plan.encoder)
    return Fitted(pipeline, dose, recipe)


def _tell_apart(
    fitted: dict[str, NDArray[np.float32]], held_out: dict[str, HeldOut], seed: int
) -> list[str]:
    """Make the rows of each view differ where they are all alike; notes that say so."""
    notes = []
    for view, rows in fitted.items():
        fitted[view], alike = told_apart(rows, seed)
        if alike:
            held_out[view] = held_out[view].nothing
            notes.append(
                f"all {view} slices are alike (a uniform phantom?), so the codes are tuned to no "
                "patient: begin an archive of patients anew"
            )
    return notes


def _dose_model(
    kind: Kind,
    found: Sequence[Found],
    reading: Reading,
    plan: PlanChoice,
    features: FeatureFolder,
    settings: IndexSettings,
    progress: Progress | None,
) -> DoseChoice:
    """The dose model, with the structures whose histograms it foretells."""
    if not settings.dose_model or not reading.measured:
        return DoseChoice(None, {})
    choice = choose_dose_model(kind, found, reading.plans, features, settings.seed, progress)
    layout = plan.encoder.settings if plan.encoder else common_structures(reading.measured)
    if choice.about.get("model") == DOSE:  # its bands are those of its own structures
        layout = shipped_dose_calibration().settings
    return DoseChoice(choice.models, {**choice.about, "layout": layout.to_json()})


def _encoders(
    kind: Kind,
    sample: Mapping[str, SliceSample],
    named: Mapping[str, Encoder],
    settings: IndexSettings,
    archive: str | Path,
    progress: Progress | None,
) -> tuple[dict[str, Encoder], list[str]]:
    """The encoder of each view, and what is to be said of the choice."""
    encoders, notes, folder = {}, [], beside(archive, "training")
    for view, (images, patient) in ((v, (s.images, s.patient)) for v, s in sample.items()):
        what = kind.name if kind.single else f"{view} slices"
        tell(progress, 0, 1, f"fitting {settings.encoder} to {len(images)} {what}")
        if has_own_encoder(view):
            _check_own(kind, settings.encoder)
            encoders[view] = own_encoder(images, settings.seed)
            continue
        choice = choose(view, named, settings, images, patient)
        encoders[view] = choice.encoder or fit_encoder(
            view, images, patient, settings, folder, progress
        )
        notes += [choice.note] if choice.note else []
    return encoders, notes


def _check_own(kind: Kind, encoder: str) -> None:
    """Refuse encoders of slices for items that are described by other numbers."""
    if encoder != "auto":
        raise InputError(
            f"--encoder {encoder} is of slices; an archive of {kind.name} has an encoder of its "
            "own, which auto fits"
        )


def beside(archive: str | Path, work: str) -> Path:
    """A folder of a run's intermediate results."""
    path = Path(archive)
    return path.with_name(f".{path.name}.{work}")
