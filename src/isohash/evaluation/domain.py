"""How far the slices of some sources are from what the shipped encoders know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isohash.errors import InputError
from isohash.evaluation.results import write_results
from isohash.features.domain import FAR, relative_error
from isohash.features.shipped import shipped_encoder
from isohash.features.slices import ImageKind, case_slices, encoder_input
from isohash.records import Case
from isohash.sources.reading import find

Progress = Callable[[int, int, str], None]
KINDS: tuple[ImageKind, ...] = ("ct", "dose")
METRIC = (
    "relative_error: mean over cases of the encoder's squared error on a case's slices, relative "
    "to its squared error on the patients held out in its training; lowest and highest case"
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
    errors: dict[str, list[float]] = {kind: [] for kind in KINDS}
    found = find(source).found
    for done, one in enumerate(found):
        if progress is not None:
            progress(done, len(found), f"reading {one.key}")
        case = one.read()
        if isinstance(case, Case):
            for kind, error in _errors(case).items():
                errors[kind].append(error)
    if not any(errors.values()):
        raise InputError(f"{source}: no case there has a CT or a dose")
    return [
        {
            "source": Path(source).name,
            "view": kind,
            "cases": len(several),
            "relative_error": round(float(np.mean(several)), 3),
            "lowest": round(min(several), 3),
            "highest": round(max(several), 3),
            "taken": f"{kind}-deep" if np.mean(several) <= FAR else "pca",
        }
        for kind, several in errors.items()
        if several
    ]


def _errors(case: Case) -> dict[str, float]:
    view = case_slices(case)
    found: dict[str, float] = {}
    for kind in KINDS:
        values = view.hu if kind == "ct" else view.dose_cgy
        if values is None:
            continue
        rows = slice(None) if kind == "ct" else view.has_dose
        error = relative_error(shipped_encoder(f"{kind}-deep"), encoder_input(view, kind)[rows])
        if error is not None:
            found[kind] = error
    return found
