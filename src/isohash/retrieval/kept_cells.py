"""Distances between a query's slices and those of cases, kept from one question to the next.

They do not depend on weights, filters or the number of results. Each case is measured on its own,
so a distance is the same whatever else is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 1 << 25  # of either kind that one query keeps: all of some 200 patients

# Tables (query rows, rows of the case) of cases, by their positions.
Measured = Callable[[Sequence[int]], dict[int, NDArray[Any]]]


@dataclass(eq=False)
class Blocks:
    """Tables of cases, those asked for last; `n_bytes` of them are held."""

    most_bytes: int = MOST_BYTES
    n_bytes: int = 0
    _held: OrderedDict[tuple[str, int], NDArray[Any]] = field(default_factory=OrderedDict)

    def joined(
        self, view: str, cases: NDArray[np.int64], measured: Measured, empty: NDArray[Any]
    ) -> NDArray[Any]:
        """The tables of some cases one beside the other, `empty` (query rows, 0) of no case."""
        wanted = cases.tolist()
        missing = [case for case in wanted if (view, case) not in self._held]
        new = measured(missing) if missing else {}
        parts = [new[case] if case in new else self._held[view, case] for case in wanted]
        self._keep(view, wanted, parts)
        return np.concatenate([empty, *parts], axis=1)

    def _keep(self, view: str, cases: Sequence[int], parts: Sequence[NDArray[Any]]) -> None:
        for case, part in zip(cases, parts, strict=True):
            if (view, case) not in self._held:
                self._held[view, case] = np.ascontiguousarray(part)
                self.n_bytes += part.nbytes
            self._held.move_to_end((view, case))
        while self.n_bytes > self.most_bytes and self._held:
            self.n_bytes -= self._held.popitem(last=False)[1].nbytes


@dataclass(eq=False)
class Kept:
    """Of one query: code distances, exact ones, and the least to each case, by view."""

    counts: Blocks = field(default_factory=Blocks)
    exact: Blocks = field(default_factory=Blocks)
    least: dict[str, NDArray[np.int32]] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        """How much is held."""
        least = sum(table.nbytes for table in self.least.values())
        return self.counts.n_bytes + self.exact.n_bytes + least
