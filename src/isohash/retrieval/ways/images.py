"""Cases by their images: codes of slices, aligned along the body, then exact embeddings.

Codes choose candidates; where the archive keeps embeddings, these order them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.retrieval.answer import NEAR_UNIT, Match
from isohash.retrieval.comparison import Comparison
from isohash.retrieval.dense import UNCOVERED
from isohash.retrieval.evidence import matches_of
from isohash.retrieval.likeness import RECONSTRUCTION
from isohash.retrieval.models import HashModel
from isohash.retrieval.ranked import Question, Ranked
from isohash.retrieval.refined import moved, told_marks
from isohash.retrieval.request import Level, Request, Weights
from isohash.retrieval.reranking import Embedded, n_candidates, rerank
from isohash.retrieval.ways.way import Mask, Ranking, meaningless

# Weight of CT against dose in a joint query: the most that costs no agreement with plans on the
# training patients (docs/validity.md).
DEFAULT_ALPHA = 0.25
COUNTS = "none, or none that counts: a body, a dose above 5 Gy"
UNMATCHED = (
    f" Slices without a counterpart add up to {UNCOVERED:g}, by their share of both lengths."
)
CANNOT_COVER = "those compared cover less of the query's length than --covered asks for"


@dataclass(frozen=True, eq=False)
class ImagesWay:
    """By single views, or by the archive's first two together ("joint").

    `items` is what the archive holds (`single`: of one sample each), `own` are the views that the
    query has, `compare` compares it with all items, `facts(i)` gives id and facts of an item,
    `error(view)` how badly the encoder gives the query back (None where that was not kept).
    """

    query: str
    items: str
    own: Sequence[str]
    labels: Mapping[str, str]
    models: Mapping[str, HashModel]
    compare: Callable[[], Comparison]
    embedded: Embedded | None
    single: bool
    facts: Callable[[int], tuple[str, Mapping[str, Any]]]
    positions: Callable[[Sequence[str]], NDArray[np.int64]]
    error: Callable[[str], float | None]

    @cached_property
    def comparison(self) -> Comparison:
        """Of the query's slices with all stored ones."""
        return self.compare()

    @property
    def kept_bytes(self) -> int:
        """What it keeps for the next question."""
        made = self.__dict__.get("comparison")
        return 0 if made is None else made.kept.n_bytes

    @property
    def names(self) -> tuple[str, ...]:
        """The views that the archive may have, and all of them together."""
        return (*self.labels, *(["joint"] if len(self.labels) > 1 else []))

    def why_not(self) -> str | None:
        """A query without any of the archive's views cannot be asked so."""
        if any(view in self.models for view in self.own):
            return None
        return f"case {self.query} has no {' and no '.join(self.models)} to compare ({COUNTS})"

    def missed(self) -> str | None:
        """Nobody need be told that images did not answer."""
        return None

    def refusal(self, request: Request) -> str | None:
        """What the archive or the query lacks, or the option that means nothing."""
        weights = self.weights(request)
        if unknown := [view for view in weights if view not in self.labels]:
            return f"weights are of {' and '.join(self.labels)}, not of {unknown[0]!r}"
        for view in weights:
            if view not in self.models:
                return f"the archive has no {view} codes; it can be asked by {self._others()}"
            if view not in self.own:
                both = " or ".join(one for one in self.own if one in self.models)
                step = f"ask by {both}" if both else f"the archive compares {self._others()} only"
                return f"case {self.query} has no {view} to compare ({COUNTS}); {step}"
        if request.alpha is not None and request.by not in (None, "joint"):
            return f"--alpha {request.alpha} means nothing for a query by {request.by} alone"
        if request.marked and len(weights) < 2 and request.by != "joint":
            by = next(iter(weights))
            return f"--good and --bad move weights of parts, and {by} has one; use --by joint"
        understood = ["weights", "level", "rerank", "good", "bad"]
        understood += ["alpha"] if len(self.labels) > 1 else []
        if request.level == "slice":
            return meaningless(request, [*understood, "slice"], "of single slices")
        understood += ["covered", "span"]
        return meaningless(request, understood, "of whole cases (--level slice takes one)")

    def weights(self, request: Request) -> Weights:
        """The weight of each view that takes part."""
        if request.weights is not None:
            given = request.weights
        elif (by := request.by or self._best(request)) == "joint":
            alpha = DEFAULT_ALPHA if request.alpha is None else request.alpha
            given = dict(zip(self.labels, (alpha, 1.0 - alpha), strict=True))
        else:
            given = {by: 1.0}
        return {view: float(weight) for view, weight in given.items() if weight > 0}

    def measures(self, others: Mask, ranking: Ranking | None = None) -> dict[str, float]:
        """By view, how near the nearest case can be, and how badly the encoder gives it back."""
        views = [v for v in self.own if v in self.models] if ranking is None else ranking.weights
        nearest = {f"nearest {v}": self.comparison.nearest_case(v, others) for v in views}
        errors = {f"{RECONSTRUCTION}{v}": self.error(v) for v in views}
        return nearest | {name: error for name, error in errors.items() if error is not None}

    def rank(self, request: Request, allowed: Mask) -> Ranking:
        """By code alone, or with candidates re-ranked by their embeddings."""
        level, given = _level(request), self.weights(request)
        comparison = self.comparison.within(request.span, tuple(given))
        weights = self._moved(comparison, given, request)
        covered = 0.0 if request.covered is None else float(request.covered)
        question = Question(weights, request.k, allowed, level, request.slice, covered)
        n = n_candidates(request.rerank, request.k, self.embedded is not None)
        if n and self.embedded is not None:
            found = rerank(comparison, question, n, self.embedded)
        else:
            found = comparison.rank(question)
        n_considered = int(allowed.sum())
        n_reranked = min(n, n_considered)
        linear = all(self.models[view].linear for view in weights)
        return Ranking(
            query=self.query,
            by="joint" if len(weights) > 1 else next(iter(weights)),
            level=level,
            weights=weights,
            labels={view: self.labels[view] for view in weights},
            found=found,
            n_considered=n_considered,
            n_reranked=n_reranked,
            linear=linear,
            what=self._what(weights, level),
            meaning=distance_meaning(n_reranked, linear) + self._unmatched(level),
            uncertain=uncertainty(n_reranked, n_considered),
            notes=_few(len(found), request, n_considered, level),
            refined=_told(request, comparison, given, weights),
        )

    def _moved(self, comparison: Comparison, weights: Weights, request: Request) -> Weights:
        """The weights of the views after marks, by the codes of the slices that are matched."""
        if not request.marked:
            return weights

        def apart(ids: Sequence[str]) -> NDArray[np.float64]:
            found = comparison.matched(weights, self.positions(ids).tolist())
            rows = [[self._mean(view, one) for view in weights] for one in found.values()]
            return np.array(rows, dtype=np.float64).reshape(-1, len(weights))

        usual = np.array([self.models[view].near_measured for view in weights])
        after = moved(weights, apart(request.good), apart(request.bad), usual)
        return dict(zip(weights, after, strict=True))

    def _mean(self, view: str, one: Ranked) -> float:
        """The mean distance of matched slices by one view."""
        return float(self.models[view].measured([pair.counts[view] for pair in one.pairs]).mean())

    def match(self, ranking: Ranking) -> tuple[Match, ...]:
        """With the matched slices and, by view, distances as the codes tell them."""
        exact = ranking.n_reranked > 0
        found = matches_of(ranking.found, self.facts, ranking.weights, self.models, exact)
        return tuple(replace(one, lengths=None) for one in found) if self.single else found

    def _unmatched(self, level: Level) -> str:
        return UNMATCHED if level == "case" and not self.single else ""

    def default_weights(self) -> Weights:
        """Those of a request that says nothing of views."""
        return self.weights(Request())

    def _best(self, request: Request) -> str:
        """Both views, or the one that query and archive share; alpha asks for both."""
        shared = [view for view in self.labels if view in self.models and view in self.own]
        single = len(shared) == 1 and request.alpha is None
        return shared[0] if single or len(self.labels) == 1 else "joint"

    def _others(self) -> str:
        return ", ".join(self.models)

    def _what(self, weights: Weights, level: Level) -> str:
        names = " and ".join(self.labels[view] for view in weights)
        first = next(iter(self.labels))
        alpha = f" (alpha {weights[first]:g})" if len(weights) > 1 else ""
        whole = "as whole cases" if len(self.labels) > 1 else "as wholes"
        how = "slice by slice" if level == "slice" else whole
        return f"{self.items} by {names}{alpha}, compared {how}"


def _level(request: Request) -> Level:
    return "slice" if request.level == "slice" else "case"


def distance_meaning(n_reranked: int, linear: bool) -> str:
    """What distances by codes, re-ranked or not, are: one sentence for people."""
    if n_reranked:
        return f"Distance: between embeddings, exact; {NEAR_UNIT}."
    if linear:
        return f"Distance: between embeddings, as the codes tell it; {NEAR_UNIT}."
    return "Distance: share of the code's symbols that differ."


def uncertainty(n_reranked: int, n_considered: int) -> str:
    """What about such distances is not certain: one sentence for people."""
    if not n_reranked:
        return "Uncertain: the distance, of which the interval holds 95 % of the true ones."
    if n_reranked < n_considered:
        return (
            "Uncertain: only whether codes left a nearer one out of the "
            f"{n_reranked} of {n_considered} that were compared exactly."
        )
    return f"Uncertain: nothing about these distances; all {n_considered} were compared exactly."


def _told(
    request: Request, comparison: Comparison, given: Weights, weights: Weights
) -> tuple[str, ...]:
    """What of the query counted, and what marks have moved."""
    told = []
    if comparison.part_only and request.span is not None:
        first, last = request.span
        told.append(
            f"Only slices {first} to {last} of the query count; what a case has beyond them costs "
            "nothing."
        )
    if request.marked:
        told.append(told_marks(given, weights, (len(request.good), len(request.bad))))
    return tuple(told)


def _few(n: int, request: Request, allowed: int, level: Level) -> tuple[str, ...]:
    if n == (k := request.k):
        return ()
    if request.covered:
        return (f"only {n} of the {k} results asked for: of the others, {CANNOT_COVER}",)
    if level == "case" and n == allowed:
        return (f"only {n} of the {k} results asked for: no more cases qualify",)
    return (f"only {n} of the {k} results asked for: the other cases have nothing comparable",)
