"""The answer to a query: ranked matches with their evidence, as records and as plain JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from isohash.retrieval.likeness import Unlike
from isohash.retrieval.origin import Asked
from isohash.retrieval.ranked import Covered, DoseShare, Pair
from isohash.retrieval.request import Level, Weights

TIE_HEADER = "not told apart"
COVERED_HEADER = "slices of its own"
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
    is certain. `interval` holds the true distance in 95 % of answers; it is None where `distance`
    is exact: what is uncertain then is told by `Answer.uncertain`.

    `lengths` says how much of the query's and of the case's length is matched by `pairs`; what is
    not adds to the distance. None for single slices.

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
    interval: tuple[float, float] | None
    tie: int | None
    near: Mapping[str, Near]
    pairs: tuple[Pair, ...]
    facts: Mapping[str, Any]
    shares: tuple[DoseShare, ...] = ()
    lengths: Covered | None = None

    @property
    def covered(self) -> float | None:
        """How much of the query's length its matched slices cover, 0..1; None for single slices."""
        return None if self.lengths is None else self.lengths.query

    def to_json(self) -> dict[str, Any]:
        """Plain values; of the pairs, which are hundreds, without copying what is plain."""
        plain = asdict(replace(self, pairs=()))
        return {**plain, "pairs": [vars(pair) for pair in self.pairs], "covered": self.covered}


@dataclass(frozen=True)
class Answer:
    """What was asked, and the matches, best first.

    `by` is the way that answered: "ct", "dose", "joint" or "plan" of cases, "vector" of vectors,
    `weights` those of its views and `labels` their names for people. `meaning` says in one sentence
    what the distances are, `uncertain` what about them is not certain, `what` which items were
    compared and how; `explained` says what else is told of a match.

    `n_reranked` of the candidates that the codes chose were compared by their embeddings, and
    these rank the matches; 0 says that codes alone rank them. `unlike` says that the query
    is unlike what the archive holds, and how much; None where it is not. `linear` says whether the
    codes estimate distances, which are then told in the same unit. `asked` is the question and the
    state of what answered it, by which answers do not differ; `replay` in the JSON is the id by
    which `isohash replay` asks again.
    `refined` says, in sentences, what of the query counted, and how much, where the request refined
    it.

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
    uncertain: str
    matches: tuple[Match, ...]
    warnings: tuple[str, ...]
    unlike: Unlike | None = None
    asked: Asked | None = field(default=None, compare=False)
    refined: tuple[str, ...] = ()

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

    @property
    def explained(self) -> dict[str, str]:
        """What is told of each match beside its distance, a sentence each, by name of the field."""
        told = {}
        if self.near_views:
            told["near"] = f"the distance {_told_by_code(self)}; {NEAR_UNIT}"
        if any(match.tie for match in self.matches):
            told["tie"] = (
                "results whose order is not certain: what ranked them cannot tell them apart"
            )
        if self.level == "case" and any(match.covered is not None for match in self.matches):
            told["covered"] = (
                "how many different slices of the case stand for the query's, and how much of the "
                "query's length they span"
            )
        return told

    @property
    def in_gy(self) -> bool:
        """Whether distances are differences of dose: by plan, or by whole doses."""
        return self.by in ("plan", "map")

    @property
    def near_is_distance(self) -> bool:
        """Whether the one view's distance by code is the distance itself."""
        return self.linear and not self.n_reranked and len(self.weights) == 1

    @property
    def near_views(self) -> tuple[str, ...]:
        """The views whose distances by code are told beside the distance."""
        return () if self.in_gy or self.near_is_distance else tuple(self.weights)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        plain = asdict(replace(self, matches=()))
        plain["matches"] = [match.to_json() for match in self.matches]
        told = {**plain, "ranked_by": self.ranked_by, "explained": self.explained}
        return told if self.asked is None else {**told, "replay": self.asked.id_of(told)}


def _told_by_code(answer: Answer) -> str:
    """Of what the values of `Match.near` are."""
    alone = " of one kind of image alone" if len(answer.weights) > 1 else ""
    return f"{alone} as its code tells it, with the interval that holds 95 % of true ones".strip()


def covered_text(match: Match) -> str:
    """How many slices are matched, and how much of both lengths they cover."""
    told = f"{len({pair.slice for pair in match.pairs})} of {len(match.pairs)}"
    if match.lengths is None:
        return told
    return f"{told}, {match.lengths.query:.0%} of the query, {match.lengths.case:.0%} of the case"


def distance_text(answer: Answer, match: Match) -> str:
    """The distance; by code with its interval, while exact ones have none."""
    if match.interval is None:
        return f"{match.distance:.4f}"
    low, high = match.interval
    return f"{match.distance:.4f} [{low:.4f}, {high:.4f}]"


def distance_header(answer: Answer) -> str:
    """What `distance_text` tells."""
    return "distance" if answer.n_reranked else "distance [95 % interval]"


def near_header(answer: Answer, view: str) -> str:
    """The column of a view's values `near`."""
    told = f"{answer.labels[view]} alone" if len(answer.weights) > 1 else "as its code tells it"
    return f"{told} [95 % interval]"


def interval_text(match: Match) -> str:
    """The interval in Gy of a distance by plan."""
    return "" if match.interval is None else "{:.1f} to {:.1f}".format(*match.interval)


def headers(answer: Answer) -> dict[str, str]:
    """The columns of what `Answer.explained` explains."""
    near = ", ".join(near_header(answer, view) for view in answer.weights)
    return {"near": near, "tie": TIE_HEADER, "covered": COVERED_HEADER}


def tie_text(answer: Answer, match: Match) -> str:
    """The ranks among which the order is not certain, such as "ranks 2-4"."""
    tied = [other.rank for other in answer.matches if other.tie and other.tie == match.tie]
    return f"ranks {tied[0]}-{tied[-1]}" if tied else ""


def shares_text(shares: Sequence[DoseShare]) -> str:
    """Structures with their difference in Gy; in brackets where a mean stands in."""
    told = [f"{share.structure} {share.difference_gy:.1f}" for share in shares]
    return ", ".join(
        text if share.known else f"({text})" for text, share in zip(told, shares, strict=True)
    )
