"""The plan view: past plans in the order of how near they are to the plan this anatomy would get.

Plans are compared by their codes (`plan_code`): a query by that of its predicted doses.

A structure of the query that a stored case does not have counts with the mean difference which it
shows to those that have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.store import CaseStore
from isohash.dosimetry.plan_distance import Doses, differences, with_unknown
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.index.flat import distances
from isohash.records import Codes
from isohash.retrieval.answer import Match, Near
from isohash.retrieval.plan_code import (
    CODE,
    KNOWN,
    STEP_GY,
    SYMBOLS,
    plan_symbols,
)
from isohash.retrieval.ranked import DoseShare, Ranked
from isohash.retrieval.request import Request
from isohash.retrieval.ways.way import Mask, Ranking, meaningless

UNIT = (
    "Distance: mean difference in Gy between the dose-volume histograms that this anatomy would "
    "get and those of the case; in brackets what it does not have, with the mean of the others."
)
UNIT_SHARED = (
    "Distance: mean difference in Gy between the dose-volume histograms that this anatomy would "
    "get and those of the case, over the structures that both have."
)
UNCERTAIN = (
    "Uncertain: what dose the patient would get in truth; the interval holds 95 % of the true "
    "differences seen between past plans at such a distance."
)
IGNORED = "ignored"
MADE_BEFORE = "it was made before plans were compared; index its source into a new folder"


@dataclass(frozen=True, eq=False)
class PlanColumn:
    """The coded plans of an archive: codes (n, structures, dose_volumes), known (n, structures).

    `case` (n,) is each plan's case by its position in the archive.
    """

    codes: NDArray[np.uint8]
    known: NDArray[np.bool_]
    case: NDArray[np.int64]

    @classmethod
    def of(cls, store: CaseStore, shape: tuple[int, int]) -> PlanColumn | None:
        """The plans of a store, of `shape` (structures, dose_volumes); None if there are none."""
        if CODE not in store.info()["arrays"]:
            return None
        codes, known = store.gather(CODE), store.gather(KNOWN)
        if codes.array.shape[1:] != shape or codes.array.dtype != np.uint8:
            raise ValueError(f"plans are of shape {codes.array.shape[1:]}, not {shape}")
        if known.array.shape != codes.array.shape[:2] or known.array.dtype != np.bool_:
            raise ValueError("it is not said which doses of plans are known")
        return cls(codes.array, known.array, codes.case)


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

    @classmethod
    def exact(cls, predicted: Doses, planned: Doses, names: tuple[str, ...]) -> PlanComparison:
        """The same of doses (n, structures, dose_volumes) in Gy instead of their codes."""
        difference_gy, known = differences(predicted, planned)
        own = np.flatnonzero(~np.isnan(predicted[:, 0]))
        structures = tuple(names[s] for s in own)
        return cls(structures, difference_gy, known, np.arange(len(planned)))

    @cached_property
    def shares_gy(self) -> NDArray[np.float64]:
        """(structures, n): each structure's part, the mean of the others where it is unknown."""
        return with_unknown(self.difference_gy, self.known)

    @property
    def mean_gy(self) -> NDArray[np.float64]:
        """(n,): the distance of each plan."""
        return self.shares_gy.mean(axis=0)

    @property
    def shared_gy(self) -> NDArray[np.float64]:
        """(n,): the same over the structures that both have."""
        total = np.where(self.known, self.difference_gy, 0.0).sum(axis=0)
        shared: NDArray[np.float64] = total / np.maximum(1, self.known.sum(axis=0))
        return shared

    def nearest_gy(self, allowed: NDArray[np.bool_]) -> float:
        """The distance of the nearest of the allowed cases; NaN if none compares."""
        usable = allowed[self.case] & self.known.any(axis=0)
        return float(self.mean_gy[usable].min()) if usable.any() else float("nan")

    def rank(self, k: int, allowed: NDArray[np.bool_], absent: str | None = None) -> list[Ranked]:
        """The k nearest of the allowed cases that share a structure with the query."""
        filled = self.shares_gy
        mean = self.shared_gy if absent == IGNORED else self.mean_gy
        usable = np.flatnonzero(allowed[self.case] & self.known.any(axis=0))
        order = usable[np.argsort(mean[usable], kind="stable")[:k]]
        found = [self._ranked(at, float(mean[at]), filled[:, at]) for at in order.tolist()]
        if absent != IGNORED:
            return found
        return [replace(one, shares=tuple(s for s in one.shares if s.known)) for one in found]

    def _ranked(self, at: int, distance_gy: float, parts: NDArray[np.float64]) -> Ranked:
        shares = tuple(
            DoseShare(self.structures[s], float(parts[s]), bool(self.known[s, at]))
            for s in np.argsort(-parts, kind="stable").tolist()
        )
        return Ranked(int(self.case[at]), distance_gy, shares=shares)


Expected = Callable[[float], tuple[float, float, float]]
Matched = Callable[[Sequence[int]], Mapping[int, Ranked]]


@dataclass(frozen=True, eq=False)
class Foretold:
    """The histograms (structures, dose_volumes) in Gy that a query's anatomy would get.

    `expected` gives median and 95 % interval of the true distances at a predicted one,
    `expected_shared` where only structures count that both have; None where nobody knows.
    """

    doses: Doses
    settings: GeometrySettings
    expected: Expected
    expected_shared: Expected | None = None

    @property
    def structures(self) -> tuple[str, ...]:
        """Whose histograms, in the order of the first axis."""
        return self.settings.structures


def with_slices(one: Ranked, matched: Mapping[int, Ranked]) -> Ranked:
    """What was ranked otherwise, with the slices to show beside it."""
    found = matched.get(one.case)
    return one if found is None else replace(one, pairs=found.pairs, covered=found.covered)


@dataclass(frozen=True, eq=False)
class PlanWay:
    """Cases by how far their plan lies from what the query's anatomy would get.

    The query's own dose is never looked at, so a new patient with CT and structures is asked like
    any other. `foretell` gives its histograms, or says why there are none; `facts(i)` are id and
    facts of a case, `matched` gives slices to show beside the result.
    """

    query: str
    foretell: Callable[[], Foretold | str]
    n_structures: int
    column: PlanColumn | None
    facts: Callable[[int], tuple[str, Mapping[str, Any]]]
    matched: Matched
    names: tuple[str, ...] = ("plan",)

    @cached_property
    def foretold(self) -> Foretold | str:
        """What the query's anatomy would get, or why that cannot be told."""
        return self.foretell()

    @cached_property
    def comparison(self) -> PlanComparison | None:
        """The query's predicted doses against all stored plans; None where there are none."""
        if isinstance(self.foretold, str) or self.column is None:
            return None
        return PlanComparison.of(self.foretold.doses, self.column, self.foretold.structures)

    def why_not(self) -> str | None:
        """What archive or query lacks: what foretells doses, structures, plans."""
        if isinstance(self.foretold, str):
            return self.foretold
        return None if self.comparison else "no case of the archive has a plan to compare"

    def missed(self) -> str | None:
        """Why a query with structures is ranked by images nevertheless."""
        why = self.why_not() if self.n_structures else None
        return None if why is None else f"ranked by images: {why}"

    def refusal(self, request: Request) -> str | None:
        """Plans are compared as wholes: of the options only level="case" means something."""
        if request.level == "slice":
            return "--by plan compares whole cases; leave out --level slice"
        if told := meaningless(request, ("level", "absent"), "by plan"):
            return told
        why = self.why_not()
        if why is None and request.absent == IGNORED and not self._shared_is_known:
            return "--absent ignored needs a dose model's calibration; index the source anew"
        return None if why is None else f"{why}; use another --by"

    @property
    def _shared_is_known(self) -> bool:
        return isinstance(self.foretold, Foretold) and self.foretold.expected_shared is not None

    def measures(self, others: Mask, ranking: Ranking | None = None) -> dict[str, float]:
        """In Gy, how far the nearest plan is."""
        plans = self.comparison
        assert plans is not None  # as `refusal` has made sure
        return {"nearest plan": plans.nearest_gy(others)}

    def rank(self, request: Request, allowed: Mask) -> Ranking:
        """The cases whose plans are nearest, in Gy."""
        plans = self.comparison
        assert plans is not None  # as `refusal` has made sure
        found = plans.rank(request.k, allowed, request.absent)
        n_planned, n_allowed = int(allowed[plans.case].sum()), int(allowed.sum())
        few = f"only {len(found)} of the {request.k} results asked for: no more cases have a plan"
        unplanned = f"{n_allowed - n_planned} cases have no plan to compare"
        return Ranking(
            query=self.query,
            by="plan",
            level="case",
            weights={"plan": 1.0},
            labels={"plan": "plan"},
            found=found,
            n_considered=n_planned,
            n_reranked=0,
            linear=True,
            what="cases by the plan that the anatomy would get, compared as whole cases",
            meaning=UNIT_SHARED if request.absent == IGNORED else UNIT,
            uncertain=UNCERTAIN,
            notes=(
                *([f"{few} to compare"] if len(found) < request.k else []),
                *([unplanned] if n_planned < n_allowed else []),
            ),
        )

    def match(self, ranking: Ranking) -> tuple[Match, ...]:
        """With each structure's share, and the true differences seen at such a distance."""
        found = self.matched([one.case for one in ranking.found])
        assert not isinstance(self.foretold, str)
        shared, usual = self.foretold.expected_shared, self.foretold.expected
        expected = shared if shared is not None and ranking.meaning == UNIT_SHARED else usual
        return tuple(
            self._match(rank, with_slices(one, found), expected)
            for rank, one in enumerate(ranking.found, start=1)
        )

    def _match(self, rank: int, one: Ranked, curve: Expected) -> Match:
        case_id, facts = self.facts(one.case)
        middle, low, high = curve(one.distance)
        expected = (middle, min(low, one.distance), max(high, one.distance))
        return Match(
            rank=rank,
            id=case_id,
            distance=one.distance,
            interval=expected[1:],
            tie=None,
            near={"plan": Near(*expected, beyond_range=False)},
            pairs=one.pairs,
            facts=facts,
            shares=one.shares,
            lengths=one.covered,
        )
