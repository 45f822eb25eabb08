"""Pictures for cases that were stored without: their source is read again, all else stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.retrieval.building.sampling import item_of
from isohash.retrieval.entry import PICTURE, fine
from isohash.retrieval.pipeline import Pipeline
from isohash.sources.found import Found, Skipped

LACKING = (
    "{n} of {of} cases have no pictures of 2 mm for the workbench; isohash index SOURCE {path} "
    "--pictures, with their source, adds them"
)


def picture_bytes(arrays: Mapping[str, Any]) -> int:
    """What a case's pictures take in the archive."""
    return sum(array.nbytes for name, array in arrays.items() if _is_picture(name))


def add_pictures(
    store: CaseStore, found: Iterable[Found], pipeline: Pipeline, progress: Progress | None
) -> list[Skipped]:
    """Give stored cases that lack them their pictures, one by one; what could not be read."""
    if not _wanted(store, pipeline):
        return []
    lacking = [one for one in found if not _has(store, one.key)]
    skipped = []
    for done, one in enumerate(lacking):
        tell(progress, done, len(lacking), f"pictures of {one.key}")
        try:
            _picture(store, one, pipeline)
        except InputError as error:
            skipped.append(Skipped(one.path, str(error)))
    return skipped


def _picture(store: CaseStore, found: Found, pipeline: Pipeline) -> None:
    name, coded = found.key, pipeline.code(item_of(found, pipeline.kind))
    if not np.array_equal(store.arrays(name, ["slice.index"])["slice.index"], coded.table.index):
        raise InputError(
            f"case {name}: this version cuts it into other slices than the archive holds; index "
            "its source into a new archive to have pictures"
        )
    named = {one: coded.facts[one] for one in ("structures", "outlined")}  # rows of what is shown
    arrays = {**store.arrays(name), **coded.kind.shown(coded.item, coded.samples), **fine(coded)}
    store.put(name, {**store.metadata(name), **named}, arrays, store.fingerprint(name))


def picture_notes(store: CaseStore, pipeline: Pipeline, sizes: Sequence[int]) -> tuple[str, ...]:
    """What the pictures of the cases just indexed take, and that others have none."""
    if pipeline.kind.fine is None:
        return ()
    notes = []
    if sum(sizes):
        mean = sum(sizes) / len(sizes) / 1e6
        notes.append(
            f"pictures of 2 mm for the workbench: {mean:.2f} MB a case (--no-pictures leaves "
            "them out of a new archive)"
        )
    lacking = sum(not _has(store, name) for name in store.ids())
    if lacking and (_wanted(store, pipeline) or "pictures" not in Recipe(store.recipe)["settings"]):
        notes.append(LACKING.format(n=lacking, of=len(store), path=store.path))
    return tuple(notes)


def _wanted(store: CaseStore, pipeline: Pipeline) -> bool:
    return pipeline.kind.fine is not None and Recipe(store.recipe).settings.pictures


def _has(store: CaseStore, name: str) -> bool:
    return any(_is_picture(one) for one in store.array_names(name))


def _is_picture(name: str) -> bool:
    return name.startswith(f"{PICTURE}.")
