"""The dose-map view: past plans by how far their dose lies from the one this anatomy would get.

Each past dose is laid on the query by the rigid motion that brings the centres of their structures
together. Coarse cubes (`dose_cubes`) choose candidates; whole doses order these, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.retrieval.answer import Match, Near
from isohash.retrieval.dose_arrays import ABOUT, CENTRES, CUBE, GRID, PLAN_BYTES, KeptDose
from isohash.retrieval.dose_cubes import (
    FEWEST,
    POINT_MM,
    SIDE,
    Asked,
    Gy,
    apart_gy,
    laid_from_cubes,
)
from isohash.retrieval.ranked import Ranked
from isohash.retrieval.refined import Inside
from isohash.retrieval.request import Request
from isohash.retrieval.slices import SliceTable
from isohash.retrieval.ways.plan import UNCERTAIN, Matched, with_slices
from isohash.retrieval.ways.way import Mask, Ranking, meaningless

MAP = "map"
EXPECTED = "map_expected"  # in a recipe: how true distances spread where predicted ones lie
CANDIDATES = 24
UNIT = (
    "Distance: mean difference in Gy between the dose that this anatomy would get and that of the "
    "case, laid on it rigidly by the centres of structures."
)
UNCERTAIN_PART = (
    "Uncertain: what dose the patient would get in truth; how true differences spread is known of "
    "whole doses, not of a part, so no interval is told."
)

Curve = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DoseColumn:
    """The cubes (n, side, side, side) of an archive; `case` (n,) is whose, by its position."""

    store: CaseStore
    cubes: NDArray[np.uint8]
    case: NDArray[np.int64]

    @classmethod
    def of(cls, store: CaseStore) -> DoseColumn | None:
        """The cubes of a store; None if there are none."""
        if CUBE not in store.info()["arrays"]:
            return None
        found = store.gather(CUBE)
        if found.array.shape[1:] != (SIDE,) * 3 or found.array.dtype != np.uint8:
            raise ValueError(f"cubes of doses are of shape {found.array.shape[1:]}")
        return cls(store, found.array, found.case)

    @cached_property
    def centres(self) -> tuple[dict[str, NDArray[np.float64]], ...]:
        """The centres of the structures of each."""
        ids = self.store.ids()
        names = [ids[at] for at in self.case.tolist()]
        kept = (KeptDose(self.store.arrays(name, [ABOUT, CENTRES])) for name in names)
        return tuple(one.centres for one in kept)

    def coarse(self, asked: Asked, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Gy (m,) from some of the cubes."""
        return np.array([apart_gy(asked.gy, laid) for laid in self.laid(asked, rows)])

    def laid(self, asked: Asked, rows: NDArray[np.int64]) -> Iterator[Gy]:
        """The dose of each of some cubes, laid on the patient, at the points asked for."""
        centres = [self.centres[at] for at in rows.tolist()]
        return laid_from_cubes(asked, self.cubes[rows], centres)

    def exact(self, asked: Asked, at: int) -> float:
        """Gy from one whole dose."""
        name = self.store.ids()[int(self.case[at])]
        dose = KeptDose(self.store.arrays(name, [GRID, PLAN_BYTES])).planned
        assert dose is not None  # where there is a cube there is a dose
        return asked.apart_gy(dose, self.centres[at])

    def nearest(self, asked: Asked, sparse: Asked, k: int, allowed: Mask) -> list[Ranked]:
        """The k nearest of the allowed cases to a predicted dose, candidates by `sparse` points."""
        usable = np.flatnonzero(allowed[self.case])
        coarse = self.coarse(sparse, usable)
        order = usable[np.argsort(coarse, kind="stable")[: max(CANDIDATES, 2 * k)]]
        found = [Ranked(int(self.case[at]), self.exact(asked, at)) for at in order.tolist()]
        return sorted(found, key=lambda one: one.distance)[:k]


@dataclass(frozen=True, eq=False)
class DoseMapWay:
    """Cases by the dose that the query's anatomy would get; its own is never looked at.

    `kept` gives what is foretold of it, `expected` the median and 95 % interval of true distances
    at a predicted one (4, bins), None where too few plans can tell; `facts(i)` are id and facts,
    `matched` gives slices to show beside the result, `table` are the query's slices.
    """

    query: str
    kept: Callable[[], KeptDose]
    column: DoseColumn | None
    expected: Curve | None
    facts: Callable[[int], tuple[str, Mapping[str, Any]]]
    matched: Matched
    table: SliceTable
    names: tuple[str, ...] = (MAP,)

    def why_not(self) -> str | None:
        """What archive or query lacks."""
        if self.column is None:
            return "the archive keeps no doses to lay on a patient; index its source anew"
        if self.kept().predicted is None:
            why = self.kept().about.get("why_not", "the archive foretells no doses")
            return f"no dose can be foretold for {self.query}: {why}"
        return None

    def missed(self) -> str | None:
        """Nobody asks for it unnamed."""
        return None

    def refusal(self, request: Request) -> str | None:
        """It must be named; doses are compared as wholes."""
        if request.by is None:
            return "--by map must be asked for"
        if request.level == "slice":
            return "--by map compares whole cases; leave out --level slice"
        if told := meaningless(request, ("level", "span", "box_mm"), "by dose map"):
            return told
        why = self.why_not()
        return None if why is None else f"{why}; use another --by"

    def measures(self, others: Mask, ranking: Ranking | None = None) -> dict[str, float]:
        """Nothing beyond the query's profile: to lay every dose would take too long."""
        return {}

    def rank(self, request: Request, allowed: Mask) -> Ranking:
        """The cases whose doses are nearest, in Gy."""
        column = self.column
        assert column is not None  # as `refusal` has made sure
        whole, asked, sparse = self._asked(request)
        refined = len(asked.points) < len(whole.points)
        found = column.nearest(asked, sparse, request.k, allowed)
        n = int(allowed[column.case].sum())
        few = f"only {len(found)} of the {request.k} results asked for: no more cases have a dose"
        return Ranking(
            query=self.query,
            by=MAP,
            level="case",
            weights={MAP: 1.0},
            labels={MAP: "dose map"},
            found=found,
            n_considered=n,
            n_reranked=min(n, max(CANDIDATES, 2 * request.k)),
            linear=True,
            what="cases by the dose that the anatomy would get, laid rigidly, compared as wholes",
            meaning=UNIT,
            uncertain=UNCERTAIN_PART if refined else UNCERTAIN,
            notes=(few,) if len(found) < request.k else (),
            refined=(_told(request, len(asked.points) / len(whole.points)),) if refined else (),
        )

    def _asked(self, request: Request) -> tuple[Asked, Asked, Asked]:
        """The predicted dose at all points, at those asked for, and at few of these."""
        kept = self.kept()
        predicted = kept.predicted
        assert predicted is not None  # as `refusal` has made sure
        whole = Asked.of(kept, predicted)
        try:
            z_mm = None if request.span is None else self.table.heights(*request.span)
        except ValueError as error:
            first, last = request.span or (0, 0)
            raise InputError(f"--span {first} {last}: there is no such slice; {error}") from None
        inside = Inside(z_mm, request.box_mm)
        asked = whole.within(inside)
        if not len(asked.points):
            low, high = whole.points.min(axis=0), whole.points.max(axis=0)
            raise InputError(
                "--box or --span: none of the dose that is foreseen lies inside; it reaches from "
                f"x {low[0]:.0f}, y {low[1]:.0f} to x {high[0]:.0f}, y {high[1]:.0f} mm"
            )
        sparse = Asked.of(kept, predicted, POINT_MM).within(inside)
        return whole, asked, sparse if len(sparse.points) >= FEWEST else asked

    def match(self, ranking: Ranking) -> tuple[Match, ...]:
        """With the true differences seen at such a distance."""
        found = self.matched([one.case for one in ranking.found])
        whole = not ranking.refined
        return tuple(
            self._match(rank, with_slices(one, found), whole)
            for rank, one in enumerate(ranking.found, start=1)
        )

    def _match(self, rank: int, one: Ranked, whole: bool) -> Match:
        case_id, facts = self.facts(one.case)
        near = self._near(one.distance)
        high = np.inf if near.high is None else near.high
        return Match(
            rank=rank,
            id=case_id,
            distance=one.distance,
            interval=(near.low, high) if whole else None,
            tie=None,
            near={MAP: near} if whole else {},
            pairs=one.pairs,
            facts=facts,
            lengths=one.covered,
        )

    def _near(self, gy: float) -> Near:
        if self.expected is None:  # nothing is known of how far a prediction errs
            return Near(gy, 0.0, None, beyond_range=False)
        at, *curves = self.expected
        low, median, high = (float(np.interp(gy, at, curve)) for curve in curves)
        return Near(median, min(low, gy), max(high, gy), beyond_range=False)


def _told(request: Request, share: float) -> str:
    """Which part of the dose counted."""
    first, last = request.span or (0, 0)
    slices = [] if request.span is None else [f"slices {first} to {last}"]
    x0, y0, x1, y1 = request.box_mm or (0.0,) * 4
    box = [f"x {x0:g} to {x1:g}, y {y0:g} to {y1:g} mm"] if request.box_mm else []
    parts = " and ".join([*slices, *box])
    return f"Only {parts} of the query count: {share:.1%} of where dose is foreseen."


def expected_of(curve: Sequence[Sequence[float]] | None) -> Curve | None:
    """The curve that a recipe keeps as lists."""
    return None if curve is None else np.array(curve, dtype=np.float64)
