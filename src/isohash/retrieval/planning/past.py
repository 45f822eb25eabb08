"""The past plans that a proposal leans on, and what is kept of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.names import is_target
from isohash.dosimetry.objectives import metric_names
from isohash.features.encoders.scope import ALIKE
from isohash.retrieval.contents import unlike
from isohash.retrieval.dose_arrays import ABOUT, CENTRES, GRID, OWN_PLANNED, PLAN_BYTES, KeptDose
from isohash.retrieval.entry import Entry
from isohash.retrieval.items import Items
from isohash.retrieval.likeness import Unlike
from isohash.retrieval.planning.proposal import PastPlan
from isohash.retrieval.request import Request
from isohash.retrieval.ways.plan import Foretold, PlanWay

SIMILAR = 10  # past plans that a proposal looks at

Doses = NDArray[np.float64]
Best = Callable[[Doses], int]


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A past plan: how near it is, and what is kept of its dose."""

    told: PastPlan
    kept: KeptDose


def nearest_plans(items: Items, query: Entry) -> tuple[Neighbour, ...]:
    """Up to `SIMILAR` plans of other patients, nearest by plan; none where nothing is foretold."""
    way = next(way for way in items.ways(query) if isinstance(way, PlanWay))
    foretold = way.foretold
    if way.why_not() is not None or not isinstance(foretold, Foretold):
        return ()
    found = way.rank(Request(k=SIMILAR), ~items.own(query)).found
    neighbours = []
    for one in found:
        name, facts = items.known(one.case)
        interval = foretold.expected(one.distance)[1:]
        neighbours.append(
            Neighbour(PastPlan(name, one.distance, interval, facts), kept(items, name))
        )
    return tuple(neighbours)


def strange(items: Items, query: Entry) -> Unlike | None:
    """Whether a patient is unlike what the archive holds, as an answer by plan tells it."""
    way = next(way for way in items.ways(query) if isinstance(way, PlanWay))
    measures = way.measures(~items.own(query)) if way.why_not() is None else {}
    return unlike(items, query, "plan", measures)


def kept(items: Items, name: str) -> KeptDose:
    """What an archive keeps of a plan's dose."""
    there = items.store.array_names(name)
    names = [one for one in (ABOUT, GRID, CENTRES, OWN_PLANNED, PLAN_BYTES) if one in there]
    return KeptDose(items.store.arrays(name, names))


def planned_plans(items: Items, query: Entry) -> tuple[Neighbour, ...]:
    """All plans of other patients whose dose is kept, in the archive's order."""
    others = np.flatnonzero(~items.own(query)).tolist()
    names = [items.ids[at] for at in others]
    dosed = [name for name in names if PLAN_BYTES in items.store.array_names(name)]
    return tuple(
        Neighbour(PastPlan(name, None, None, items.store.metadata(name)), kept(items, name))
        for name in dosed
    )


def alike(query: KeptDose, other: KeptDose) -> bool:
    """Whether a query has half of the organs of a past plan or more, and one at least."""
    theirs = {name for name in other.structures if not is_target(name)}
    shared = theirs & set(query.structures)
    return bool(shared) and len(shared) >= ALIKE * len(theirs)


def best_of(
    neighbours: Sequence[Neighbour], structure: str, metric: str
) -> tuple[float, str] | tuple[None, None]:
    """The best of an objective among past plans, and whose: little dose to organs, most at D95."""
    at = metric_names(structure).index(metric)
    told: list[tuple[float, str]] = []
    for one in neighbours:
        own = one.kept.own(planned=True)
        if own is not None and structure in one.kept.structures:
            told.append((float(own[1][one.kept.structures.index(structure), at]), one.told.id))
    if not told:
        return None, None
    return max(told) if more_is_better(structure, metric) else min(told)


def more_is_better(structure: str, metric: str) -> bool:
    """Whether planners want more of it: of what nearly all of a target gets."""
    return is_target(structure) and metric in ("D95", "D99")
