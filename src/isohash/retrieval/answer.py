"""The answer to a query: ranked matches with their evidence, as records and as plain JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isohash.retrieval.likeness import Unlike
from isohash.retrieval.ranked import DoseShare, Pair
from isohash.retrieval.request import Level, Weights


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
    is certain. `interval` holds the true distance in 95 % of answers; both ends are the distance
    where that is exact.

    By plan, `distance` is in Gy (see `Answer.meaning`), `shares` says of which structures, and
    `interval` is the range of true differences seen at such a distance between past plans.

    Example:
        >>> import isohash, numpy as np, tempfile
        >>> rows = np.random.default_rng(0).standard_normal((200, 16))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = isohash.build_archive(rows, f"{folder}/archive", bits=64)
        ...     with isohash.Archive.open(f"{folder}/archive") as archive:
        ...         match = archive.query(rows[7], k=1).matches[0]
        >>> match.rank, match.id, match.distance
        (1, 'array:7', 0.0)
    """

    rank: int
    id: str
    distance: float
    interval: tuple[float, float]
    tie: int | None
    near: Mapping[str, Near]
    pairs: tuple[Pair, ...]
    facts: Mapping[str, Any]
    shares: tuple[DoseShare, ...] = ()

    @property
    def covered(self) -> float | None:
        """How much of the query's length (mm) its matched slices span, 0..1.

        0 says that many slices were matched with one and the same; None for single slices.
        """
        asked, found = (
            np.ptp([getattr(pair, name) for pair in self.pairs]) if self.pairs else 0.0
            for name in ("query_z_mm", "z_mm")
        )
        return min(1.0, float(found / asked)) if asked > 0 else None


@dataclass(frozen=True)
class Answer:
    """What was asked, and the matches, best first.

    `by` is the way that answered: "ct", "dose", "joint" or "plan" of cases, "vector" of vectors,
    `weights` those of its views and `labels` their names for people. `meaning` says in one sentence
    what the distances are, `what` which items were compared and how.

    `n_reranked` of the candidates that the codes chose were compared by their embeddings, and
    these rank the matches; 0 says that codes alone rank them. `unlike` says that the query
    is unlike what the archive holds, and how much; None where it is not. `linear` says whether the
    codes estimate distances, which are then told in the same unit.

    Example:
        >>> import isohash, numpy as np, tempfile
        >>> rows = np.random.default_rng(0).standard_normal((200, 16))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = isohash.build_archive(rows, f"{folder}/archive", bits=64)
        ...     with isohash.Archive.open(f"{folder}/archive") as archive:
        ...         answer = archive.query(rows[7], k=3)
        >>> answer.summary, answer.ranked_by, answer.ids[0]
        ('3 nearest of 200 vectors', 'embeddings', 'array:7')
    """

    query: str
    by: str
    level: Level
    weights: Weights
    labels: Mapping[str, str]
    n_considered: int
    n_excluded: int
    n_reranked: int
    linear: bool
    what: str
    meaning: str
    matches: tuple[Match, ...]
    warnings: tuple[str, ...]
    unlike: Unlike | None = None

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
    def ranked_by(self) -> str:
        """The stage that decided the order: `embeddings` or `codes`."""
        return "embeddings" if self.n_reranked else "codes"

    @property
    def summary(self) -> str:
        """One sentence for people."""
        excluded = f", {self.n_excluded} left out" if self.n_excluded else ""
        return f"{len(self.matches)} nearest of {self.n_considered} {self.what}{excluded}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        plain = asdict(self)
        for told, match in zip(plain["matches"], self.matches, strict=True):
            told["covered"] = match.covered
        return {**plain, "ranked_by": self.ranked_by}


def covered_text(match: Match) -> str:
    """How many slices are matched, and how much of the query's length they span."""
    spans = "" if match.covered is None else f", {match.covered:.0%} of the length"
    return f"{len({pair.slice for pair in match.pairs})} of {len(match.pairs)}{spans}"


def distance_text(answer: Answer, match: Match) -> str:
    """The distance; by code with its interval, while exact ones need none."""
    if answer.n_reranked:
        return f"{match.distance:.4f}"
    low, high = match.interval
    return f"{match.distance:.4f} [{low:.4f}, {high:.4f}]"


def distance_header(answer: Answer) -> str:
    """What `distance_text` tells."""
    return "distance" if answer.n_reranked else "distance [95 % interval]"


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
