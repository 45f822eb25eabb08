"""The plan view: past plans in the order of how near they are to the plan this anatomy would get.

Plans are compared by their codes (`plan_code`): a query by that of its predicted doses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.plan_distance import Doses
from isohash.errors import InputError
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.retrieval.answer import Match, Near
from isohash.retrieval.plan_comparison import IGNORED, PlanColumn, PlanComparison
from isohash.retrieval.ranked import Ranked
from isohash.retrieval.refined import moved, told_marks
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
UNCERTAIN_WEIGHTED = (
    "Uncertain: what dose the patient would get in truth; how true differences spread is known of "
    "the plain distance, not of a weighted one, so no interval is told."
)
MADE_BEFORE = "it was made before plans were compared; index its source into a new folder"
UNDERSTOOD = ("level", "absent", "structures", "good", "bad")

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
    positions: Callable[[Sequence[str]], NDArray[np.int64]]
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
        if told := meaningless(request, UNDERSTOOD, "by plan"):
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
        given, weights = self._weights(plans, request)
        found = plans.weighted(weights).rank(request.k, allowed, request.absent)
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
            uncertain=UNCERTAIN if len(set(weights.values())) == 1 else UNCERTAIN_WEIGHTED,
            refined=_told_weights(request, given, weights),
            notes=(
                *([f"{few} to compare"] if len(found) < request.k else []),
                *([unplanned] if n_planned < n_allowed else []),
            ),
        )

    def _weights(
        self, plans: PlanComparison, request: Request
    ) -> tuple[dict[str, float], dict[str, float]]:
        """The weight of each structure as given, and after marks."""
        _check_names(request.structures or {}, plans.structures)
        given = dict.fromkeys(plans.structures, 1.0) | dict(request.structures or {})
        good, bad = (plans.apart(self.positions(ids)) for ids in (request.good, request.bad))
        after = moved(given, good, bad, plans.usual_gy)
        return given, dict(zip(given, after, strict=True))

    def match(self, ranking: Ranking) -> tuple[Match, ...]:
        """With each structure's share, and the true differences seen at such a distance."""
        found = self.matched([one.case for one in ranking.found])
        assert not isinstance(self.foretold, str)
        shared, usual = self.foretold.expected_shared, self.foretold.expected
        expected = shared if shared is not None and ranking.meaning == UNIT_SHARED else usual
        told = None if ranking.uncertain == UNCERTAIN_WEIGHTED else expected
        return tuple(
            self._match(rank, with_slices(one, found), told)
            for rank, one in enumerate(ranking.found, start=1)
        )

    def _match(self, rank: int, one: Ranked, curve: Expected | None) -> Match:
        case_id, facts = self.facts(one.case)
        expected = None if curve is None else _around(one.distance, *curve(one.distance))
        return Match(
            rank=rank,
            id=case_id,
            distance=one.distance,
            interval=None if expected is None else expected[1:],
            tie=None,
            near={} if expected is None else {"plan": Near(*expected, beyond_range=False)},
            pairs=one.pairs,
            facts=facts,
            shares=one.shares,
            lengths=one.covered,
        )


def _around(gy: float, middle: float, low: float, high: float) -> tuple[float, float, float]:
    return middle, min(low, gy), max(high, gy)


def _check_names(structures: Mapping[str, float], known: Sequence[str]) -> None:
    """InputError for weights of what does not take part, and for those that leave nothing."""
    if unknown := [name for name in structures if name not in known]:
        raise InputError(
            f"--structure {unknown[0]}: it takes no part in the distance by plan; those that do "
            f"are {', '.join(known)}"
        )
    if all(structures.get(name, 1.0) == 0 for name in known):
        raise InputError("--structure: every structure has the weight 0, so nothing is compared")


def _told_weights(
    request: Request, given: Mapping[str, float], weights: Mapping[str, float]
) -> tuple[str, ...]:
    """What the structures count, where that is not all the same, and what moved it."""
    told = []
    if request.structures is not None:
        named = ", ".join(f"{name} {weight:g}" for name, weight in given.items() if weight != 1)
        told += [f"Weights of structures: {named}; the others 1."] if named else []
    if request.marked:
        told.append(told_marks(given, weights, (len(request.good), len(request.bad))))
    return tuple(told)
