"""The answer to a query: ranked matches with their evidence, as records and as plain JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isohash.apps.pipeline import HashModel
from isohash.apps.retrieval import Level, Pair, Ranked, View, Weights


@dataclass(frozen=True)
class Near:
    """A code distance turned back into an embedding distance, with its 95 % interval.

    The unit is the distance at which an archive slice typically has its 50th nearest neighbour.
    Beyond the range of the code only `low` is known.
    """

    estimate: float
    low: float
    high: float
    beyond_range: bool

    @property
    def text(self) -> str:
        """For people: the estimate with its interval."""
        if self.beyond_range:
            return f"beyond {self.low:.2f}"
        return f"{self.estimate:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Match:
    """One result. `distance` is the share of differing symbols; `near` is per view."""

    rank: int
    id: str
    distance: float
    interval: tuple[float, float]
    near: Mapping[View, Near]
    pairs: tuple[Pair, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What was asked, and the matches, best first."""

    query: str
    level: Level
    weights: Weights
    n_considered: int
    n_excluded: int
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
        """`ct`, `dose` or `joint`; `vector` for plain vectors."""
        return "joint" if len(self.weights) > 1 else next(iter(self.weights))

    @property
    def summary(self) -> str:
        """One sentence for people."""
        if self.by == "vector":
            return f"{len(self.matches)} nearest of {self.n_considered} vectors"
        how = {"ct": "CT", "dose": "dose", "joint": "CT and dose"}[self.by]
        alpha = f" (alpha {self.weights['ct']:g})" if self.by == "joint" else ""
        excluded = f", {self.n_excluded} left out" if self.n_excluded else ""
        return (
            f"{len(self.matches)} nearest of {self.n_considered} cases by {how}{alpha}, "
            f"compared {'slice by slice' if self.level == 'slice' else 'as whole cases'}{excluded}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {**asdict(self), "by": self.by}


def match_of(
    rank: int,
    ranked: Ranked,
    case_id: str,
    facts: Mapping[str, Any],
    weights: Weights,
    models: Mapping[View, HashModel],
) -> Match:
    """Attach intervals and calibrated distances to a ranked case."""
    near, low, high = {}, 0.0, 0.0
    for view, weight in weights.items():
        model = models[view]
        near[view], ends = _calibrated(model, ranked.counts[view] / len(ranked.pairs))
        low += weight * ends[0] / model.length
        high += weight * ends[1] / model.length
    return Match(rank, case_id, ranked.distance, (low, high), near, ranked.pairs, facts)


def _calibrated(model: HashModel, code_distance: float) -> tuple[Near, tuple[float, float]]:
    """The embedding distance with its interval, and that interval as code distances again."""
    table = model.calibration
    found = table.estimate(np.array([code_distance]))
    estimate, low, high = (float(x[0]) for x in (found.estimate, found.low, found.high))
    ends = np.interp([low, high], table.estimates, table.distances)
    interval = (min(code_distance, float(ends[0])), max(code_distance, float(ends[1])))
    unit = model.near
    return Near(estimate / unit, low / unit, high / unit, bool(found.beyond_range[0])), interval
