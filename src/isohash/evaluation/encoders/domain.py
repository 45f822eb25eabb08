"""How far the slices of some sources are from what the shipped encoders know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.evaluation.kit.results import write_results
from isohash.features.cases.slices import ImageKind, case_slices, encoder_input
from isohash.features.encoders.domain import FAR, contest, relative_error
from isohash.features.encoders.shipped import shipped_encoder
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.sources.reading import find

KINDS: tuple[ImageKind, ...] = ("ct", "dose")
MOST_SLICES = 64
METRIC = (
    "relative: mean over cases of the shipped encoder's squared error on a case's slices, relative "
    "to that on the patients held out in its training; lowest and highest case. shipped, fitted: "
    "squared errors on half of the patients, of the shipped encoder and of principal components "
    "fitted to the other half"
)


def run_domain(
    sources: Sequence[str | Path], out: str | Path, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Measure every source that has cases; writes domain.csv/.json to `out`."""
    rows = [row for source in sources for row in measure_source(source, progress)]
    about = {
        "metric": METRIC,
        "far": FAR,
        "encoders": {kind: shipped_encoder(f"{kind}-deep").digest for kind in KINDS},
    }
    write_results(out, "domain", rows, about)
    return rows


def measure_source(source: str | Path, progress: Progress | None = None) -> list[dict[str, Any]]:
    """One row for each kind of image that the cases below a path have."""
    slices: dict[ImageKind, list[NDArray[np.float32]]] = {kind: [] for kind in KINDS}
    patients: dict[ImageKind, list[str]] = {kind: [] for kind in KINDS}
    found = find(source).found
    for done, one in enumerate(found):
        tell(progress, done, len(found), f"reading {one.key}")
        case = one.read()
        if isinstance(case, Case):
            for kind, images in _images(case).items():
                slices[kind].append(images)
                patients[kind].append(case.patient)
    if not any(slices.values()):
        raise InputError(f"{source}: no case there has a CT or a dose")
    return [
        {"source": Path(source).name, "view": kind, **_row(kind, several, patients[kind])}
        for kind, several in slices.items()
        if several
    ]


def _row(kind: ImageKind, slices: list[NDArray[np.float32]], patients: list[str]) -> dict[str, Any]:
    encoder = shipped_encoder(f"{kind}-deep")
    relative = [relative_error(encoder, images) or 0.0 for images in slices]
    patient = np.repeat(patients, [len(images) for images in slices])
    found = contest(encoder, np.concatenate(slices), patient, encoder.dim, 0)
    row = {
        "cases": len(slices),
        "relative": round(float(np.mean(relative)), 3),
        "lowest": round(min(relative), 3),
        "highest": round(max(relative), 3),
    }
    if found is not None:
        row |= {"shipped": round(found.ready, 6), "fitted": round(found.fitted, 6)}
    taken = encoder.name if found is None or found.ready_wins else "pca"
    return {**row, "taken": taken}


def _images(case: Case) -> dict[ImageKind, NDArray[np.float32]]:
    """The case's slices as `isohash index` samples them, at most `MOST_SLICES` of each kind."""
    view = case_slices(case)
    found: dict[ImageKind, NDArray[np.float32]] = {}
    for kind in KINDS:
        if (view.hu if kind == "ct" else view.dose_cgy) is None:
            continue
        rows = np.arange(len(view)) if kind == "ct" else np.flatnonzero(view.has_dose)
        some = np.linspace(0, len(rows) - 1, min(len(rows), MOST_SLICES)).round().astype(int)
        found[kind] = encoder_input(view, kind)[rows[some]]
    return found
