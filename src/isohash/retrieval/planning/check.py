"""A finished plan against what its anatomy would get: what is worse than past plans show possible.

Every objective is compared with its band. The alarm looks at all of them at once: how far the worst
lies beyond what was foreseen, in half widths at 90 %, against the same of past plans, each judged
by a prediction that had not seen it. So an alarm at 5 % is wrong for 5 % of plans like the past
ones (conformal p-value; Vovk et al. 2005), however many structures there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.comparison import DoseComparison
from isohash.dosimetry.objectives import metric_names
from isohash.errors import InputError
from isohash.features.encoders.dose_calibration import DoseCalibration
from isohash.retrieval.dose_arrays import METRICS, OWN_PLANNED, KeptDose
from isohash.retrieval.entry import Entry
from isohash.retrieval.items import Items
from isohash.retrieval.likeness import Unlike
from isohash.retrieval.planning.compare import Side, against_foreseen, side_of
from isohash.retrieval.planning.past import Neighbour, more_is_better, nearest_plans
from isohash.retrieval.planning.proposal import USE, Objective, Proposal
from isohash.retrieval.planning.propose import propose

ALARM = 0.05  # share of past plans at least as bad, up to which a plan is told of
SHOWN = 3  # past patients who show that less was possible

Doses = NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """One objective of a finished plan: what was planned, foreseen, and its band at 68 and 90 %.

    `excess` is how much worse it is than foreseen, in half widths at 90 %: above 1 is outside.
    `shown_by` are similar past patients who show that better is possible, and the Gy that they got.
    """

    structure: str
    metric: str
    planned_gy: float
    foreseen_gy: float
    low_68: float
    high_68: float
    low_90: float
    high_90: float
    excess: float
    verdict: str
    shown_by: tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class Check:
    """What a finished plan shows against its anatomy's bands. Research, not for treatment.

    `share_as_bad` is the share of past plans whose worst objective is at least as far beyond what
    was foreseen; `alarm` says that it is at most `ALARM`. `findings` begin with the worst.
    """

    query: str
    findings: tuple[Finding, ...]
    worst: float
    share_as_bad: float
    alarm: bool
    compared_with: int
    proposal: Proposal
    side: Side
    planned: Mapping[str, Doses]  # Gy at the volumes of the proposal's bands

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the comparison doubtful."""
        return self.proposal.warnings

    @property
    def unlike(self) -> Unlike | None:
        """As that of the proposal."""
        return self.proposal.unlike

    @cached_property
    def comparison(self) -> DoseComparison:
        """The plan against the foreseen dose: gamma, difference, D and V, conformity."""
        return against_foreseen(self.side, self.proposal)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "use": USE,
            "query": self.query,
            "alarm": self.alarm,
            "worst": self.worst,
            "share_as_bad": self.share_as_bad,
            "compared_with": self.compared_with,
            "findings": [asdict(one) for one in self.findings],
            "unlike": None if self.unlike is None else asdict(self.unlike),
            "warnings": list(self.warnings),
        }


def check(
    items: Items, case: Any, prescription_gy: float | None = None, pictures: bool = False
) -> Check:
    """A case with a dose against what its anatomy would get; InputError where that is unknown."""
    side = side_of(items, case, prescription_gy, pictures)
    query, proposal = side.entry, propose(items, side.entry)
    view = items.pipeline.dose
    calibration = None if view is None else view.calibration
    if calibration is None or proposal.method != "model":
        raise InputError(f"{query.id} cannot be checked: the archive has too few plans for bands")
    kept = KeptDose(query.arrays)
    histograms, planned = _planned(query, kept)
    nearest = nearest_plans(items, query)
    findings = [
        _finding(one, planned[one.structure], nearest)
        for one in proposal.objectives
        if not np.isnan(planned[one.structure]).all()
    ]
    if not findings:
        raise InputError(f"{query.id} cannot be checked: it has no dose in a known structure")
    findings.sort(key=lambda one: -one.excess)
    past = past_worst(items, query, calibration)
    share = share_as_bad(findings[0].excess, past)
    worst = findings[0].excess
    return Check(
        query.id, tuple(findings), worst, share, share <= ALARM, len(past), proposal, side,
        histograms,
    )  # fmt: skip


def share_as_bad(worst: float, past: Doses) -> float:
    """The share of past plans (n,) as bad as a new one, which counts too: 1 / (n + 1) or more."""
    return float((1 + (past >= worst).sum()) / (len(past) + 1))


def past_worst(items: Items, query: Entry, calibration: DoseCalibration) -> Doses:
    """The largest excess of each past plan of other patients, (n,)."""
    found = items.store.gather(METRICS)
    others = np.flatnonzero(~items.own(query)[found.case])
    told, true = np.asarray(found.array[others], dtype=np.float64).transpose(1, 0, 2, 3)
    return worst_excess(told, true, calibration)


def worst_excess(told: Doses, true: Doses, calibration: DoseCalibration) -> Doses:
    """The largest excess (n,) of objectives foretold and planned, (n, structures, 3) each."""
    names = calibration.structures
    half = np.array([calibration.metric_half_widths(name)[1] for name in names])
    sign = np.ones(half.shape)
    for s, name in enumerate(names):
        for at, metric in enumerate(metric_names(name)):
            sign[s, at] = -1.0 if more_is_better(name, metric) else 1.0
    excess = sign * (true - told) / half
    some = ~np.isnan(excess).all(axis=(1, 2))
    worst: Doses = np.nanmax(excess[some], axis=(1, 2))
    return worst


def _planned(query: Entry, kept: KeptDose) -> tuple[Mapping[str, Doses], Mapping[str, Doses]]:
    """The planned histogram and objectives of each structure; InputError without a plan."""
    rows = query.arrays.get(OWN_PLANNED)
    if rows is None:
        rows = query.arrays.get("own.planned")
    if rows is None:
        raise InputError(f"{query.id} cannot be checked: it has no dose")
    doses = np.asarray(rows, dtype=np.float64)
    histograms, metrics = (
        dict(zip(kept.structures, part, strict=True)) for part in (doses[:, :-3], doses[:, -3:])
    )
    return histograms, metrics


def _finding(one: Objective, planned: Doses, nearest: Sequence[Neighbour]) -> Finding:
    at = metric_names(one.structure).index(one.metric)
    gy, more = float(planned[at]), more_is_better(one.structure, one.metric)
    half = one.high_90 - one.gy
    excess = (one.gy - gy if more else gy - one.gy) / half if half > 0 else 0.0
    outside = gy > one.high_90 or gy < one.low_90
    word = "more" if gy > one.gy else "less"
    verdict = f"{word} than foreseen" if outside else "as foreseen"
    shown = _shown_by(one, at, gy, nearest) if excess > 1.0 else ()
    return Finding(
        one.structure, one.metric, gy, one.gy, one.low_68, one.high_68, one.low_90, one.high_90,
        float(excess), verdict, shown,
    )  # fmt: skip


def _shown_by(
    one: Objective, at: int, planned_gy: float, nearest: Sequence[Neighbour]
) -> tuple[tuple[str, float], ...]:
    """Similar past patients who got better, the nearest first."""
    found = []
    for past in nearest:
        own = past.kept.own(planned=True)
        if own is not None and one.structure in past.kept.structures:
            gy = float(own[1][past.kept.structures.index(one.structure), at])
            better = (
                gy > planned_gy if more_is_better(one.structure, one.metric) else gy < planned_gy
            )
            found += [(past.told.id, gy)] if better else []
    return tuple(found[:SHOWN])
