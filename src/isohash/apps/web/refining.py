"""What the page of a query shows of its refinements: each change is a link to another address.

It leads to the same question with one thing changed; the browser's Back takes it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from isohash.apps.web.asked import Asked
from isohash.retrieval.engine import Session
from isohash.retrieval.refined import named_weights
from isohash.retrieval.ways.plan import PlanWay

STEP = 2.0  # by which a weight of a structure is raised or lowered at a time


@dataclass(frozen=True)
class Change:
    """A link: what it says, what it is called for who hears it, and where it leads."""

    text: str
    about: str
    url: str


@dataclass(frozen=True)
class Weight:
    """A structure, what it counts, and the links that change that."""

    structure: str
    weight: float
    changes: tuple[Change, ...]


def structures_of(session: Session, state: Asked) -> list[Weight]:
    """The structures that take part in a distance by plan; none where it cannot be asked for."""
    ways = [way for way in session.ways if isinstance(way, PlanWay)]
    comparison = ways[0].comparison if ways else None
    names = () if comparison is None else comparison.structures
    given = named_weights(state.values.get("structure", ())) or {}
    return [_weight(name, given, state) for name in names]


def _weight(name: str, given: dict[str, float], state: Asked) -> Weight:
    now = given.get(name, 1.0)
    wanted = {"less": now / STEP, "more": now * STEP, "leave out": 0.0, "as before": 1.0}
    changes = tuple(
        Change(text, f"{text}: {name}", _with(state, {**given, name: weight}))
        for text, weight in wanted.items()
        if weight != now
    )
    return Weight(name, now, changes)


def _with(state: Asked, weights: dict[str, float]) -> str:
    told = [f"{name}={weight:g}" for name, weight in weights.items() if weight != 1.0]
    return state.url(structure=told or None)


def marks_of(case: str, state: Asked) -> list[Change]:
    """The links that mark a result as wanted or not, or take its mark back."""
    found = []
    for kind, other, text in (("good", "bad", "wanted"), ("bad", "good", "unwanted")):
        own = [one for one in state.values.get(kind, ()) if one != case]
        others = [one for one in state.values.get(other, ()) if one != case]
        marked = case in state.values.get(kind, ())
        ids = own if marked else [*own, case]
        changes: dict[str, Any] = {kind: ids or None, other: others or None}
        url = state.url("/query", **changes)
        about = f"{case}: take back that it is {text}" if marked else f"{case} is {text}"
        found.append(Change(f"{text} ✓" if marked else text, about, url))
    return found


def may_mark(session: Session, state: Asked) -> bool:
    """Whether marks on results would mean something to the question."""
    request, some = state.request, tuple(islice(session.archive, 1))
    marked = request if request.marked else replace(request, good=some)
    ways = (way for way in session.ways if request.by in (None, *way.names))
    return any(way.refusal(marked) is None for way in ways)


def hidden(state: Asked) -> list[tuple[str, str]]:
    """What the form of a query must keep, though it has no field for it."""
    names = ("alpha", "absent", "rerank", "covered", "structure", "good", "bad")
    return [(n, str(v)) for n in names for v in _each(state.values.get(n))]


def _each(value: object) -> Sequence[object]:
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)
