"""The answer to a query: ranked matches with their evidence, as records and as plain JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.retrieval.comparison import Level, Pair, Ranked, View, Weights
from isohash.retrieval.models import HashModel

PLAN_UNIT = (
    "Distance: mean difference in Gy between the dose-volume histograms that this anatomy would "
    "get and those of the case; in brackets what it does not have, with the mean of the others."
)
NEAR_UNIT = "1 is as far as an item of the archive typically has its 50th neighbour"


@dataclass(frozen=True)
class Near:
    """A code distance turned back into an embedding distance, with its 95 % interval.

    The unit is the distance at which an archive slice typically has its 50th nearest neighbour.
    Beyond the range of the code only `low` is known, and `high` is None.
    """

    estimate: float
    low: float
    high: float | None
    beyond_range: bool

    @property
    def text(self) -> str:
        """For people: the estimate with its interval."""
        if self.high is None:
            return f"beyond {self.low:.2f}"
        return f"{self.estimate:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Match:
    """One result. What `distance` means is told by the answer; `near` is per view, from codes.

    `tie` is the rank of the first result that this one cannot be told from, None where the order
    is certain.

    By plan, `distance` is in Gy (see `Answer.meaning`), `shares` says of which structures, and
    `interval` is the range of true differences seen at such a distance between past plans.
    """

    rank: int
    id: str
    distance: float
    interval: tuple[float, float]
    tie: int | None
    near: Mapping[View, Near]
    pairs: tuple[Pair, ...]
    facts: Mapping[str, Any]
    shares: tuple[DoseShare, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What was asked, and the matches, best first.

    `n_reranked` of the candidates that the codes chose were compared by their embeddings, and
    these rank the matches; 0 says that codes alone rank them. `linear` says whether the codes
    estimate distances, which are then told in the same unit.
    """

    query: str
    level: Level
    weights: Weights
    n_considered: int
    n_excluded: int
    n_reranked: int
    linear: bool
    matches: tuple[Match, ...]
    warnings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.matches)

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    @property
    def ids(self) -> list[str]:
        """Ids of the matches, best first."""
        return [match.id for match in self.matches]

    @property
    def distances(self) -> list[float]:
        """Distances of the matches, ascending."""
        return [match.distance for match in self.matches]

    @property
    def by(self) -> str:
        """`ct`, `dose`, `joint` or `plan`; `vector` for plain vectors."""
        return "joint" if len(self.weights) > 1 else next(iter(self.weights))

    @property
    def ranked_by(self) -> str:
        """The stage that decided the order: `embeddings` or `codes`."""
        return "embeddings" if self.n_reranked else "codes"

    @property
    def meaning(self) -> str:
        """What the distances are, in one sentence for people."""
        if self.by == "plan":
            return PLAN_UNIT
        if self.n_reranked:
            return (
                f"Distance: between embeddings, exact, of the {self.n_reranked} nearest by code; "
                f"{NEAR_UNIT}."
            )
        if self.linear:
            return f"Distance: between embeddings, as the codes tell it; {NEAR_UNIT}."
        return "Distance: share of the code's symbols that differ."

    @property
    def summary(self) -> str:
        """One sentence for people."""
        if self.by == "vector":
            return f"{len(self.matches)} nearest of {self.n_considered} vectors"
        how = {
            "ct": "CT",
            "dose": "dose",
            "joint": "CT and dose",
            "plan": "the plan that the anatomy would get",
        }[self.by]
        alpha = f" (alpha {self.weights['ct']:g})" if self.by == "joint" else ""
        excluded = f", {self.n_excluded} left out" if self.n_excluded else ""
        return (
            f"{len(self.matches)} nearest of {self.n_considered} cases by {how}{alpha}, "
            f"compared {'slice by slice' if self.level == 'slice' else 'as whole cases'}{excluded}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        told = {"by": self.by, "ranked_by": self.ranked_by, "meaning": self.meaning}
        return {**asdict(self), **told}


def matches_of(
    ranked: Sequence[Ranked],
    named: Callable[[int], tuple[str, Mapping[str, Any]]],
    weights: Weights,
    models: Mapping[View, HashModel],
    exact: bool,
) -> tuple[Match, ...]:
    """Ranked cases, best first, with id and facts (`named`), intervals, estimates and ties.

    `exact` distances are intervals of no width.
    """
    matches: list[Match] = []
    for rank, one in enumerate(ranked, start=1):
        near, interval = _calibrated(one, weights, models)
        if exact:
            interval = (one.distance, one.distance)
        case_id, facts = named(one.case)
        match = Match(rank, case_id, one.distance, interval, None, near, one.pairs, facts)
        matches.append(match)
    return _with_ties(matches)


def _with_ties(matches: Sequence[Match]) -> tuple[Match, ...]:
    """Results are tied as long as they lie within the interval of the first of their group."""
    firsts: list[int] = []
    for match in matches:
        tied = bool(firsts) and match.distance <= _farthest(matches[firsts[-1]])
        firsts.append(firsts[-1] if tied else match.rank - 1)
    shared = {first for first in firsts if firsts.count(first) > 1}
    pairs = zip(matches, firsts, strict=True)
    return tuple(replace(m, tie=f + 1) if f in shared else m for m, f in pairs)


def _farthest(match: Match) -> float:
    """The largest distance that cannot be told from a result's own."""
    unseen = match.interval[0] < match.interval[1]
    if unseen and all(near.beyond_range for near in match.near.values()):
        return math.inf
    return match.interval[1]


def _calibrated(
    one: Ranked, weights: Weights, models: Mapping[View, HashModel]
) -> tuple[dict[View, Near], tuple[float, float]]:
    """Embedding distances by view, as the codes tell them, and the interval of their sum."""
    near, low, high = {}, 0.0, 0.0
    for view, weight in weights.items():
        counts = [pair.counts[view] for pair in one.pairs]
        near[view], ends = _of_view(models[view], np.array(counts, dtype=np.float64))
        low += weight * ends[0]
        high += weight * ends[1]
    return near, (low, high)


def _of_view(model: HashModel, counts: NDArray[np.float64]) -> tuple[Near, tuple[float, float]]:
    """The mean embedding distance of pairs with its interval, and that as code distances again.

    Where codes estimate the distance itself, estimates and intervals are those of the pairs on
    average, as if all erred together; a count of symbols is averaged before it is looked up.
    """
    distance = float(model.measured(counts).mean())
    found = model.calibration.estimate(counts if model.linear else [model.counted(distance)])
    beyond = bool(found.beyond_range.mean() > 0.5)
    within = np.where(found.beyond_range, found.estimate, found.high)
    estimate, low = float(found.estimate.mean()), float(found.low.mean())
    high = math.inf if beyond else float(within.mean())
    ends = model.measured(model.calibration.code_distance([low, high]))
    interval = (min(distance, float(ends[0])), max(distance, float(ends[1])))
    unit = model.near
    told = Near(estimate / unit, low / unit, None if beyond else high / unit, beyond)
    return told, interval


VIEW_NAMES = {"ct": "CT", "dose": "dose", "plan": "plan", "vector": "Euclidean"}


def tie_text(answer: Answer, match: Match) -> str:
    """The ranks among which the order is not certain, such as 2-4."""
    tied = [other.rank for other in answer.matches if other.tie and other.tie == match.tie]
    return f"{tied[0]}-{tied[-1]}" if tied else ""


def shares_text(shares: Sequence[DoseShare]) -> str:
    """Structures with their difference in Gy; in brackets where a mean stands in."""
    told = [f"{share.structure} {share.difference_gy:.1f}" for share in shares]
    return ", ".join(
        text if share.known else f"({text})" for text, share in zip(told, shares, strict=True)
    )


@dataclass(frozen=True)
class DoseShare:
    """One structure's part of a plan distance: mean difference of the histograms in Gy.

    `known` is False where the stored case lacks the structure and the mean of the others stands in.
    """

    structure: str
    difference_gy: float
    known: bool
