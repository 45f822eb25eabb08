"""Does a near case have a near plan? `isohash evaluate validity`.

Every patient with CT, dose and structures is a query once, and all the others are the past cases;
with a second source its patients are the queries and all of the first the past. The study compares
ways of retrieval (`validity.distances`) by how well their distance follows the difference of the
plans, by what the nearest plan's dose is worth as a prediction, and by the coverage of bands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.evaluation.kit.parts import work_folder
from isohash.evaluation.kit.plotting import check_drawing
from isohash.evaluation.kit.results import write_results
from isohash.evaluation.validity.distances import (
    ALPHAS,
    ANATOMY,
    HIGH,
    LOW,
    OWN_DVH,
    PLAN,
    anatomy_tables,
    dose_table,
    image_tables,
    plan_table,
)
from isohash.evaluation.validity.learning import learning_rows
from isohash.evaluation.validity.patients import VIEWS, Patient, load, prepare, save
from isohash.evaluation.validity.rows import (
    Banded,
    Row,
    Split,
    band_rows,
    correlation_rows,
    interval_rows,
    nearest_rows,
    uncalibrated_rows,
)
from isohash.features.cases.measures import common_structures
from isohash.features.cases.slices import case_slices, encoder_input
from isohash.features.encoders.encoders import Encoder, load_encoder
from isohash.features.encoders.pca import fit_pca
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.sources.found import Found
from isohash.sources.reading import find
from isohash.whole_files import digest, private_folder, whole_file

Table = NDArray[np.float64]

IMAGE_WAYS = (
    "CT, aligned slices",
    "down-sampled CT",
    "dose, aligned slices",
    "down-sampled dose",
    "joint, late, alpha 0.5",
)
LEFT_OUT = "leave one out"
AS_GOOD = 0.01  # difference in r that is far below its interval
SCORED_WAYS = (*IMAGE_WAYS, *ANATOMY, PLAN, OWN_DVH)


@dataclass(frozen=True)
class ValiditySettings:
    """Sizes of the study. `k` nearest plans make a band; `n_random` stand for a random one."""

    seed: int = 0
    k: int = 15
    n_random: int = 3
    n_bootstrap: int = 100
    fit_cases: int = 32
    fit_slices: int = 1024
    dim: int = 128


def run_validity(
    train: str | Path,
    validation: str | Path | None,
    out: str | Path,
    settings: ValiditySettings = ValiditySettings(),
    progress: Progress | None = None,
    work: str | Path | None = None,
    only_queries: bool = False,
) -> dict[str, list[Row]]:
    """The study; writes PNG, CSV and JSON into `out`. An interrupted run goes on where it stopped.

    Patients without CT, dose and structures are passed over and counted. What a rerun goes on
    from is kept in `work` (see `work_folder`). The held-out patients are called by their folder's
    name. With `only_queries` they alone are asked, and bands are calibrated on halves of them.
    """
    check_drawing()
    if only_queries and validation is None:
        raise InputError("--only-queries asks no past case: name the folder of QUERIES as well")
    out, found = Path(out), find(train).found
    parts = work_folder(out, work) / _stamp(found, settings)
    encoders = _encoders(found, parts, settings, progress)
    past, skipped = patients_of(found, parts, encoders, progress)
    splits = [] if only_queries else [_split(LEFT_OUT, past, past, parts, progress)]
    if validation is not None:
        new, more = patients_of(find(validation).found, parts, encoders, progress)
        skipped += more
        splits.append(_split(_name(validation), new, past, parts, progress))
    tables = _rows(splits, settings, progress)
    alphas = {
        fusion: chosen_alpha(tables["correlation"], fusion)
        for fusion in ("late", "early")
        if not only_queries
    }
    about = {
        "chosen_alpha": alphas,
        "settings": asdict(settings),
        "patients": {split.name: len(split.queries) for split in splits},
        "passed_over": skipped,
        "encoders": {view: encoder.digest for view, encoder in encoders.items()},
        "data_digest": digest(*(one.dose.array for split in splits for one in split.queries)),
    }
    for name, rows in tables.items():
        write_results(out, name, rows, about)
    from isohash.evaluation.validity.figures import draw

    draw(out, splits, tables)
    return tables


def _name(queries: str | Path) -> str:
    """What a held-out set is called: as its folder is."""
    name = Path(queries).resolve().name
    return f"{name} (queries)" if name == LEFT_OUT else name


def _stamp(found: Sequence[Found], settings: ValiditySettings) -> str:
    """What finished parts depend on: the past cases, and how their slices are encoded."""
    how = [settings.seed, settings.fit_cases, settings.fit_slices, settings.dim]
    return digest(settings={"how": how, "cases": _named(found)})[:12]


def _named(found: Sequence[Found]) -> list[tuple[str, str]]:
    return [(one.key, one.fingerprint) for one in found]


def _encoders(
    found: Sequence[Found], folder: Path, settings: ValiditySettings, progress: Progress | None
) -> dict[str, Encoder]:
    """Principal components of CT and dose slices, fitted to a seeded sample of the past cases."""
    paths = {view: folder / f"{view}.safetensors" for view in VIEWS}
    if all(path.is_file() for path in paths.values()):
        return {view: load_encoder(path) for view, path in paths.items()}
    private_folder(folder)
    order = np.random.default_rng(settings.seed).permutation(len(found))[: settings.fit_cases]
    images: dict[str, list[NDArray[np.float32]]] = {view: [] for view in VIEWS}
    for done, at in enumerate(order):
        tell(progress, done, len(order), "sampling slices")
        case = found[at].read()
        if not isinstance(case, Case) or case.ct is None or case.dose is None:
            continue
        view = case_slices(case)
        rows = np.flatnonzero(view.has_dose)
        rows = rows[:: max(1, len(rows) * len(order) // settings.fit_slices)]
        images["ct"].append(encoder_input(view, "ct")[rows])
        images["dose"].append(encoder_input(view, "dose")[rows])
    if not images["ct"]:
        raise InputError("none of the cases has both CT and dose: there is nothing to compare")
    encoders: dict[str, Encoder] = {}
    for name, parts in images.items():
        joined = np.concatenate(parts)
        encoders[name] = fit_pca(joined, min(settings.dim, len(joined) // 2), settings.seed)
        encoders[name].save(paths[name])
    return encoders


def patients_of(
    found: Sequence[Found], folder: Path, encoders: Mapping[str, Encoder], progress: Progress | None
) -> tuple[list[Patient], list[str]]:
    """All patients that can take part, and why the others cannot."""
    patients, skipped = [], []
    for done, one in enumerate(found):
        tell(progress, done, len(found), f"preparing {one.key}")
        key = digest(settings={"cases": _named([one])})[:16]
        path = folder / f"{key}.npz"
        patient = load(path)
        try:
            if patient is None:
                case = one.read()
                if not isinstance(case, Case):
                    raise InputError(f"{one.key} is no case")
                save(prepare(case, one.path, encoders), path)
                patient = load(path)  # as a run that goes on sees it: doses in whole cGy
        except InputError as error:
            skipped.append(str(error))
        if patient is not None:
            patients.append(patient)
    if len(patients) < 2:
        raise InputError("fewer than 2 cases have CT, dose and structures")
    return patients, skipped


def _split(
    name: str,
    queries: Sequence[Patient],
    past: Sequence[Patient],
    folder: Path,
    progress: Progress | None,
) -> Split:
    """All tables of one split; the slow ones are kept in `folder`."""
    same = queries is past
    key = _key(queries, past)
    kept = folder / f"{name.replace(' ', '-')}-{key}.npz"
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as file:
            slow = {one: file[one] for one in file.files}
    else:
        slow = image_tables(queries, past, progress)
        slow["dose distance"] = dose_table(queries, past, progress)
        with whole_file(kept, kept_up=True) as file:
            np.savez(file, allow_pickle=False, **slow)
    dose = slow.pop("dose distance")
    anatomy = anatomy_tables(queries, past, progress)
    expected = anatomy.pop(LOW), anatomy.pop(HIGH)
    ways = {**slow, **anatomy}
    return Split(name, queries, past, ways, plan_table(queries, past), dose, expected, same)


def _key(queries: Sequence[Patient], past: Sequence[Patient]) -> str:
    ids = [[one.id for one in group] for group in (queries, past)]
    arrays = [one.slices["dose"] for one in (*queries, *past)]
    return digest(*arrays, settings={"ids": ids})[:16]


def _rows(
    splits: Sequence[Split], settings: ValiditySettings, progress: Progress | None
) -> dict[str, list[Row]]:
    correlations, nearest, bands, intervals = [], [], [], []
    first = splits[0]
    structures = common_structures([one.measured for one in first.past])
    calibrations = _bands(first, structures, settings)
    for split in splits:
        correlations += correlation_rows(split, settings.n_bootstrap, settings.seed)
        ways = [way for way in SCORED_WAYS if way in split.ways]
        nearest += nearest_rows(split, ways, settings.n_random, settings.seed, progress)
        intervals += interval_rows(split, settings.seed)
        new = None if split is first else _bands(split, structures, settings)
        for way, calibration in calibrations.items():
            own = None if new is None else new[way]
            bands += band_rows(split.name, calibration, own, way, settings.seed)
        plain = calibrations if new is None else new
        bands += uncalibrated_rows(
            split.name, plain[PLAN], f"{PLAN}, {settings.k} nearest, uncalibrated", settings.seed
        )
    tables = {
        "correlation": correlations,
        "nearest": nearest,
        "bands": bands,
        "intervals": intervals,
    }
    if not first.same:
        return tables
    return {
        **tables,
        "learning": learning_rows([one.measured for one in first.past], settings.seed),
    }


def _bands(split: Split, structures: Any, settings: ValiditySettings) -> dict[str, Banded]:
    """Bands from the nearest by plan, by CT, and from all past plans alike."""
    planned = np.array([one.measured.doses(structures) for one in split.past])
    true = np.array([one.measured.doses(structures) for one in split.queries])
    ways = {PLAN: PLAN, "CT": "CT, aligned slices"}
    found = {
        name: Banded.of(split.order(way), planned, true, settings.k) for name, way in ways.items()
    }
    found["all past plans"] = Banded.of(split.order(PLAN), planned, true, len(planned))
    return found


def chosen_alpha(rows: Sequence[Row], fusion: str = "late") -> float:
    """The largest alpha that follows the plan distance as well as the best one, when left out."""
    by_way = {row["way"]: row["r_plan"] for row in rows if row["split"] == LEFT_OUT}
    r = {alpha: by_way[f"joint, {fusion}, alpha {alpha:g}"] for alpha in ALPHAS}
    return max(alpha for alpha in ALPHAS if r[alpha] >= max(r.values()) - AS_GOOD)
