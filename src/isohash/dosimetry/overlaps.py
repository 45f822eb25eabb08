"""How the closed contours of one plane belong together.

Contours within one another are holes and islands, which the even-odd rule tells. But a contour that
was written twice is no hole, and two contours that cut across each other are one region: the
even-odd rule would empty what they share. So copies are dropped and partial overlaps are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.scanlines import Lines, Ring, crossings, hits

SAME_MM = 0.15  # mean distance between two contours that are one, written with other corners
SLIVER_MM = 0.1  # mean depth by which a contour may lie across another and still be in or out of it
SLIVER = 0.01  # and share of its area
HOLE = 0.25  # what sticks out of a contour by more of what it leaves within is no hole in it
NEAR_MM = 1.0  # largest difference between the bounding boxes of two such contours
N_LINES = 128  # on which the areas of a pair are measured
LINE_MM, FEWEST_LINES, MOST_LINES = 0.5, 64, 1024  # on which pairs are looked for
FEW_PAIRS = 8  # that meet in one plane: all of them are looked at
MOST_PAIRS = 20_000  # of one plane that are looked at: a hostile file may hold millions


@dataclass(frozen=True, eq=False)
class Settled:
    """Rings (n, 2) in mm of one plane, and for each its group: groups are unions, even-odd between.

    `copies` counts rings that were dropped, `across` pairs that overlap in part.
    """

    rings: tuple[Ring, ...]
    groups: tuple[int, ...]
    copies: int = 0
    across: int = 0


def settle(rings: Sequence[Ring]) -> Settled:
    """Drop copies, join what overlaps in part, and leave holes and islands to the even-odd rule."""
    group, dropped, across = list(range(len(rings))), set(), 0
    for i, j in _suspects(rings):
        if i in dropped or j in dropped:
            continue
        relation = _relation(rings[i], rings[j])
        if relation == "same":
            dropped.add(j)
        elif relation == "across":
            across += 1
            old, new = group[j], group[i]
            group = [new if number == old else number for number in group]
    kept = [at for at in range(len(rings)) if at not in dropped]
    return Settled(
        tuple(rings[at] for at in kept), tuple(group[at] for at in kept), len(dropped), across
    )


def _suspects(rings: Sequence[Ring]) -> list[tuple[int, int]]:
    """Pairs, the earlier ring first, that may be neither one within the other nor apart."""
    if len(rings) == 1:
        return []
    boxes = np.array([_box(ring) for ring in rings])
    low, high = boxes[:, :2], boxes[:, 2:]
    alike: list[tuple[int, int]] = []
    meeting: list[tuple[int, int]] = []
    for i in range(len(rings) - 1):
        meets = ((low[i] <= high[i + 1 :]) & (low[i + 1 :] <= high[i])).all(axis=1)
        near = np.abs(boxes[i] - boxes[i + 1 :]).max(axis=1) < NEAR_MM
        alike += [(i, i + 1 + int(j)) for j in np.flatnonzero(near)][:MOST_PAIRS]
        if len(meeting) <= FEW_PAIRS:
            meeting += [(i, i + 1 + int(j)) for j in np.flatnonzero(meets)]
    if len(meeting) <= FEW_PAIRS:
        return meeting
    turned = [ring[:, ::-1] for ring in rings]  # what lies across only along the other axis
    cutting = _cutting(rings, low[:, 0].min(), high[:, 0].max())
    cutting |= _cutting(turned, low[:, 1].min(), high[:, 1].max())
    return sorted({*alike[:MOST_PAIRS], *cutting})[:MOST_PAIRS]


def _cutting(rings: Sequence[Ring], low: float, high: float) -> set[tuple[int, int]]:
    """Pairs of which, on some line of one row, one begins within the other and ends outside.

    Along a line spans that lie within one another close like brackets: of the crossings at one
    depth every second ends what the one before began.
    """
    count = int(np.clip((high - low) / LINE_MM, FEWEST_LINES, MOST_LINES))
    lines = Lines.through(low, high, count)
    line, column, owner = hits(rings, lines)
    order = np.lexsort((column, line, owner))
    line, column, owner = line[order], column[order], owner[order]
    turn = 1 - 2 * (np.arange(len(line)) % 2)  # each ring begins and ends on each line in turn
    order = np.lexsort((owner, column, line))
    line, owner, turn = line[order], owner[order], turn[order]
    depth = np.cumsum(turn) + (turn < 0)
    order = np.lexsort((np.arange(len(line)), depth, line))
    first, second = owner[order][::2], owner[order][1::2]
    other = first != second
    pairs = np.unique(np.sort(np.stack([first[other], second[other]], axis=1), axis=1), axis=0)
    return {(int(i), int(j)) for i, j in pairs[:MOST_PAIRS]}


def _relation(a: Ring, b: Ring) -> str:
    """Whether two rings are the `same`, lie `across` each other, or are `clear`: in or out."""
    small, large = sorted((a, b), key=_extent)
    if np.abs(_box(a) - _box(b)).max() < NEAR_MM:
        lines = Lines.through(*_span(np.vstack([a, b])), N_LINES)
        differ = crossings([a, b], lines).area(lines)
        if differ < SAME_MM * 0.5 * (_length(a) + _length(b)):
            return "same"
    lines = Lines.through(*_span(small), N_LINES)
    own = crossings([small], lines).area(lines)
    theirs, differ = (crossings(rings, lines).area(lines) for rings in ([large], [small, large]))
    shared = 0.5 * (own + theirs - differ)
    sliver = max(SLIVER * own, SLIVER_MM * _length(small))
    if shared <= sliver:
        return "clear"
    left = max(theirs - shared, sliver)
    return "across" if own - shared > min(sliver, HOLE * left) else "clear"


def _box(ring: Ring) -> NDArray[np.float64]:
    return np.concatenate([ring.min(axis=0), ring.max(axis=0)])


def _extent(ring: Ring) -> float:
    return float(np.prod(np.ptp(ring, axis=0)))


def _span(ring: Ring) -> tuple[float, float]:
    """From the lowest to the highest row; never of no height."""
    low, high = float(ring[:, 0].min()), float(ring[:, 0].max())
    return (low, high) if high > low else (low, low + 1e-6)


def _length(ring: Ring) -> float:
    return float(np.linalg.norm(np.roll(ring, -1, axis=0) - ring, axis=1).sum())
