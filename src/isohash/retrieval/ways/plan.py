"""The plan view: past plans in the order of how near they are to the plan this anatomy would get.

Plans are compared by their codes (`plan_code`): a query by that of its predicted doses.

A structure of the query that a stored case does not have counts with the mean difference which it
shows to those that have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.store import CaseStore
from isohash.dosimetry.plan_distance import with_unknown
from isohash.index.flat import distances
from isohash.records import Codes
from isohash.retrieval.answer import DoseShare, Match, Near
from isohash.retrieval.comparison import Pair
from isohash.retrieval.plan_code import CODE, KNOWN, STEP_GY, SYMBOLS, plan_symbols


@dataclass(frozen=True)
class PlanRanked:
    """A case by its plan: `distance_gy` is the mean over `shares`, widest first."""

    case: int
    distance_gy: float
    shares: tuple[DoseShare, ...]


@dataclass(frozen=True, eq=False)
class PlanColumn:
    """The coded plans of an archive: codes (n, structures, dose_volumes), known (n, structures).

    `case` (n,) is each plan's case by its position in the archive.
    """

    codes: NDArray[np.uint8]
    known: NDArray[np.bool_]
    case: NDArray[np.int64]

    @classmethod
    def of(cls, store: CaseStore) -> PlanColumn | None:
        """The plans of a store; None if there are none."""
        if CODE not in store.info()["arrays"]:
            return None
        codes = store.gather(CODE)
        return cls(codes.array, store.gather(KNOWN).array, codes.case)


@dataclass(frozen=True, eq=False)
class PlanComparison:
    """A query's predicted doses against all stored plans: differences (structures, n) in Gy."""

    structures: tuple[str, ...]
    difference_gy: NDArray[np.float64]
    known: NDArray[np.bool_]
    case: NDArray[np.int64]

    @classmethod
    def of(
        cls, predicted: NDArray[np.floating], column: PlanColumn, names: tuple[str, ...]
    ) -> PlanComparison:
        """Compare structure by structure; only those that the query has take part."""
        own = np.flatnonzero(~np.isnan(predicted[:, 0]))
        query, width = plan_symbols(predicted), predicted.shape[1]
        counts = np.empty((len(own), len(column.codes)))
        for row, s in enumerate(own):
            stored = np.ascontiguousarray(column.codes[:, s])
            counts[row] = distances(
                Codes(query[None, s], width, SYMBOLS), Codes(stored, width, SYMBOLS)
            )[0]
        return cls(
            tuple(names[s] for s in own),
            counts * (STEP_GY / width),
            column.known[:, own].T,
            column.case,
        )

    def rank(self, k: int, allowed: NDArray[np.bool_]) -> list[PlanRanked]:
        """The k nearest of the allowed cases that share a structure with the query."""
        filled = with_unknown(self.difference_gy, self.known)
        mean = filled.mean(axis=0)
        usable = np.flatnonzero(allowed[self.case] & self.known.any(axis=0))
        order = usable[np.argsort(mean[usable], kind="stable")[:k]]
        return [self._ranked(at, float(mean[at]), filled[:, at]) for at in order.tolist()]

    def _ranked(self, at: int, distance_gy: float, parts: NDArray[np.float64]) -> PlanRanked:
        shares = tuple(
            DoseShare(self.structures[s], float(parts[s]), bool(self.known[s, at]))
            for s in np.argsort(-parts, kind="stable").tolist()
        )
        return PlanRanked(int(self.case[at]), distance_gy, shares)


def plan_match_of(
    rank: int,
    ranked: PlanRanked,
    case_id: str,
    facts: Mapping[str, Any],
    expected: tuple[float, float, float],
    pairs: tuple[Pair, ...],
) -> Match:
    """A case ranked by its plan; `expected` is what `PlanEncoder.expected_distance` says of it."""
    near = {"plan": Near(*expected, beyond_range=False)}
    interval = expected[1], expected[2]
    return Match(
        rank, case_id, ranked.distance_gy, interval, None, near, pairs, facts, ranked.shares
    )
