"""Building an archive: fit the encoders and hashes on a sample, then add case after case.

The fit reads a seeded sample of the cases; nothing appears at the archive's path before it is
complete. Then every case is one durable step (images are kept `TOGETHER`): a killed run loses at
most what is in work, and a rerun skips what is unchanged, re-reads what changed and adds what is
new.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import scipy.ndimage  # noqa: F401  # for features.regions: pays for itself over many cases
from threadpoolctl import threadpool_limits

from isohash.archive.putting import Put
from isohash.archive.recipe import IndexSettings, Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.retrieval.building.archive_fit import beside, fit
from isohash.retrieval.building.dose_choice import FeatureFolder
from isohash.retrieval.building.dose_keeping import dose_notes, dose_to_keep, recalibrate
from isohash.retrieval.building.given import Source, findings_of
from isohash.retrieval.building.migration import migrate
from isohash.retrieval.building.picturing import add_pictures, picture_bytes, picture_notes
from isohash.retrieval.building.sampling import check_shown, item_of
from isohash.retrieval.building.usual import keep_usual
from isohash.retrieval.entry import Entry, entry_of
from isohash.retrieval.naming import identity_notes, known_as, patient_notes, unmapped
from isohash.retrieval.pipeline import Pipeline
from isohash.retrieval.settings import (
    IndexReport,
    Options,
    check_key,
    check_kind,
    checked_options,
    existing_store,
)
from isohash.retrieval.telling_apart import known_in, sort_out
from isohash.sources.found import Findings, Found, Skipped
from isohash.sources.identity.aliases import Aliases

# Reading inflates and coding multiplies, both outside the interpreter's lock: two threads keep two
# cores busy, and more would only hold more cases (some 60 MB each) in memory.
WORKERS = 2

# Each case is written to a segment of its own; a run that leaves more than this many merges them,
# so that a query maps each column in one piece.
MANY_SEGMENTS = 64
TOGETHER = 128  # items of one sample that are kept as one: a second or less of work


def build_archive(
    source: Source, path: str | Path, progress: Progress | None = None, **options: Unpack[Options]
) -> IndexReport:
    """Add all that `source` holds to the archive at `path`, creating it if it does not exist.

    This is what `isohash index` does: run it again to add what is new.

    Args:
        source: a folder or file (DICOM, OpenKBP, vectors), cases, or vectors (n, d).
        path: the archive's folder.
        progress: called with (done, of how many, what) as the work goes on.
        options: fields of `IndexSettings`, such as bits=512. An existing archive keeps its own
            settings, and an option that contradicts them is refused.

    Returns:
        What was found, indexed, unchanged and skipped, with the reasons.

    Raises:
        InputError: if nothing can be read or used, or an option is wrong.

    Example:
        >>> import isohash, numpy as np, tempfile
        >>> rows = np.random.default_rng(0).standard_normal((200, 16))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = isohash.build_archive(rows, f"{folder}/archive", bits=64)
        ...     with isohash.Archive.open(f"{folder}/archive") as archive:
        ...         nearest = archive.query(rows[0], k=1).ids
        >>> report.n_cases, nearest
        (200, ['array:0'])
    """
    return index_found(findings_of(source, progress), path, options, progress)


def index_found(
    findings: Findings,
    archive: str | Path,
    options: Mapping[str, Any],
    progress: Progress | None = None,
) -> IndexReport:
    """Add what was found; see `build_archive`."""
    options = checked_options(options)
    if findings.holds == "vectors":
        from isohash.retrieval.building.vectors import index_vectors

        return index_vectors(findings, archive, options, progress)
    # Whole cases are spread over threads, so the linear algebra within one keeps to one: that is
    # faster here (its threads spin while they wait), and fitted models do not depend on cores.
    with threadpool_limits(1):
        store = existing_store(archive, options)
        if store is not None:
            check_kind(store, findings)
        settings = _settings(store, options)
        findings, naming = known_as(findings, settings)
        features = FeatureFolder(beside(archive, "features"))
        if store is None:
            store = _new_store(findings, archive, settings, features, progress)
        with store:
            check_key(store, findings)
            notes = migrate(store, progress)
            pipeline = Pipeline.from_files(Recipe(store.recipe), store.read_file, store.path)
            report = _add(findings, store, pipeline, features, progress)
            features.clear()
            return replace(report, unmapped=unmapped(naming), notes=(*report.notes, *notes))


def _settings(store: CaseStore | None, options: Mapping[str, Any]) -> IndexSettings:
    """As given, or the archive's own; a new table of names, or pictures, change these."""
    if store is None:
        table = dict(Aliases.of(options.get("aliases")).table)
        return IndexSettings(**{**options, "aliases": table})
    recipe = Recipe(store.recipe)
    kept = dict(recipe.settings.aliases)
    given = dict(Aliases.of(options.get("aliases", kept)).table)
    pictures = bool(options.get("pictures", recipe.settings.pictures))
    if (given, pictures) != (kept, recipe.settings.pictures):
        changed = {"aliases": given, "pictures": pictures}
        store.set_recipe(recipe.changed(settings={**recipe["settings"], **changed}))
    return replace(recipe.settings, aliases=given, pictures=pictures)


def _new_store(
    findings: Findings,
    archive: str | Path,
    settings: IndexSettings,
    features: FeatureFolder,
    progress: Progress | None,
) -> CaseStore:
    fitted = fit(findings, settings, archive, features, progress)
    files = {**fitted.pipeline.to_files(), **fitted.dose.files}
    store = CaseStore.create(archive, fitted.recipe, files)
    shutil.rmtree(beside(archive, "training"), ignore_errors=True)  # checkpoints have served
    return store


def _add(
    findings: Findings,
    store: CaseStore,
    pipeline: Pipeline,
    features: FeatureFolder,
    progress: Progress | None,
) -> IndexReport:
    arrivals = sort_out(findings.found, known_in(store), findings.skipped)
    wanted, skipped = arrivals.wanted, arrivals.skipped
    recipe = Recipe(store.recipe)
    code = partial(_entry, pipeline=pipeline, features=features, settings=recipe.settings)
    skipped += add_pictures(store, arrivals.unchanged, pipeline, progress)
    keeping = _Keeping(store, TOGETHER if pipeline.kind.single else 1)
    for done, (found, entry) in enumerate(_coded_ahead(wanted, code)):
        tell(progress, done, len(wanted), f"indexing {found.key}")
        if isinstance(entry, InputError):
            skipped.append(Skipped(found.path, str(entry)))
        else:
            keeping.take(Put(found.key, entry.facts, entry.arrays, found.to_keep()))
    indexed = keeping.finish()
    facts = {name: store.metadata(name) for name in indexed}
    if indexed and pipeline.dose is not None:
        recalibrate(store, pipeline.dose)
        recipe = Recipe(store.recipe)
    if indexed:
        keep_usual(store)
    if indexed and store.info()["segments"] > MANY_SEGMENTS:
        store.compact(progress)
    return IndexReport(
        kind=findings.kind,
        n_found=len(findings.found),
        indexed=tuple(indexed),
        unchanged=tuple(one.key for one in arrivals.unchanged),
        replaced=tuple(name for name in arrivals.replacing if name in facts),
        apart={name: other for name, other in arrivals.apart.items() if name in facts},
        skipped=tuple(skipped),
        n_cases=len(store),
        warnings={name: tuple(one["warnings"]) for name, one in facts.items() if one["warnings"]},
        notes=(
            *recipe.notes,
            *_plan_notes(recipe),
            *dose_notes(recipe.dose),
            *picture_notes(store, pipeline, keeping.sizes),
            *(() if pipeline.kind.single else patient_notes(facts.values())),
            *identity_notes(indexed if findings.kind != "dicom" else ()),
        ),
    )


@dataclass
class _Keeping:
    """Coded items on their way into a store, so many at once; and the `sizes` of their pictures."""

    store: CaseStore
    at_once: int
    sizes: list[int] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _waiting: list[Put] = field(default_factory=list)

    def take(self, item: Put) -> None:
        """One more, kept with those that wait once these are enough."""
        self._names.append(item.id)
        self._waiting.append(item)
        self.sizes.append(picture_bytes(item.arrays))
        if len(self._waiting) >= self.at_once:
            self.finish()

    def finish(self) -> list[str]:
        """Keep those that still wait; the names of all."""
        self.store.put_all(self._waiting)
        self._waiting.clear()
        return self._names


def _plan_notes(recipe: Recipe) -> tuple[str, ...]:
    """That the cases can be asked by plan, or why not; nothing if none has structures."""
    plan = recipe.plan
    if recipe.has_plan_encoder:
        learned = "the archive's own plans" if plan["encoder"] == "own" else "those of OpenKBP"
        return (f"cases with structures are asked by plan: doses as learned from {learned}",)
    return (f"not by plan: {plan['missing']}",) if plan else ()


def _coded_ahead(
    wanted: Sequence[Found], code: Callable[[Found], Entry | InputError]
) -> Iterator[tuple[Found, Entry | InputError]]:
    """Read and code cases on `WORKERS` threads, in order, at most one case ahead of each."""
    with ThreadPoolExecutor(WORKERS) as pool:
        waiting: deque[tuple[Found, Future[Entry | InputError]]] = deque()
        for found in wanted:
            waiting.append((found, pool.submit(code, found)))
            if len(waiting) > WORKERS:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _entry(
    found: Found, pipeline: Pipeline, features: FeatureFolder, settings: IndexSettings
) -> Entry | InputError:
    """The case as kept, or why it cannot be."""
    try:
        coded = pipeline.code(item_of(found, pipeline.kind))
        check_shown(coded.item, coded.samples, pipeline.slices)
        entry = entry_of(coded, settings.embeddings, settings.pictures)
    except InputError as error:
        return error
    return replace(
        entry, arrays={**entry.arrays, **dose_to_keep(found, coded.item, pipeline, features)}
    )
