"""The evidence of a match by codes: distances in embedding units, intervals, and ties."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.retrieval.answer import Match, Near
from isohash.retrieval.models import HashModel
from isohash.retrieval.ranked import Ranked
from isohash.retrieval.request import Weights


def matches_of(
    ranked: Sequence[Ranked],
    named: Callable[[int], tuple[str, Mapping[str, Any]]],
    weights: Weights,
    models: Mapping[str, HashModel],
    exact: bool,
) -> tuple[Match, ...]:
    """Ranked cases, best first, with id and facts (`named`), intervals, estimates and ties.

    `exact` distances have no interval.
    """
    matches: list[Match] = []
    for rank, one in enumerate(ranked, start=1):
        near, interval = _calibrated(one, weights, models)
        case_id, facts = named(one.case)
        told = None if exact else interval
        match = Match(
            rank, case_id, one.distance, told, None, near, one.pairs, facts, lengths=one.covered
        )
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
    if match.interval is None:
        return match.distance
    if all(near.beyond_range for near in match.near.values()):
        return math.inf
    return match.interval[1]


def _calibrated(
    one: Ranked, weights: Weights, models: Mapping[str, HashModel]
) -> tuple[dict[str, Near], tuple[float, float]]:
    """Embedding distances by view, as the codes tell them, and the interval of the whole distance.

    What uncovered length adds to it is certain, and moves both ends.
    """
    near, low, high, of_pairs = {}, 0.0, 0.0, 0.0
    for view, weight in weights.items():
        counts = [pair.counts[view] for pair in one.pairs]
        near[view], ends = _of_view(models[view], np.array(counts, dtype=np.float64))
        of_pairs += weight * float(models[view].measured(counts).mean())
        low += weight * ends[0]
        high += weight * ends[1]
    beside = 0.0 if one.covered is None else one.distance - of_pairs
    return near, (max(0.0, low + beside), high + beside)


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
