"""What a ranking is made of: the question, the ranked items and the evidence of distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.retrieval.request import Level, Weights


@dataclass(frozen=True)
class Pair:
    """One matched pair of slices: the evidence for a distance. `counts` are code distances."""

    query_slice: int
    slice: int
    query_z_mm: float
    z_mm: float
    counts: dict[str, int]
    distance: float


@dataclass(frozen=True)
class DoseShare:
    """One structure's part of a plan distance: mean difference of the histograms in Gy.

    `known` is False where the stored case lacks the structure and the mean of the others stands in.
    """

    structure: str
    difference_gy: float
    known: bool


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked: the k nearest of the `allowed` (n_cases,) cases of the archive.

    For level "slice" the nearest slices, to the query's slice `query_slice` (None: its middle one).
    """

    weights: Weights
    k: int
    allowed: NDArray[np.bool_]
    level: Level = "case"
    query_slice: int | None = None


@dataclass(frozen=True)
class Ranked:
    """An item (or a slice of it) in the order of an answer, with what its distance is made of.

    `distance` is the mean over its `pairs` of slices or, by plan, over its `shares`.
    """

    case: int
    distance: float
    pairs: tuple[Pair, ...] = ()
    shares: tuple[DoseShare, ...] = ()
