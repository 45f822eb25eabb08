"""What an archive holds, as who asks it sees it: named things with facts, and ways of answering."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from isohash.retrieval.facts import FactTable, Mask
from isohash.retrieval.likeness import Unlike, Usual, asked_for, what
from isohash.retrieval.ways.way import Way


class Query(Protocol):
    """Something that is asked with."""

    @property
    def warnings(self) -> Sequence[str]:
        """What was wrong with it when it was read."""


NOT_MEASURED = (
    "whether the query is unlike this archive is not known: an earlier version made it; index its "
    "source again"
)
NOT_OF_MEMBERS = (
    "{what}: not compared, an earlier version indexed most members without it; index the source "
    "again"
)


class Contents(Protocol):
    """Things in the order of the archive; a position is a place in that order."""

    @property
    def facts(self) -> FactTable:
        """What is known of all of them."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, name: object) -> bool: ...

    def known(self, position: int) -> tuple[str, Mapping[str, Any]]:
        """Name and facts of one of them."""

    def load(self) -> None:
        """Read all that answers are made with; InputError says what is wrong with it."""

    def query(self, item: Any, pictures: bool) -> Query:
        """What to ask with: one of them by name, a path or a record; InputError if it is none."""

    def unknown_patient(self, query: Any) -> str | None:
        """Why it cannot be told which of them are the query's own patient; None if it can."""

    def rows_of(self, query: Any) -> int:
        """How many things a query asks with, each of which `Request.slice` can choose."""

    def ways(self, query: Any) -> tuple[Way, ...]:
        """How such a query can be answered; a request that names none takes the first that can."""

    @property
    def usual(self) -> Usual | None:
        """What is usual of them; None where that was not measured."""

    def profile(self, query: Any) -> dict[str, float]:
        """What of a query tells a stranger whatever it is asked by, by name of the part."""

    def own(self, query: Any) -> Mask:
        """Which of them are the query's own patient, or the query itself."""


def unlike(contents: Contents, query: Any, by: str, measures: Mapping[str, float]) -> Unlike | None:
    """Whether a query is unlike all that is there, asked by a way that measured so much of it."""
    if contents.usual is None:
        return None
    profile = contents.profile(query).items()
    return contents.usual.judge({**measures, **{n: v for n, v in profile if asked_for(by, n)}})


def not_compared(contents: Contents, measures: Mapping[str, float]) -> list[str]:
    """What of a query is known and is not of the members, so that a stranger may go unnoticed."""
    if contents.usual is None:
        return [NOT_MEASURED]
    told = [
        what(name)
        for name, value in measures.items()
        if name not in contents.usual.names and np.isfinite(value)
    ]
    return [NOT_OF_MEMBERS.format(what=" and ".join(told))] if told else []
