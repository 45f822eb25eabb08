"""A way of answering: by images, by plan, by vectors. Each ranks, and says what its numbers mean.

A way is made for one query put to one archive. `choose` takes the one that a request names, or the
first that can answer it, and refuses what would mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.retrieval.answer import Match
from isohash.retrieval.ranked import Ranked
from isohash.retrieval.request import Level, Request, Weights

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Ranking:
    """What a way found, best first, and what the answer has to say of it (see `Answer`)."""

    query: str
    by: str
    level: Level
    weights: Weights
    labels: Mapping[str, str]
    found: Sequence[Ranked]
    n_considered: int
    n_reranked: int
    linear: bool
    what: str
    meaning: str
    uncertain: str
    notes: tuple[str, ...] = ()
    refined: tuple[str, ...] = ()
    asked: int = 0  # the row of a file of vectors


class Way(Protocol):
    """How one query is answered."""

    @property
    def names(self) -> tuple[str, ...]:
        """The values of `by` that ask for it."""

    def why_not(self) -> str | None:
        """Why this query cannot be answered so at this archive; None if it can."""

    def missed(self) -> str | None:
        """What to tell who named no way and is not answered so, though the query suggests it."""

    def refusal(self, request: Request) -> str | None:
        """Why a request, whose `by` this way has or which has none, is refused; None if not."""

    def measures(self, others: Mask, ranking: Ranking | None = None) -> dict[str, float]:
        """What tells a stranger: how far the nearest of the `others` are, by name of the part.

        By what a ranking looked at, or by all that this way can.
        """

    def rank(self, request: Request, allowed: Mask) -> Ranking:
        """The nearest of the `allowed` (n,) items, by their positions in the archive."""

    def match(self, ranking: Ranking) -> tuple[Match, ...]:
        """What was ranked, with the evidence."""


def choose(ways: Sequence[Way], request: Request) -> Way:
    """The way that answers a request; InputError says why there is none."""
    named = [way for way in ways if request.by in (None, *way.names)]
    if not named:
        names = list(dict.fromkeys(name for way in ways for name in way.names))
        raise InputError(f"--by must be {_either(names)}, got {request.by!r}")
    refusals = [way.refusal(request) for way in named]
    for way, refusal in zip(named, refusals, strict=True):
        if refusal is None:
            return way
    raise InputError(str(refusals[-1]))


def meaningless(request: Request, understood: Sequence[str], asked: str) -> str | None:
    """The first given option that is not among the understood, as a refusal."""
    for name in request.given:
        if name not in understood:
            value = getattr(request, name)
            return f"{_option(name, value)} means nothing for a query {asked}; leave it out"
    return None


def _option(name: str, value: object) -> str:
    told = {"weights": "weights", "box_mm": "--box", "structures": "--structure"}
    return f"{told.get(name, f'--{name}')} {_told(value)}"


def _told(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
