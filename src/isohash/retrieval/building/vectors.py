"""Building an archive of plain vectors: files of rows become entries of up to `ROWS` rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.recipe import IndexSettings, Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.records import Codes, Vectors
from isohash.retrieval.building.fitting import fit_model, hash_for
from isohash.retrieval.building.migration import migrate
from isohash.retrieval.building.usual import keep_usual_rows
from isohash.retrieval.models import HashModel, codes_name, model_files
from isohash.retrieval.naming import identity_notes, known_as
from isohash.retrieval.settings import (
    IndexReport,
    check_key,
    check_kind,
    existing_store,
    versions,
)
from isohash.retrieval.telling_apart import known_in, sort_out
from isohash.retrieval.ways.row_names import NAMES, RowNames, encoded
from isohash.retrieval.ways.vectors import load_vector_model, read_vectors
from isohash.sources.found import Findings, Found, Skipped

ROWS = 65536  # rows of one entry: about 8 MB of codes at 1024 bits


# Those that vectors have.
VECTOR_SETTINGS = ("hash", "bits", "q", "embeddings", "seed", "pseudonymous_ids")

IDS_LOOKED_AT = 1000  # of each file, for whether they look like a person's


FIT_ROWS = 16384  # rows of the seeded sample that sets the hash's scale


def index_vectors(
    findings: Findings,
    archive: str | Path,
    options: Mapping[str, Any],
    progress: Progress | None = None,
) -> IndexReport:
    """Add the vectors of every file found; a new archive fits its hash to the first it can."""
    store = existing_store(archive, options)
    if store is not None:
        check_kind(store, findings)
    unseen = None
    settings = IndexSettings(**options) if store is None else Recipe(store.recipe).settings
    findings, _ = known_as(findings, settings)
    if store is None:
        store, unseen = _new_store(findings, archive, settings)
    with store:
        check_key(store, findings)
        notes = migrate(store, progress)
        report = _add(findings, store, progress)
        if report.indexed:
            keep_usual_rows(store, unseen)
        return replace(report, notes=(*notes, *report.notes))


def _new_store(
    findings: Findings, archive: str | Path, settings: IndexSettings
) -> tuple[CaseStore, NDArray[np.float32]]:
    """A store with its hash, and rows that this was not fitted to.

    The first file that a hash can be fitted to says the dimensions; InputError of the first file
    if there is none.
    """
    errors = []
    for found in findings.found:
        try:
            sample = _sample(read_vectors(found).array, settings.seed)
            model = _fit(sample, settings)
        except InputError as error:
            about = "" if found.path in str(error) else f"{found.path}: "
            errors.append(InputError(f"{about}{error}"))
        else:
            recipe = _recipe(model, sample, settings)
            files = model_files("vector", model)
            return CaseStore.create(archive, recipe, files), sample[: _n_held_out(sample)]
    raise errors[0]


def _sample(rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Rows drawn to fit a hash to, in random order; the first of them are held out."""
    return rows[np.random.default_rng(seed).permutation(len(rows))[:FIT_ROWS]]


def _n_held_out(sample: NDArray[np.float32]) -> int:
    return len(sample) // 3


def _fit(sample: NDArray[np.float32], settings: IndexSettings) -> HashModel:
    held_out = _n_held_out(sample)
    return fit_model(sample[held_out:], sample[:held_out], hash_for(settings, len(sample)))


def _recipe(
    model: HashModel, sample: NDArray[np.float32], settings: IndexSettings
) -> dict[str, Any]:
    settings = hash_for(settings, len(sample))
    return {
        "kind": "vectors",
        "dim": int(sample.shape[1]),
        "settings": {name: getattr(settings, name) for name in VECTOR_SETTINGS},
        "near": {"vector": model.near},
        "fitted_on": {"vector": len(sample) - _n_held_out(sample)},
        "calibrated_on": {"vector": model.calibration.source},
        "digests": {},
        "versions": versions(),
    }


def _add(findings: Findings, store: CaseStore, progress: Progress | None) -> IndexReport:
    recipe = Recipe(store.recipe)
    drawn, keep = load_vector_model(store).hash, recipe.settings.embeddings
    arrivals = sort_out(findings.found, known_in(store, "{}:0"), findings.skipped)
    vanished: dict[str, tuple[str, ...]] = {}
    ids: dict[str, list[str]] = {}
    for done, found in enumerate(arrivals.wanted):
        tell(progress, done, len(arrivals.wanted), f"indexing {found.key}")
        try:
            vectors = _fitting(found, recipe.dim)
        except InputError as error:
            arrivals.skipped.append(Skipped(found.path, str(error)))
            continue
        gone = _vanishing(store, found.key, vectors)
        _put(store, found, vectors, drawn.encode(vectors.array), keep)
        vanished |= {found.key: gone} if gone else {}
        ids[found.key] = [found.key, *(vectors.ids or ())[:IDS_LOOKED_AT]]
    return IndexReport(
        kind=findings.kind,
        n_found=len(findings.found),
        indexed=tuple(ids),
        unchanged=tuple(one.key for one in arrivals.unchanged),
        replaced=tuple(name for name in arrivals.replacing if name in ids),
        apart={name: other for name, other in arrivals.apart.items() if name in ids},
        vanished=vanished,
        skipped=tuple(arrivals.skipped),
        n_cases=sum(store.column("n_rows")),
        notes=tuple(identity_notes(name for several in ids.values() for name in several)),
    )


def _fitting(found: Found, dim: int) -> Vectors:
    """The vectors of a file, which must have the archive's dimensions."""
    vectors = read_vectors(found)
    if vectors.array.shape[1] != dim:
        raise InputError(
            f"{found.path} has {vectors.array.shape[1]} dimensions, the archive has {dim}"
        )
    return vectors


def _vanishing(store: CaseStore, file: str, vectors: Vectors) -> tuple[str, ...]:
    """Names of rows that a file's new version does not have; without ids, the range of rows."""
    old = [rows for rows in RowNames(store).entries if rows.file == file]
    if vectors.ids is not None:
        names = {rows.name(row): None for rows in old for row in range(rows.n)}
        return tuple(name for name in names if name not in set(vectors.ids))
    n, last = len(vectors.array), max((rows.first + rows.n for rows in old), default=0) - 1
    return (f"{file}:{n} to {file}:{last}",) if last > n else (f"{file}:{n}",) * (last == n)


def _put(store: CaseStore, found: Found, vectors: Vectors, codes: Codes, keep: bool) -> None:
    old = [name for name in store.ids() if name.rpartition(":")[0] == found.key]
    stamp = found.to_keep()
    # the first rows go last: an interrupted file is then read again
    for first in reversed(range(0, max(1, len(codes)), ROWS)):
        rows = slice(first, first + ROWS)
        codes_column = codes_name("vector", Recipe(store.recipe).generation)
        arrays: dict[str, NDArray[Any]] = {codes_column: codes.packed[rows]}
        if keep:
            arrays["vector"] = vectors.array[rows]
        if vectors.labels is not None:
            arrays["label"] = vectors.labels[rows]
        if vectors.ids is not None:
            arrays[NAMES] = encoded(vectors.ids[rows])
        name = f"{found.key}:{first}"
        facts = {"file": found.key, "first": first, "n_rows": len(codes.packed[rows])}
        store.put(name, facts, arrays, stamp)
        old = [other for other in old if other != name]
    for name in old:  # rows of a longer, earlier version of the file
        store.delete(name)
