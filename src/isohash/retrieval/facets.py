"""Values of facts with their counts, each with the filter that it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from isohash.retrieval.inventory import INTERNAL

FEW = 40  # a fact with more values is asked by typing, not by choosing
HIDDEN = (*INTERNAL, "id", "patient", "warnings", "n_slices", "n_dose_slices", "n_structures")


@dataclass(frozen=True)
class Choice:
    """One value of a fact, how many items have it, and the filter that keeps these."""

    value: str
    n: int
    where: str


@dataclass(frozen=True)
class Facet:
    """A fact with its values, the most frequent first."""

    name: str
    choices: tuple[Choice, ...]


def facets(rows: Iterable[Mapping[str, Any]], where: str | None = None) -> list[Facet]:
    """The facts of items that have 2 to `FEW` values; a value of a list counts once an item.

    Args:
        rows: the facts of each item, as `inventory.rows_of` gives them.
        where: a filter that each choice is to be added to.

    Example:
        >>> found = facets([{"label": "left"}, {"label": "left"}, {"label": "right"}])
        >>> [(choice.value, choice.n) for choice in found[0].choices]
        [('left', 2), ('right', 1)]
        >>> found[0].choices[0].where
        "label == 'left'"
    """
    counts: dict[tuple[str, bool], Counter[Any]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in HIDDEN and value not in (None, "", []):
                listed = isinstance(value, list)
                counter = counts.setdefault((name, listed), Counter())
                counter.update(set(value) if listed else [value])
    return [
        Facet(name, tuple(_choices(name, listed, counter, where)))
        for (name, listed), counter in counts.items()
        if 2 <= len(counter) <= FEW
    ]


def _choices(name: str, listed: bool, counter: Counter[Any], where: str | None) -> Iterable[Choice]:
    for value, n in sorted(counter.items(), key=lambda item: (-item[1], str(item[0]))):
        own = f"{value!r} in {name}" if listed else f"{name} == {value!r}"
        yield Choice(_told(value), n, f"({where}) and {own}" if where else own)


def _told(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
