"""What an archive holds, one item a row, and what filters may ask of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from isohash.archive.store import CaseStore

INTERNAL = ("size", "outlined")  # facts that only readers of pictures need
NEAR = 3  # suggestions for a mistyped name
FEW_VALUES = 8  # values of a fact that are told one by one


class Held(Protocol):
    """Named things with facts (see `contents.Contents`)."""

    def __iter__(self) -> Iterator[str]: ...

    def known(self, position: int) -> tuple[str, Mapping[str, Any]]:
        """Name and facts of one of them."""


@dataclass(frozen=True)
class Fact:
    """A name for `--where`: how many items have it, and what its values are."""

    name: str
    n: int
    kind: str
    values: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "n": self.n, "kind": self.kind, "values": self.values}


def rows_of(held: Held, positions: Iterable[int]) -> list[dict[str, Any]]:
    """Id and facts of some items, as plain values."""
    rows = []
    for position in positions:
        name, facts = held.known(position)
        kept = {key: value for key, value in facts.items() if key not in (*INTERNAL, "id")}
        rows.append({"id": name, **kept})
    return rows


def facts_in(rows: Sequence[Mapping[str, Any]]) -> list[Fact]:
    """The facts of `rows_of`, in the order in which they are met."""
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return [_fact(name, values) for name, values in columns.items()]


def fact_names(store: CaseStore) -> tuple[str, ...]:
    """The names that the facts of any case have."""
    names: dict[str, None] = {"id": None}
    for case_id in store.ids():
        names.update(dict.fromkeys(store.metadata(case_id)))
    return tuple(name for name in names if name not in INTERNAL)


def near(name: str, known: Iterable[str]) -> list[str]:
    """Those of the known names that someone may have meant, upper and lower case alike."""
    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.lower(), one)
    return [folded[one] for one in difflib.get_close_matches(name.lower(), folded, NEAR, 0.6)]


def meant(name: str, known: Iterable[str]) -> str:
    """A suggestion to go on an error with: "." if nothing known is near."""
    found = near(name, known)
    return f"; did you mean {' or '.join(found)}?" if found else "."


def _fact(name: str, values: Sequence[Any]) -> Fact:
    there = [value for value in values if value not in (None, "", [])]
    kinds = {_kind(value) for value in there}
    kind = kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "unknown"
    return Fact(name, len(there), kind, _told(kind, there))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, int | float):
        return "number"
    return "list" if isinstance(value, list) else "text"


def _told(kind: str, values: Sequence[Any]) -> str:
    if kind == "number":
        return f"{min(values):g} to {max(values):g}"
    distinct = sorted({str(one) for v in values for one in (v if isinstance(v, list) else [v])})
    more = len(distinct) - FEW_VALUES
    return ", ".join(distinct[:FEW_VALUES]) + (f" and {more} more" if more > 0 else "")
