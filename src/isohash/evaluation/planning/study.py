"""What are proposals worth? `isohash evaluate planning ARCHIVE QUERIES`.

Patients of the archive are judged by what models foretold that had not seen their plans; those of
a held-out set are asked once. Dose and DVH scores are those of the OpenKBP challenge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from isohash.errors import InputError
from isohash.evaluation.kit.plotting import check_drawing
from isohash.evaluation.kit.results import write_results
from isohash.evaluation.planning.degraded import check_rows
from isohash.evaluation.planning.patients import Patient, new_patients, stored_patients
from isohash.evaluation.planning.ranking import (
    distances,
    interval_rows,
    laid_rows,
    ranking_rows,
)
from isohash.evaluation.planning.rows import (
    Row,
    Table,
    band_rows,
    objective_rows,
    score_row,
    voxel_row,
)
from isohash.features.encoders.dose_calibration import DoseCalibration
from isohash.progress import Progress
from isohash.retrieval.engine import Archive
from isohash.retrieval.items import Items
from isohash.whole_files import digest

MODEL = "dose model"
LEFT_OUT = "left out"


@dataclass(frozen=True)
class PlanningSettings:
    """`ranked` of the archive's patients, drawn by the seed, take part in the ranking."""

    seed: int = 0
    ranked: int = 40


def run_planning(
    archive: str | Path,
    queries: str | Path | None,
    out: str | Path,
    settings: PlanningSettings = PlanningSettings(),
    progress: Progress | None = None,
) -> dict[str, list[Row]]:
    """The study; writes PNG, CSV and JSON into `out`."""
    from isohash.evaluation.planning.figures import draw

    check_drawing()
    with Archive.open(archive) as opened:
        items = opened.contents
        if not isinstance(items, Items) or items.pipeline.dose is None:
            raise InputError(f"{archive} holds no cases")
        calibration = items.pipeline.dose.calibration
        if calibration is None:
            raise InputError(f"{archive} has no calibrated dose model; index 10 plans or more")
        past = stored_patients(items)
        splits: dict[str, list[Patient]] = {LEFT_OUT: past}
        skipped: list[str] = []
        if queries is not None:
            splits[Path(queries).name], skipped = new_patients(items, queries, progress)
        tables = _tables(splits, past, calibration, settings, progress)
    about = {
        "settings": asdict(settings),
        "patients": {name: len(one) for name, one in splits.items()},
        "passed_over": skipped,
        "model": dict(items.pipeline.dose.about) | {"layout": None, "map_expected": None},
        "data_digest": digest(*(o.metrics[1] for one in splits.values() for o in one)),
    }
    for name, rows in tables.items():
        write_results(out, name, rows, about)
    draw(Path(out), splits, calibration)
    return tables


def _tables(
    splits: dict[str, list[Patient]],
    past: Sequence[Patient],
    calibration: DoseCalibration,
    settings: PlanningSettings,
    progress: Progress | None,
) -> dict[str, list[Row]]:
    tables: dict[str, list[Row]] = {
        name: [] for name in ("scores", "bands", "objectives", "ranking", "intervals", "checks")
    }
    layout = calibration.settings
    for split, patients in splits.items():
        left_out = split == LEFT_OUT
        misses = [one.dvh_misses for one in patients]
        scores = [one.dose_score for one in patients]
        tables["scores"].append(score_row(split, MODEL, scores, misses))
        table = Table.of(patients, layout.structures, "histogram")
        half = None if left_out else calibration.histogram_half_widths
        tables["bands"] += band_rows(split, table, half, settings.seed)
        tables["bands"] += voxel_row(split, patients, calibration)
        tables["objectives"] += objective_rows(split, patients, layout, calibration)
        drawn = np.random.default_rng(settings.seed).permutation(len(patients))
        ranked = [patients[i] for i in drawn[: settings.ranked]] if left_out else patients
        found = distances(ranked, past, layout, progress)
        tables["ranking"] += ranking_rows(split, found, settings.seed)
        tables["scores"] += laid_rows(split, found)
        tables["checks"] += check_rows(split, patients, past, calibration)
        tables["intervals"] += interval_rows(split, found, calibration)
    return tables
