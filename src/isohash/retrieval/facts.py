"""What is known of all items of an archive, as columns: filters read these, not every item's facts.

A column keeps each distinct value once. A filter is then asked once for every distinct combination
of the values that it looks at, however many items share it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.retrieval.inventory import meant
from isohash.retrieval.where import Filter, parse_where

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Column:
    """One fact of n items: item i has `values[code[i]]`."""

    values: Sequence[Any]
    code: NDArray[np.int64]

    @classmethod
    def of(cls, facts: Sequence[Any]) -> Column:
        """A column of plain (JSON) values."""
        if isinstance(facts, np.ndarray):
            distinct, code = np.unique(facts, return_inverse=True)
            return cls(distinct.tolist(), code)
        places: dict[Any, int] = {}
        values: list[Any] = []
        code = np.empty(len(facts), dtype=np.int64)
        for at, value in enumerate(facts):
            key = _key(value)
            if key not in places:
                places[key] = len(values)
                values.append(value)
            code[at] = places[key]
        return cls(values, code)


@dataclass(frozen=True, eq=False)
class FactTable:
    """The facts of `n` items; `read` gives one fact of all of them, None where it is absent.

    `known` gives the names that there are; it is asked only where a filter names what no item has.
    Without it such a filter lets nothing through.
    """

    n: int
    read: Callable[[str], Sequence[Any]]
    known: Callable[[], Sequence[str]] | None = None
    _columns: dict[str, Column] = field(default_factory=dict, init=False)

    def column(self, name: str) -> Column:
        """One fact of all items, read when first asked for."""
        if name not in self._columns:
            self._columns[name] = Column.of(self.read(name))
        return self._columns[name]

    def equal(self, name: str, value: Any) -> Mask:
        """Which items have that value of a fact."""
        column = self.column(name)
        same = np.array([one == value for one in column.values], dtype=bool)
        return same[column.code]

    def passing(self, where: str | None) -> Mask:
        """Which items satisfy a filter; InputError if it cannot be understood."""
        if where is None:
            return np.ones(self.n, dtype=bool)
        keep = parse_where(where)
        columns = [self.column(name) for name in keep.names]
        self._check(keep, where)
        if not columns or not self.n:
            return np.full(self.n, keep({}))
        codes = np.stack([column.code for column in columns])
        distinct, which = np.unique(codes, axis=1, return_inverse=True)
        passes = [
            keep({n: c.values[at] for n, c, at in zip(keep.names, columns, row, strict=True)})
            for row in distinct.T.tolist()
        ]
        return np.array(passes, dtype=bool)[which.ravel()]

    def _check(self, keep: Filter, where: str) -> None:
        """Refuse names that no item has, and comparisons of numbers with text."""
        if self.known is None or not self.n:
            return
        for name in keep.names:
            if all(value is None for value in self.column(name).values):
                known = self.known()
                if name not in known:
                    raise InputError(
                        f"--where {where!r}: no item has a fact {name!r}{meant(name, known)} There "
                        f"are {', '.join(known)}; isohash facts ARCHIVE tells their values"
                    )
        for name, constant in keep.compared:
            kinds = {isinstance(value, str) for value in self.column(name).values if _plain(value)}
            if _plain(constant) and kinds and isinstance(constant, str) not in kinds:
                kind, other = ("text", "a number") if True in kinds else ("a number", "text")
                raise InputError(f"--where {where!r}: {name} is {kind}, and {constant!r} {other}")


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _key(value: Any) -> Any:
    """What tells values apart: 1, 1.0 and True are equal to each other, but are not the same."""
    if isinstance(value, list | dict):
        return json.dumps(value, sort_keys=True)
    return type(value), value
