"""What is kept of each case's predicted dose, and the bands that all of them together calibrate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.features.encoders.dose_calibration import (
    FEWEST_CASES,
    DoseCalibration,
    Misses,
    calibrate,
)
from isohash.features.encoders.shipped import DOSE, shipped_dose_calibration
from isohash.features.encoders.spread import spread_of
from isohash.records import Case
from isohash.retrieval.building.dose_choice import FeatureFolder
from isohash.retrieval.dose_arrays import (
    ABOUT,
    CELLS,
    HISTOGRAMS,
    METRICS,
    MISSED,
    PLANNED,
    Arrays,
    KeptDose,
    as_json,
)
from isohash.retrieval.dose_cubes import POINT_MM, Asked, apart_gy
from isohash.retrieval.dose_view import CALIBRATION, OWN, DoseView
from isohash.retrieval.foreseen import foresee
from isohash.retrieval.pipeline import Pipeline
from isohash.retrieval.ways.doses import EXPECTED, DoseColumn
from isohash.sources.found import Found

SPREAD_CASES, NEAR = 40, 40  # cases, and each one's nearest, by which intervals of maps are learned


def dose_to_keep(found: Found, item: Any, pipeline: Pipeline, features: FeatureFolder) -> Arrays:
    """The dose that a case to be stored would get if it were new; empty where none can be told."""
    view, layout = pipeline.dose, pipeline.dose_layout
    if view is None or layout is None or not isinstance(item, Case):
        return {}
    try:
        if view.why_not:
            return foresee(item, None, view.why_not).stored(layout)
        model = view.for_patient(item.patient)
        voxels = features.of(found, item, model.voxels)
        return foresee(item, model, voxels=voxels).stored(layout)
    except InputError as error:  # no anatomy
        return {ABOUT: as_json({"why_not": str(error)})}


def recalibrate(store: CaseStore, view: DoseView) -> None:
    """Keep how far the left-out predictions of all stored plans lie from these.

    Where they are too few, a shipped model keeps the bands that came with it.
    """
    layout = view.layout
    if layout is None:
        return
    misses = all_misses(store) if PLANNED in store.info()["arrays"] else []
    if len(misses) >= FEWEST_CASES:
        _keep(store, calibrate(layout, misses), _map_spread(store))
    elif view.about.get("model") == DOSE:
        _keep(store, shipped_dose_calibration(), None)


def _keep(
    store: CaseStore, calibration: DoseCalibration, map_spread: list[list[float]] | None
) -> None:
    store.put_file(CALIBRATION, calibration.to_bytes())
    recipe = Recipe(store.recipe)
    about = {"calibrated_on": calibration.about["cases"], EXPECTED: map_spread}
    store.set_recipe(recipe.changed(dose={**recipe.dose, **about}).json)


def all_misses(store: CaseStore) -> list[Misses]:
    """What the left-out prediction of each stored plan missed."""
    planned, metrics = store.gather(PLANNED), store.gather(METRICS).array
    missed, cells = store.gather(MISSED).array, store.gather(CELLS).array
    told = store.gather(HISTOGRAMS)
    at = np.searchsorted(told.case, planned.case)  # every plan that is missed was foretold
    columns = (told.array[at], planned.array, metrics[:, 0], metrics[:, 1], missed)
    doses = [np.asarray(column, dtype=np.float64) for column in columns]
    return [Misses(*one) for one in zip(*doses, np.asarray(cells, np.int64), strict=True)]


def _map_spread(store: CaseStore) -> list[list[float]] | None:
    """How true distances of doses spread where predicted ones lie, among past cases, by cubes."""
    column = DoseColumn.of(store)
    if column is None:
        return None
    ids, rng = store.ids(), np.random.default_rng(0)
    names = [ids[at] for at in column.case.tolist()]
    patients = np.array([store.metadata(name)["patient"] for name in names])
    some = rng.permutation(len(names))[:SPREAD_CASES]
    told, true = (np.full((len(some), len(names)), np.nan) for _ in range(2))
    for row, own in enumerate(some.tolist()):
        others = np.flatnonzero(patients != patients[own])
        kept = KeptDose(store.arrays(names[own]))
        foretold, planned = kept.predicted, kept.planned
        if foretold is None:
            continue
        asked = Asked.of(kept, foretold, POINT_MM)
        known = None if planned is None else Asked.of(kept, planned, POINT_MM).gy
        for at, laid in zip(others.tolist(), column.laid(asked, others), strict=True):
            told[row, at] = apart_gy(asked.gy, laid)
            if known is not None:
                true[row, at] = apart_gy(known, laid)
    beyond = np.argsort(np.argsort(np.where(np.isnan(told), np.inf, told), axis=1), axis=1) >= NEAR
    told[beyond] = np.nan  # an answer shows the nearest: by them its intervals are learned
    return spread_of(told, true).tolist() if len(names) >= FEWEST_CASES else None


def dose_notes(about: Mapping[str, Any]) -> tuple[str, ...]:
    """From what doses are foretold, or why not; nothing if nobody asked."""
    if "model" in about:
        learned = f"{about['plans']} plans" if about["model"] == OWN else "the plans of OpenKBP"
        return (f"doses of new patients are foretold (isohash propose), as learned from {learned}",)
    return (f"doses are not foretold: {about['missing']}",) if about else ()
