"""A query's predicted doses against all stored plans, structure by structure, by their codes.

A structure of the query that a stored case does not have counts with the mean difference which it
shows to those that have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isohash.archive.store import CaseStore
from isohash.dosimetry.plan_distance import Doses, differences, with_unknown
from isohash.index.flat import distances
from isohash.records import Codes
from isohash.retrieval.plan_code import CODE, KNOWN, STEP_GY, SYMBOLS, plan_symbols
from isohash.retrieval.ranked import DoseShare, Ranked

IGNORED = "ignored"


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
    """A query's predicted doses against all stored plans: differences (structures, n) in Gy.

    `weight` (structures,) is what each counts, None where all count the same.
    """

    structures: tuple[str, ...]
    difference_gy: NDArray[np.float64]
    known: NDArray[np.bool_]
    case: NDArray[np.int64]
    weight: NDArray[np.float64] | None = None

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
        if self.weight is None:
            return self.shares_gy.mean(axis=0)
        return np.asarray(self.weight @ self.shares_gy / self.weight.sum())

    @property
    def shared_gy(self) -> NDArray[np.float64]:
        """(n,): the same over the structures that both have."""
        apart = np.where(self.known, self.difference_gy, 0.0)
        if self.weight is None:
            return np.asarray(apart.sum(axis=0) / np.maximum(1, self.known.sum(axis=0)))
        weights = self.weight @ self.known
        return np.asarray(self.weight @ apart / np.where(weights > 0, weights, 1.0))

    def weighted(self, weights: Mapping[str, float]) -> PlanComparison:
        """The same where structures count so much; one of weight 0 is as if the query had it not.

        `weights` names all structures, not all 0. Where those left count the same it is the plain
        distance of these.
        """
        given = np.array([weights[name] for name in self.structures], dtype=np.float64)
        kept = np.flatnonzero(given > 0)
        alike = bool((given[kept] == given[kept[0]]).all())
        return replace(
            self,
            structures=tuple(self.structures[s] for s in kept),
            difference_gy=self.difference_gy[kept],
            known=self.known[kept],
            weight=None if alike else given[kept],
        )

    def apart(self, cases: NDArray[np.int64]) -> NDArray[np.float64]:
        """Differences (m, structures) of some cases by position, NaN where there is no plan."""
        rows = np.flatnonzero(np.isin(self.case, cases))
        return np.where(self.known[:, rows], self.difference_gy[:, rows], np.nan).T

    @property
    def usual_gy(self) -> NDArray[np.float64]:
        """(structures,): the mean difference of the plans that have it, at least a step."""
        total = np.where(self.known, self.difference_gy, 0.0).sum(axis=1)
        return np.maximum(total / np.maximum(1, self.known.sum(axis=1)), STEP_GY)

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
        weights = np.ones(len(parts)) if self.weight is None else self.weight
        shares = tuple(
            DoseShare(
                self.structures[s], float(parts[s]), bool(self.known[s, at]), float(weights[s])
            )
            for s in np.argsort(-parts * weights, kind="stable").tolist()
        )
        return Ranked(int(self.case[at]), distance_gy, shares=shares)
