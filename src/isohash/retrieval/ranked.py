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
class Covered:
    """How much of two lengths is matched, 0..1: of the query's and of the stored case's.

    Slices matched with one and the same count once; the rest of their length has no counterpart.
    """

    query: float
    case: float


@dataclass(frozen=True)
class DoseShare:
    """One structure's part of a plan distance: mean difference of the histograms in Gy.

    `known` is False where the stored case lacks the structure and the mean of the others stands in;
    `weight` is what it counts.
    """

    structure: str
    difference_gy: float
    known: bool
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked: the k nearest of the `allowed` (n_cases,) cases of the archive.

    For level "slice" the nearest slices, to the query's slice `query_slice` (None: its middle one).
    Cases that cover less than the share `covered` of the query's length are passed over.
    """

    weights: Weights
    k: int
    allowed: NDArray[np.bool_]
    level: Level = "case"
    query_slice: int | None = None
    covered: float = 0.0


@dataclass(frozen=True)
class Ranked:
    """An item (or a slice of it) in the order of an answer, with what its distance is made of.

    By plan, `distance` is the mean over its `shares`, by their weights. By images it is the mean
    over the query's slices of how far they are from their counterparts, and what is not `covered`
    (None of a single slice) adds to it; `pairs` are the slices that have one.
    """

    case: int
    distance: float
    pairs: tuple[Pair, ...] = ()
    shares: tuple[DoseShare, ...] = ()
    covered: Covered | None = None
