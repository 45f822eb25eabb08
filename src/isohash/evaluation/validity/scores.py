"""What the nearest past plan is worth: its dose as a prediction, its anatomy beside the query's.

A past dose is laid upon the query by rigid alignment and scored as the OpenKBP challenge scores
predictions: the dose score is a mean over patients, the DVH score one over all structures of all
patients (`Scores`). For comparison: a random past plan, and the mean of all past doses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.plan_scores import dose_score, dvh_misses
from isohash.dosimetry.rigid import TARGETS, dose_at, rigid_between
from isohash.evaluation.validity.patients import Patient
from isohash.records import Volume

MEAN_GRID_MM = 6.0  # of the mean dose around the targets' centre
MEAN_REACH_MM = 210.0
MIDLINE = ("SpinalCord", "Brainstem", "Bone_Mandible")
CENTRAL_MM = 10.0  # targets whose centre lies nearer the midline are on neither side


@dataclass(frozen=True, eq=False)
class Scores:
    """What a dose is worth for one patient: its dose score, and the misses of its DVH metrics, Gy.

    The challenge's DVH score is the mean over the misses of all patients together.
    """

    dose: float
    misses: NDArray[np.float64]

    @classmethod
    def mean(cls, several: Sequence[Scores]) -> Scores:
        """Of several doses for the same patient."""
        misses = np.mean([one.misses for one in several], axis=0)
        return cls(float(np.mean([one.dose for one in several])), misses)


@dataclass(frozen=True, eq=False)
class PairScores:
    """Scores of past plans laid upon queries, each pair computed once."""

    queries: Sequence[Patient]
    past: Sequence[Patient]
    known: dict[tuple[int, int], Scores] = field(default_factory=dict)

    def of(self, query: int, other: int) -> Scores:
        """Those of one past plan, both given by position."""
        if (query, other) not in self.known:
            dose = laid_upon(self.queries[query], self.past[other])
            self.known[query, other] = scores_of(self.queries[query], dose)
        return self.known[query, other]

    def of_mean(self, query: int, others: Sequence[int]) -> Scores:
        """Those of the mean of several past doses."""
        doses = [laid_upon(self.queries[query], self.past[at]) for at in others]
        return scores_of(self.queries[query], np.mean(doses, axis=0))


def laid_upon(patient: Patient, donor: Patient) -> NDArray[np.float32]:
    """Another patient's dose at this one's voxels, after rigid alignment."""
    moved = rigid_between(patient.centres, donor.centres)(patient.points_mm)
    return dose_at(donor.dose, moved)


def scores_of(patient: Patient, dose: NDArray[np.float32]) -> Scores:
    """Those of a dose given at the patient's voxels."""
    scored, planned = patient.scored_there, patient.planned
    inside = {name: patient.inside(name) for name in patient.names}
    return Scores(
        dose_score(dose[scored], planned[scored]),
        dvh_misses(
            {name: dose[mask] for name, mask in inside.items()},
            {name: planned[mask] for name, mask in inside.items()},
            patient.dose.voxel_cc,
        ),
    )


class MeanDose:
    """The mean of past doses, laid together by the centres of their targets."""

    def __init__(self, past: Sequence[Patient]) -> None:
        n = round(2 * MEAN_REACH_MM / MEAN_GRID_MM) + 1
        axis = np.linspace(-MEAN_REACH_MM, MEAN_REACH_MM, n)
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        self.points = np.column_stack([x.ravel(), y.ravel(), z.ravel()])
        self.affine = np.zeros((4, 4))
        self.affine[2, 0] = self.affine[1, 1] = self.affine[0, 2] = MEAN_GRID_MM
        self.affine[:, 3] = [-MEAN_REACH_MM] * 3 + [1.0]
        self.shape = (n, n, n)
        self.sum = np.zeros(n**3, np.float32)
        self.n = len(past)
        for one in past:
            self.sum += self._around_targets(one)

    def _around_targets(self, patient: Patient) -> NDArray[np.float32]:
        return dose_at(patient.dose, self.points + patient.centres[TARGETS])

    def at(self, query: Patient, leave_out: bool) -> NDArray[np.float32]:
        """The mean dose at the query's voxels; without its own share if it is a past case."""
        total, n = self.sum, self.n
        if leave_out:
            total, n = total - self._around_targets(query), n - 1
        mean = Volume((total / n).reshape(self.shape), self.affine)
        return dose_at(mean, query.points_mm - query.centres[TARGETS])


@dataclass(frozen=True)
class Anatomy:
    """What a physicist would want the nearest patient to share."""

    side: str  # left, right or central
    n_targets: int
    target_cc: float


def anatomy_of(patient: Patient) -> Anatomy:
    """Side of the targets' centre, number of targets, and volume of their union."""
    middle = [patient.centres[name][0] for name in MIDLINE if name in patient.centres]
    offset = float(patient.centres[TARGETS][0] - np.mean(middle)) if middle else 0.0
    side = "central" if abs(offset) < CENTRAL_MM else "left" if offset > 0 else "right"
    targets = patient.measured.own.targets
    inside = np.logical_or.reduce([patient.inside(name) for name in targets])
    return Anatomy(side, len(targets), float(inside.sum()) * patient.dose.voxel_cc)


def agreement(a: Anatomy, b: Anatomy) -> tuple[bool, bool, float]:
    """Same side, same number of targets, and the ratio of volumes, 1 or more."""
    ratio = a.target_cc / b.target_cc
    return a.side == b.side, a.n_targets == b.n_targets, max(ratio, 1.0 / ratio)
