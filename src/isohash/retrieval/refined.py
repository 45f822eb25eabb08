"""What of a query counts: a span of its slices, a box, and cases marked as wanted or not.

Each refinement is a field of `Request`; here its values are checked, and what has moved is told.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError

Span = tuple[int, int]
Box = tuple[float, float, float, float]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Inside:
    """The part of a patient that counts: heights from `z_mm[0]` to `z_mm[1]`, and a box in x and y.

    None leaves an axis whole.
    """

    z_mm: tuple[float, float] | None = None
    box_mm: Box | None = None

    def holds(self, points: Numbers) -> NDArray[np.bool_]:
        """Which of the points (n, 3), x y z in patient mm, lie inside."""
        x, y, z = points.T
        inside = np.ones(len(points), dtype=bool)
        if self.z_mm is not None:
            inside &= (z >= self.z_mm[0]) & (z <= self.z_mm[1])
        if self.box_mm is not None:
            x0, y0, x1, y1 = self.box_mm
            inside &= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        return inside


def check_span(span: Any) -> None:
    """InputError unless it is None or two places of slices, the first no later than the last."""
    if span is None:
        return
    try:
        first, last = map(operator.index, span)
    except (TypeError, ValueError):
        raise InputError(f"--span must be two slices, such as 20 40; got {span!r}") from None
    if not 0 <= first <= last:
        raise InputError(f"--span must go up from 0 or more, got {first} to {last}")


def check_box(box: Any) -> None:
    """InputError unless it is None or two corners that span an area, in mm."""
    if box is None:
        return
    try:
        x0, y0, x1, y1 = map(float, box)
    except (TypeError, ValueError):
        raise InputError(f"--box must be four numbers, x0 y0 x1 y1 in mm; got {box!r}") from None
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or x0 >= x1 or y0 >= y1:
        raise InputError(f"--box must go up in x and in y, got {x0:g} {y0:g} to {x1:g} {y1:g} mm")


def check_marks(good: Any, bad: Any) -> None:
    """InputError unless both are lists of ids that have none in common."""
    for name, ids in (("--good", good), ("--bad", bad)):
        if isinstance(ids, str) or not isinstance(ids, Sequence):
            raise InputError(f"{name} must be a list of ids, got {ids!r}")
        if not all(isinstance(one, str) and one for one in ids):
            raise InputError(f"{name} must be a list of ids, got {list(ids)!r}")
    if both := sorted(set(good) & set(bad)):
        raise InputError(f"{both[0]} is marked as good and as bad: take one of the marks back")


def named_weights(texts: Sequence[str]) -> dict[str, float] | None:
    """Weights of structures from texts such as "Brainstem=3"; None of no text.

    Example:
        >>> named_weights(["Brainstem=3", "Parotid_L=0"])
        {'Brainstem': 3.0, 'Parotid_L': 0.0}
    """
    weights: dict[str, float] = {}
    for text in texts:
        name, _, weight = text.rpartition("=")
        try:
            weights[name] = float(weight)
        except ValueError:
            name = ""
        if not name:
            raise InputError(f"--structure must be NAME=WEIGHT, such as Brainstem=3; got {text!r}")
    return weights or None


def moved(weights: Mapping[str, float], good: Numbers, bad: Numbers, usual: Numbers) -> list[float]:
    """Weights of the parts of a distance after marks, with the sum that they had before.

    A part in which the wanted are near and the unwanted far gets more. With only wanted cases the
    weight that fits them best is inverse to the root of their mean distance by that part (Rui and
    Huang 2000, Optimizing learning in image retrieval); the unwanted count the other way round. One
    case at the usual distance is thought added to either side, so that no mark moves nothing, few
    marks move little, and a mark taken back leaves no trace.

    Args:
        weights: the weight of each part before.
        good: distances (n, parts) of the wanted from the query, part by part, NaN where unknown.
        bad: the same of the unwanted.
        usual: (parts,) a usual distance by each part, above 0.

    Example:
        >>> near, far, usual = np.array([[0.0, 1.0]]), np.empty((0, 2)), np.ones(2)
        >>> [round(one, 3) for one in moved({"ct": 0.5, "dose": 0.5}, near, far, usual)]
        [0.586, 0.414]
    """
    before = np.array(list(weights.values()), dtype=np.float64)
    if not len(good) and not len(bad):
        return before.tolist()
    after = before * np.sqrt(_mean(bad, usual) / _mean(good, usual))
    return (after * (before.sum() / after.sum())).tolist()


def _mean(apart: Numbers, usual: Numbers) -> Numbers:
    """With one more at the usual distance."""
    known = ~np.isnan(apart)
    total = np.where(known, apart, 0.0).sum(axis=0)
    return np.asarray((total + usual) / (known.sum(axis=0) + 1))


def told_marks(before: Mapping[str, float], after: Mapping[str, float], n: tuple[int, int]) -> str:
    """What marks have moved, in one sentence."""
    moves = ", ".join(f"{name} {before[name]:.2f} to {after[name]:.2f}" for name in before)
    return f"{n[0]} cases marked as wanted and {n[1]} as unwanted move the weights: {moves}."


GOOD, BAD = 0.75, 0.15  # of the query's own weight 1


def moved_query(
    query: NDArray[np.float32], good: NDArray[np.float32], bad: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A vector (1, d) after marks (m, d): towards the mean of the wanted, away from the unwanted.

    Rocchio's rule with the usual weights (Manning, Raghavan and Schuetze 2008, Introduction to
    information retrieval, section 9.1), divided by their sum, so that vectors may have any origin.
    """
    if not len(good) and not len(bad):
        return query
    total, weight = query.astype(np.float64), 1.0
    for rows, share in ((good, GOOD), (bad, -BAD)):
        if len(rows):
            total = total + share * rows.astype(np.float64).mean(axis=0)
            weight += share
    return np.asarray(total / weight, dtype=np.float32)


def told_query(n_good: int, n_bad: int) -> str:
    """What marks have moved, in one sentence."""
    return (
        f"{n_good} rows marked as wanted and {n_bad} as unwanted move the query; distances are "
        "from where it is moved to."
    )
