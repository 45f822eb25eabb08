"""Measuring what is usual of an archive's members: each is left out in turn, and asked."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.features.cases.profile import SIZE
from isohash.retrieval.items import Items, structures_of
from isohash.retrieval.likeness import FILE, PROFILE, Usual, as_wide, usual_of
from isohash.retrieval.ways.vectors import VectorQuery, VectorRows, VectorsWay

MEMBERS = 200  # cases that are left out, at most: a p-value of .05 is known to .015
ROWS = 400  # rows of an archive of vectors
GROWN = 1.1  # times as many members as measured before: measured anew
SEED = 0


def keep_usual(store: CaseStore, anew: bool = False) -> None:
    """Measure the members of an archive of cases, if it has grown since, or `anew`."""
    if not anew and _still_right(store, len(store), MEMBERS):
        return
    items = Items(store)
    at = np.random.default_rng(SEED).permutation(len(store))[:MEMBERS]
    members = [_measured(items, items.ids[i]) for i in np.sort(at).tolist()]
    often = Counter(name for one in members for name in one.found)
    names = sorted(name for name, n in often.items() if 2 * n >= len(members))
    nearest = {n: np.array([one.found.get(n, np.nan) for one in members]) for n in names}
    profiles = np.array([one.profile for one in members], dtype=np.float64).reshape(-1, SIZE)
    groups = [one.patient for one in members]
    structures = tuple(one.structures for one in members)
    _keep(store, Usual.measure(profiles, groups, nearest, len(store), structures))


def keep_usual_rows(
    store: CaseStore, unseen: NDArray[np.float32] | None = None, anew: bool = False
) -> None:
    """The same of an archive of vectors.

    `unseen` are rows of it that its hash was not fitted to: a fitted row lies nearer to its code.
    """
    rows = VectorRows(store)
    if not anew and _still_right(store, len(rows), 0):
        return
    measured = [_measured_row(rows, one) for one in _some_rows(rows, unseen)]
    names = measured[0] if measured else {}
    nearest = {name: np.array([one[name] for one in measured]) for name in names}
    nothing = np.empty((len(measured), 0))
    _keep(store, Usual.measure(nothing, range(len(measured)), nearest, len(rows)))


def measure_anew(store: CaseStore) -> None:
    """What is usual of an archive that holds or codes other things than before, of either kind."""
    if Recipe(store.recipe).kind == "vectors":
        keep_usual_rows(store, anew=True)
    else:
        keep_usual(store, anew=True)


def _still_right(store: CaseStore, n: int, fewest: int) -> bool:
    usual = usual_of(store)
    return usual is not None and usual.of >= fewest and usual.of <= n < GROWN * usual.of


def _keep(store: CaseStore, usual: Usual) -> None:
    store.put_file(FILE, usual.to_bytes())
    store.set_recipe(Recipe(store.recipe).changed(likeness=usual.of))


class _Member(NamedTuple):
    """What is measured of a member that is left out: by every way; and what it is."""

    found: dict[str, float]
    profile: NDArray[np.float64]
    patient: str
    structures: tuple[str, ...]


def _measured(items: Items, name: str) -> _Member:
    query = items.entry(name)
    others = ~items.own(query)
    found: dict[str, float] = {}
    for way in items.ways(query):
        if way.why_not() is None:
            found |= way.measures(others)
    kept = query.arrays.get(PROFILE, np.empty((1, 0)))
    return _Member(found, as_wide(kept, SIZE)[0], query.patient, structures_of(query))


def _some_rows(rows: VectorRows, unseen: NDArray[np.float32] | None) -> list[VectorQuery]:
    rng = np.random.default_rng(SEED)
    if unseen is not None:
        some = unseen[rng.permutation(len(unseen))[:ROWS]]
        return [VectorQuery("", vector[None]) for vector in some]
    at = np.sort(rng.permutation(len(rows))[:ROWS])
    kept = rows.keeps_vectors
    vectors = rows.vectors(at) if kept else np.empty((len(at), 0), np.float32)
    return [VectorQuery("", v[None][:kept], i) for v, i in zip(vectors, at.tolist(), strict=True)]


def _measured_row(rows: VectorRows, query: VectorQuery) -> dict[str, float]:
    """Of a row, which is not its own neighbour."""
    others = ~rows.own(query)
    if query.position is None:  # it is in the archive: the one that is nearest is itself
        hits = rows.index.search(rows.model.hash.encode(query.vectors), 1)
        others[hits.ids[0, :1]] = False
    return VectorsWay(rows, query).measures(others)
