"""The plan view: past plans in the order of how near they are to the plan this anatomy would get.

A plan is a few doses per structure (`features.plan`), coded as symbols of `STEP_GY` each: the Lee
distance of two codes is the difference of their dose-volume histograms in those steps, exact but
for the rounding. The query's code is that of its predicted doses, a stored case's that of its plan.

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
from isohash.features.plan import with_unknown
from isohash.index.flat import distances
from isohash.records import Codes

STEP_GY = 0.8
SYMBOLS = 256  # Lee distance goes the shorter way round: right up to 128 steps, 102 Gy
CODE, KNOWN, PREDICTED = "plan.code", "plan.known", "plan.predicted"


@dataclass(frozen=True)
class DoseShare:
    """One structure's part of a plan distance: mean difference of the histograms in Gy.

    `known` is False where the stored case lacks the structure and the mean of the others stands in.
    """

    structure: str
    difference_gy: float
    known: bool


@dataclass(frozen=True)
class PlanRanked:
    """A case by its plan: `distance_gy` is the mean over `shares`, widest first."""

    case: int
    distance_gy: float
    shares: tuple[DoseShare, ...]


def plan_arrays(
    predicted: NDArray[np.float64] | None, planned: NDArray[np.float64] | None
) -> dict[str, NDArray[Any]]:
    """What an archive keeps: doses (structures, dose_volumes) in Gy, NaN where there is none.

    `predicted` asks, `planned` is found.
    """
    arrays: dict[str, NDArray[Any]] = {}
    if predicted is not None:
        arrays[PREDICTED] = predicted.astype(np.float16)
    if planned is not None and not np.isnan(planned).all():
        arrays[CODE] = _symbols(planned)[None].astype(np.uint8)
        arrays[KNOWN] = ~np.isnan(planned[None, :, 0])
    return arrays


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
        query, width = _symbols(predicted), predicted.shape[1]
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


def predicted_doses(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
    """The predicted doses of an entry, if its anatomy allows a prediction."""
    predicted = arrays.get(PREDICTED)
    return None if predicted is None else np.asarray(predicted, dtype=np.float64)


def _symbols(doses: NDArray[np.floating]) -> NDArray[np.uint8]:
    steps = np.rint(np.nan_to_num(doses) / STEP_GY)
    return np.clip(steps, 0, SYMBOLS - 1).astype(np.uint8)
