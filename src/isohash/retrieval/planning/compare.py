"""Two plans, or a plan and the dose that its anatomy would get, compared as physicists do.

Doses on one CT are compared where they are. Else the second is laid upon the first rigidly, by the
centres of the structures that both have (`rigid`), and its histograms stay those of its own
anatomy. What is read from files is compared in full; of a stored case the dose is the archive's (on
the anatomy's grid, in steps of 0.1 Gy) and histograms have bins of 0.5 Gy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.comparison import CRITERIA, DoseComparison, PlanDose, compare_plans
from isohash.dosimetry.dose import own_grid
from isohash.dosimetry.dvh import DVH
from isohash.dosimetry.gamma import GammaCriteria
from isohash.dosimetry.metrics import Conformity
from isohash.dosimetry.names import structures_by_name
from isohash.dosimetry.rigid import TARGETS, dose_at, rigid_between
from isohash.errors import InputError
from isohash.features.cases.anatomy import prescribed_targets
from isohash.features.cases.shown import DVH_BIN_GY
from isohash.records import Case, Volume
from isohash.retrieval.dose_arrays import CENTRES, CT_GRID, KeptDose
from isohash.retrieval.entry import Entry, query_entry
from isohash.retrieval.items import Items
from isohash.retrieval.planning.proposal import Proposal
from isohash.retrieval.planning.propose import propose

FORESEEN = "what its anatomy would get"
SAME_MM = 0.1  # between the corners of two CT grids that are one

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Side:
    """A plan to compare: from a case's files, or what an archive keeps of it."""

    entry: Entry
    case: Case | None = None

    @cached_property
    def kept(self) -> KeptDose:
        """The arrays of its dose."""
        return KeptDose(self.entry.arrays)

    @cached_property
    def plan(self) -> PlanDose:
        """Its dose, histograms and conformity; InputError without a dose."""
        if self.case is None:
            return _stored(self.entry, self.kept)
        if self.case.dose is None:
            raise InputError(f"{self.case.id} cannot be compared: it has no dose")
        return self.read_off(self.case.id, self.case.dose)

    def read_off(self, name: str, dose: Volume) -> PlanDose:
        """Another dose of the same anatomy, read off in the structures of its files."""
        assert self.case is not None
        masks = structures_by_name(self.case)
        try:
            wanted = prescribed_targets(self.case)
        except InputError:  # no target, or nothing is prescribed
            wanted = {}
        return PlanDose.of(name, dose, masks, wanted)

    @property
    def centres(self) -> Mapping[str, Numbers]:
        """Of its structures, in mm; empty where it has no anatomy."""
        return self.kept.centres if CENTRES in self.kept.arrays else {}

    def on_one_ct(self, other: Side) -> bool:
        """Whether both were planned on one CT: one patient, and one grid."""
        if self.entry.patient != other.entry.patient:
            return False
        if not all(CT_GRID in side.kept.arrays for side in (self, other)):
            return False
        (mine, shape), (theirs, size) = self.kept.ct_grid, other.kept.ct_grid
        far = np.array([*np.subtract(shape, 1), 1.0])
        ends = np.abs((mine - theirs) @ np.stack([far, [0, 0, 0, 1.0]], axis=1))
        return shape == size and float(ends.max()) < SAME_MM


def side_of(
    items: Items, item: Any, prescription_gy: float | None = None, pictures: bool = False
) -> Side:
    """A case at a path or in memory, or a stored one by its id."""
    if isinstance(item, Entry) or (isinstance(item, str) and item in items.store):
        return Side(items.query(item, pictures, prescription_gy))
    case = items.read(item, prescription_gy)
    return Side(query_entry(items.pipeline.code(case), pictures), case)


def compare(
    items: Items, a: Any, b: Any = None, criteria: Sequence[GammaCriteria] | None = None
) -> DoseComparison:
    """The plan of `a` against that of `b`, or against the dose that its anatomy would get."""
    chosen = CRITERIA if criteria is None else criteria
    mine = side_of(items, a)
    if b is None:
        return against_foreseen(mine, propose(items, mine.entry), chosen)
    theirs = side_of(items, b)
    if mine.on_one_ct(theirs):
        return compare_plans(mine.plan, theirs.plan, chosen)
    laid, note = _laid(mine, theirs)
    return compare_plans(mine.plan, laid, chosen, notes=(note,))


def against_foreseen(
    side: Side, proposal: Proposal, criteria: Sequence[GammaCriteria] = CRITERIA
) -> DoseComparison:
    """A plan against the proposal for its anatomy, which did not look at it."""
    if side.case is not None:
        foreseen = side.read_off(FORESEEN, proposal.dose)
        return compare_plans(side.plan, foreseen, criteria)
    curves = {
        name: _curve(band.volume_percent, band.gy, side.plan.curves.get(name))
        for name, band in proposal.bands.items()
    }
    wanted = side.plan.prescriptions
    foreseen = PlanDose(FORESEEN, proposal.dose, curves, prescriptions=wanted)
    note = "of a stored case, foreseen histograms are known at a few volumes only"
    return compare_plans(side.plan, foreseen, criteria, notes=(note,))


def _laid(mine: Side, theirs: Side) -> tuple[PlanDose, str]:
    """The other's dose on the grid of this one's, and what was done to it."""
    shared = set(mine.centres) & set(theirs.centres)
    if TARGETS not in shared:
        raise InputError(
            f"{mine.entry.id} and {theirs.entry.id} lie on different CTs, and without targets in "
            "both one dose cannot be laid on the other"
        )
    move = rigid_between(mine.centres, theirs.centres)
    grid, other = own_grid(mine.plan.dose), theirs.plan
    index = np.indices(grid.array.shape, dtype=np.float64).reshape(3, -1).T
    points = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    gy = dose_at(own_grid(other.dose), move(points)).reshape(grid.array.shape)
    note = (
        f"on different CTs: the dose of {theirs.entry.id} is laid on {mine.entry.id} rigidly, by "
        f"the centres of {len(shared) - 1} structures and of the targets, for gamma and "
        "difference; histograms and conformity are each plan's own"
    )
    return replace(other, dose=Volume(gy, grid.affine)), note


def _stored(entry: Entry, kept: KeptDose) -> PlanDose:
    """What an archive tells of a plan."""
    dose = kept.planned
    if dose is None:
        raise InputError(
            f"{entry.id} cannot be compared: the archive keeps no dose of it; ask with its files"
        )
    told, curves, fits = entry.doses(), {}, {}
    for name, fraction in entry.dvhs().items():
        curves[name] = _stored_curve(fraction, told.get(name, {}))
        paddick = told.get(name, {}).get("conformity")
        if paddick is not None:
            gy = float(entry.facts["prescription_gy"] or kept.about["prescription_gy"])
            fits[name] = _only_paddick(gy, paddick)
    wanted = {name: fit.prescription_gy for name, fit in fits.items()}
    return PlanDose(entry.id, dose, curves, fits, wanted)


def _stored_curve(fraction: NDArray[np.floating], told: Mapping[str, float]) -> DVH:
    gy = DVH_BIN_GY * np.arange(len(fraction), dtype=np.float64)
    share = np.asarray(fraction, dtype=np.float64)
    last = float(gy[share > 0][-1]) if (share > 0).any() else 0.0
    mean = told.get("mean_gy", float(np.trapezoid(share, gy)))
    return DVH(gy, share, told.get("volume_cc", float("nan")), 0.0, mean, last + DVH_BIN_GY)


def _curve(percent: Numbers, gy: Numbers, own: DVH | None) -> DVH:
    """A histogram of which a few points are known, straight between them."""
    order = np.argsort(gy)
    known_gy, known = gy[order], np.maximum.accumulate(percent[order][::-1])[::-1] / 100.0
    top = np.arange(0.0, float(known_gy[-1]) + 2 * DVH_BIN_GY, DVH_BIN_GY)
    share = np.interp(top, np.array([0.0, *known_gy]), np.array([1.0, *known]), right=0.0)
    cc = float("nan") if own is None else own.volume_cc
    mean = float(np.trapezoid(share, top))
    return DVH(top, share, cc, 0.0, mean, float(known_gy[-1]))


def _only_paddick(prescription_gy: float, paddick: float) -> Conformity:
    unknown = float("nan")
    return Conformity(prescription_gy, unknown, unknown, paddick, unknown, unknown, unknown)
