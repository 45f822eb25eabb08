"""Putting the cases of one archive into another, without their source.

Both must cut, encode and compare alike. Codes of another hash are made anew from the embeddings.
What one archive foretells of doses is not what the other would, and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.retrieval.building.usual import measure_anew
from isohash.retrieval.likeness import FILE
from isohash.retrieval.models import HashModel, codes_name, load_model
from isohash.retrieval.telling_apart import known_in
from isohash.sources.fingerprint import APART, Fingerprint

FORETOLD = ("dose.", "plan.predicted")  # arrays that hang on an archive's own models


@dataclass(frozen=True)
class Merged:
    """What was added under which name, and what was there already."""

    added: Mapping[str, str]  # name in the other archive -> here
    unchanged: tuple[str, ...]
    n_cases: int
    notes: tuple[str, ...] = ()


def merge(path: str | Path, other: str | Path, progress: Progress | None = None) -> Merged:
    """Add all cases (or vectors) of the archive `other` to that at `path`.

    Raises InputError if they cannot be compared: other encoders, other slices, another key.
    """
    if Path(path).resolve() == Path(other).resolve():
        raise InputError(f"{other} is the archive itself; give another one")
    with CaseStore.open(other) as source, CaseStore.open(path, writable=True) as store:
        _check(store, source)
        into = _Into(store, source)
        added, unchanged = {}, []
        for done, name in enumerate(source.ids()):
            tell(progress, done, len(source), f"merging {name}")
            here = into.name_of(name)
            if here is None:
                unchanged.append(name)
            else:
                into.put(name, here)
                added[name] = here
        if added and FILE in store.file_names():
            measure_anew(store)
        store.compact(progress)
        return Merged(added, tuple(unchanged), len(store), tuple(into.notes()))


def _check(store: CaseStore, source: CaseStore) -> None:
    ours, theirs = Recipe(store.recipe), Recipe(source.recipe)
    for what, a, b in (
        ("kind", ours.kind, theirs.kind),
        ("key of pseudonyms", ours.key, theirs.key),
        ("cut of slices", ours.get("slices"), theirs.get("slices")),
        ("dimensions", ours.get("dim"), theirs.get("dim")),
        *((f"encoder of {view}", *_encoders(ours, theirs, view)) for view in theirs.near),
    ):
        if a != b:
            raise InputError(
                f"{source.path} has another {what} than {store.path}, so its cases cannot be "
                "compared with these; index their source here"
            )


def _encoders(ours: Recipe, theirs: Recipe, view: str) -> tuple[object, object]:
    name = f"encoder-{view}"
    if ours.kind == "vectors":
        return None, None
    return ours.get("digests", {}).get(name, "none"), theirs.get("digests", {}).get(name, "unknown")


class _Into:
    """How entries of one archive become entries of another."""

    def __init__(self, store: CaseStore, source: CaseStore) -> None:
        self.store, self.source = store, source
        self.ours, self.theirs = Recipe(store.recipe), Recipe(source.recipe)
        self._known = known_in(store)
        self._models = {view: self._hash(store, view) for view in self.ours.near}
        self._same = {
            view: self._hash(source, view).hash.to_bytes() == model.hash.to_bytes()
            for view, model in self._models.items()
            if view in self.theirs.near
        }
        self._left_out = self.ours.dose != self.theirs.dose or self.ours.plan != self.theirs.plan
        self._same_plans = self.ours.plan.get("structures") == self.theirs.plan.get("structures")
        if not all(self._same.values()) and not self.theirs.settings.embeddings:
            raise InputError(
                f"{source.path} has other hashes than {store.path} and keeps no embeddings to "
                "hash anew; index its source here"
            )

    @staticmethod
    def _hash(store: CaseStore, view: str) -> HashModel:
        recipe = Recipe(store.recipe)
        return load_model(view, recipe.near[view], store.read_file, recipe.generation)

    def name_of(self, name: str) -> str | None:
        """What an entry will be called; None if it is here already."""
        theirs = Fingerprint.of(self.source.fingerprint(name))
        ours = self._known(name)
        if ours is None:
            return name
        if not theirs.place or (ours.content == theirs.content and ours.content):
            return None  # its own identity, or the same content
        base, colon, first = name.rpartition(":") if self.ours.kind == "vectors" else (name, "", "")
        apart = f"{base}{APART}{theirs.place.partition('-')[2][:8]}{colon}{first}"
        return None if apart in self.store else apart

    def put(self, name: str, here: str) -> None:
        """Add an entry, hashed as this archive hashes."""
        arrays: dict[str, Any] = {}
        for one, array in self.source.arrays(name).items():
            if one.startswith("codes."):
                continue
            if one.startswith(FORETOLD) and self._left_out:
                continue
            if one.startswith("plan.") and not self._same_plans:
                continue
            if one.startswith("picture.") and not self.ours.settings.pictures:
                continue
            arrays[one] = array
        for view, model in self._models.items():
            if view in self._same:
                self._code(name, view, model, arrays)
        facts = self.source.metadata(name)
        if facts.get("patient") == name:  # of a file, its name is both
            facts["patient"] = here
        if "file" in facts:
            facts["file"] = here.rpartition(":")[0]
        self.store.put(here, facts, arrays, self.source.fingerprint(name))

    def _code(self, name: str, view: str, model: HashModel, arrays: dict[str, Any]) -> None:
        theirs = codes_name(view, self.theirs.generation)
        if theirs not in self.source.array_names(name):
            return
        ours = codes_name(view, self.ours.generation)
        if self._same[view]:
            arrays[ours] = self.source.arrays(name, [theirs])[theirs]
        else:
            kept = arrays["vector" if view == "vector" else f"embedding.{view}"]
            arrays[ours] = model.hash.encode(np.asarray(kept, np.float32)).packed

    def notes(self) -> list[str]:
        """What the merged cases lack."""
        if self._left_out and self.ours.kind != "vectors":
            return [
                "the archives foretell doses by different models: merged cases have no predicted "
                "dose here; index their source to give them one"
            ]
        return []
