"""Making a `Proposal`: by the archive's dose model, else from the nearest plans laid rigidly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dose import PlacedDose
from isohash.dosimetry.objectives import metric_names
from isohash.errors import InputError
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.features.encoders.dose_calibration import DoseCalibration
from isohash.records import Volume
from isohash.retrieval.contents import NOT_MEASURED
from isohash.retrieval.dose_arrays import CT_GRID, KeptDose
from isohash.retrieval.dose_view import MADE_BEFORE, DoseView
from isohash.retrieval.entry import Entry
from isohash.retrieval.items import Items
from isohash.retrieval.planning.past import Neighbour, best_of, nearest_plans, strange
from isohash.retrieval.planning.proposal import Band, Objective, Proposal
from isohash.retrieval.planning.transfer import Transfer, transfer

LEANS_ON = 5  # of the nearest plans are shown

Doses = NDArray[np.float64]


def propose(items: Items, query: Entry) -> Proposal:
    """The dose that a case would get; InputError says why none can be told."""
    view, kept = items.pipeline.dose, KeptDose(query.arrays)
    if view is None or view.layout is None:
        why = (view and view.about.get("missing")) or MADE_BEFORE
        raise InputError(f"this archive proposes no dose: {why}")
    if CT_GRID not in kept.arrays:
        raise InputError(f"no dose can be proposed: {kept.about.get('why_not', 'no anatomy')}")
    nearest = nearest_plans(items, query)
    if kept.predicted is not None:
        return _by_model(items, view, query, kept, nearest)
    if view.why_not is None:
        raise InputError(f"no dose can be proposed for {query.id}: {kept.about['why_not']}")
    return _by_transfer(items, view, query, kept, transfer(items, query, kept, nearest))


def _by_model(
    items: Items, view: DoseView, query: Entry, kept: KeptDose, nearest: Sequence[Neighbour]
) -> Proposal:
    calibration, predicted, own = view.calibration, kept.predicted, kept.own()
    if calibration is None or predicted is None or own is None:
        raise InputError(f"no dose can be proposed for {query.id}: its model has no calibration")
    share = (predicted.array / kept.about["prescription_gy"]).astype(np.float32)
    half = calibration.voxel_half_widths(kept.places, share)
    histograms = {
        name: (row, calibration.histogram_half_widths(name))
        for name, row in zip(kept.structures, own[0], strict=True)
    }
    metrics = {
        name: (row, calibration.metric_half_widths(name))
        for name, row in zip(kept.structures, own[1], strict=True)
    }
    return Proposal(
        **_common(items, query, kept, nearest),
        **_volumes(kept, predicted, half),
        bands=_bands(histograms, calibration.settings),
        objectives=_objectives(metrics, nearest, _learned_from(view)),
        method="model",
        learned_from=_learned_from(view),
        calibrated=True,
        warnings=(*_learned_elsewhere(view), *_few(calibration), *_warnings(items, query, kept)),
    )


def _by_transfer(
    items: Items, view: DoseView, query: Entry, kept: KeptDose, laid: Transfer
) -> Proposal:
    layout = view.layout
    assert layout is not None  # `propose` has made sure
    learned = f"the {len(laid.plans)} nearest plans, laid rigidly"
    few = (
        f"no dose model ({view.why_not}): the mean of {learned} stands in. Its bands are the "
        "spread of these plans and promise nothing"
    )
    return Proposal(
        **_common(items, query, kept, laid.plans),
        **_volumes(kept, Volume(laid.gy, laid.affine), laid.half_widths),
        bands=_bands(laid.histograms, layout),
        objectives=_objectives(laid.metrics, laid.plans, learned),
        method="transfer",
        learned_from=learned,
        calibrated=False,
        warnings=(*_warnings(items, query, kept), few),
    )


def _common(
    items: Items, query: Entry, kept: KeptDose, nearest: Sequence[Neighbour]
) -> dict[str, Any]:
    return {
        "query": query.id,
        "prescription_gy": float(kept.about["prescription_gy"]),
        "leans_on": tuple(one.told for one in nearest[:LEANS_ON]),
        "unlike": strange(items, query),
        "entry": query,
    }


def _volumes(kept: KeptDose, dose: Volume, half: NDArray[np.float32]) -> dict[str, Any]:
    """The dose and its half widths at 68 and 90 % on the grid of the CT."""
    affine, shape = kept.ct_grid
    parts = {"dose": dose.array, "half_width": half[0], "half_width_90": half[1]}
    return {
        name: PlacedDose([Volume(array, dose.affine)], affine, shape)
        for name, array in parts.items()
    }


def _bands(
    histograms: Mapping[str, tuple[Doses, Doses]], settings: GeometrySettings
) -> dict[str, Band]:
    percent = np.array(settings.dose_volumes, dtype=np.float64)
    return {
        name: Band(name, percent, gy, np.maximum(0.0, gy - half), gy + half)
        for name, (gy, half) in histograms.items()
    }


def _objectives(
    metrics: Mapping[str, tuple[Doses, Doses]], nearest: Sequence[Neighbour], source: str
) -> tuple[Objective, ...]:
    found = []
    for structure, (gy, half) in metrics.items():
        for at, metric in enumerate(metric_names(structure)):
            own, (narrow, wide) = float(gy[at]), half[:, at].tolist()
            best, whose = best_of(nearest, structure, metric)
            bounds = (max(0.0, own - narrow), own + narrow, max(0.0, own - wide), own + wide)
            found.append(Objective(structure, metric, own, *bounds, source, best, whose))
    return tuple(found)


def _learned_from(view: DoseView) -> str:
    n = view.about.get("plans")
    return f"{n} plans of this archive" if view.is_own else f"{n} plans of OpenKBP"


def _warnings(items: Items, query: Entry, kept: KeptDose) -> tuple[str, ...]:
    """What was wrong with the case, and where the anatomy lies beyond what the model has seen."""
    beyond = kept.about.get("unlike", ())
    told = (f"beyond what the dose model has seen: {one}" for one in beyond)
    return (*query.warnings, *told, *([] if items.usual is not None else [NOT_MEASURED]))


def _few(calibration: DoseCalibration) -> tuple[str, ...]:
    n = calibration.about["cases"]
    few = n < 2 * len(calibration.structures)
    return (f"bands were calibrated on {n} plans only",) if few else ()


def _learned_elsewhere(view: DoseView) -> tuple[str, ...]:
    if view.is_own:
        return ()
    return (
        "this archive has too few plans for a dose model of its own: doses are as the shipped "
        f"model learned them from {view.about['plans']} plans of OpenKBP (head and neck)",
    )
