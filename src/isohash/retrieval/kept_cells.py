"""What is kept of a comparison from one question to the next: the distances of slices by case.

They do not depend on weights, filters or the number of results. Each case is measured on its own,
so a distance is the same whatever else is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isohash.retrieval.dense import Joined

MOST_BYTES = 3 << 24  # that one query keeps: two kinds of distances to some 200 patients

Places = NDArray[np.int64]


@dataclass(eq=False)
class Kept:
    """Of one query: its cells with single cases, those asked for last, and the least to each case.

    `least[view]` is (query rows, cases); cells are kept by what made them, their views and case.
    """

    most_bytes: int = MOST_BYTES
    least: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    _cells: OrderedDict[tuple[str, tuple[str, ...], int], Joined] = field(
        default_factory=OrderedDict
    )
    _n_bytes: int = 0

    def cells(
        self,
        kind: str,
        views: tuple[str, ...],
        cases: Sequence[int],
        make: Callable[[Sequence[int]], Sequence[Joined]],
    ) -> list[Joined]:
        """The cells with some cases, of which `make` makes those that are not held."""
        missing = [case for case in cases if (kind, views, case) not in self._cells]
        made = dict(zip(missing, make(missing) if missing else [], strict=True))
        found = []
        for case in cases:
            place = (kind, views, case)
            if case in made:
                self._cells[place] = made[case]
                self._n_bytes += made[case].n_bytes
            else:
                self._cells.move_to_end(place)
            found.append(self._cells[place])
        while self._n_bytes > self.most_bytes and self._cells:
            self._n_bytes -= self._cells.popitem(last=False)[1].n_bytes
        return found

    @property
    def n_bytes(self) -> int:
        """How much is held."""
        return self._n_bytes + sum(table.nbytes for table in self.least.values())
