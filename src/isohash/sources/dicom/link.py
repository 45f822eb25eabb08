"""Decides which files make one case: a CT series, one plan's dose, its structures, its plan.

Everything is joined by UIDs; the frame of reference is the common ground, and each fallback leaves
a warning in the case. One plan makes one case, so a CT with two plans makes two cases of one
patient; a CT without dose is a case too. What cannot be decided is refused, not guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isohash.errors import InputError
from isohash.sources.dicom.doses import PARTS, SEVERAL, choose_doses
from isohash.sources.dicom.scan import Instance
from isohash.sources.dicom.series import UNNAMED, volume_of, with_frames
from isohash.sources.found import Skipped

BY_POSITION = "structures are linked by position only: every contour lies in a slice of the CT"
NO_VOLUME = "one slice only"


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case and what had to be assumed to join them.

    `frame_uid` is empty where the CT names no frame of reference.
    """

    patient: str
    frame_uid: str
    ct: tuple[Instance, ...] = ()
    doses: tuple[Instance, ...] = ()
    structures: Instance | None = None
    plan: Instance | None = None
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Instance, ...]:
        """All files, CT first."""
        return (*self.ct, *self.doses, *(f for f in (self.structures, self.plan) if f is not None))

    @property
    def identity(self) -> tuple[str, ...]:
        """UIDs that make this case what it is, whatever else is found later."""
        series = sorted({instance.series_uid for instance in self.ct})
        plan = [self.plan.sop_uid] if self.plan else sorted(dose.sop_uid for dose in self.doses)
        return (self.patient, *series, *plan)


def link(instances: Iterable[Instance], skipped: list[Skipped]) -> list[CaseFiles]:
    """Join instances to cases; what belongs to none goes to `skipped` with the reason."""
    frames: dict[tuple[str, str], list[Instance]] = defaultdict(list)
    unique = with_frames(_without_copies(instances, skipped), skipped)
    for instance in unique:
        if instance.kind in ("CT", "RTDOSE"):
            frames[instance.patient, instance.frame_uid].append(instance)
    others = [instance for instance in unique if instance.kind in ("RTSTRUCT", "RTPLAN")]
    cases = []
    for (patient, frame), members in frames.items():
        mine = [other for other in others if other.patient == patient]
        beside = frozenset(uid for who, uid in frames if who == patient and uid != frame)
        foreign = any(uid == frame and who != patient for who, uid in frames)
        cases += _Frame(patient, frame, members, mine, beside, foreign, skipped).cases()
    used = {file.path for case in cases for file in case.files}
    listed = {skip.path for skip in skipped}
    for instance in unique:
        if instance.path not in used and str(instance.path) not in listed:
            reason = f"{instance.kind} that no CT or dose found here refers to"
            skipped.append(Skipped(str(instance.path), reason))
    return cases


def _without_copies(instances: Iterable[Instance], skipped: list[Skipped]) -> list[Instance]:
    """Each SOP instance once; a second file of the same UID must be a copy of the first."""
    first: dict[str, Instance] = {}
    for instance in instances:
        known = first.setdefault(instance.sop_uid, instance)
        if known is not instance:
            same = (known.size, known.planes) == (instance.size, instance.planes)
            what = "a copy of" if same else "has the SOPInstanceUID of, but differs from,"
            skipped.append(Skipped(str(instance.path), f"{what} {known.path.name}"))
    return list(first.values())


class _Frame:
    """One patient's frame of reference: its CT series and doses, and how they pair."""

    def __init__(
        self,
        patient: str,
        frame_uid: str,
        members: Sequence[Instance],
        others: Sequence[Instance],
        other_frames: frozenset[str],
        foreign: bool,
        skipped: list[Skipped],
    ) -> None:
        self.other_frames, self.foreign = other_frames, foreign
        self.patient, self.frame_uid, self.skipped = patient, frame_uid, skipped
        self.doses = [instance for instance in members if instance.kind == "RTDOSE"]
        self.structures = [other for other in others if other.kind == "RTSTRUCT"]
        self.plans = [other for other in others if other.kind == "RTPLAN"]
        self.series: dict[str, list[Instance]] = defaultdict(list)
        self.broken: dict[str, str] = {}
        self.notes: dict[str, list[str]] = {}  # on a series, by its UID
        for instance in members:
            if instance.kind == "CT":
                self.series[instance.series_uid].append(instance)
        for uid, slices in list(self.series.items()):
            try:
                volume = volume_of(slices, self.structures)
                self.series[uid], self.notes[uid] = volume.slices, volume.notes
                self._skip(volume.left_out, volume.reason)
            except InputError as error:
                self._skip(slices, f"CT series of {len(slices)} slices: {error}")
                del self.series[uid]
                self.broken[uid] = str(error)

    def cases(self) -> list[CaseFiles]:
        """All cases of this frame of reference."""
        groups: dict[str, list[Instance]] = defaultdict(list)
        plans = {plan.sop_uid: plan for plan in self.plans}
        for dose in self.doses:
            groups[self._plan_uid(dose)].append(dose)
        cases = []
        for uid, doses in groups.items():
            try:
                cases.append(self._dosed(doses, plans.get(uid)))
            except InputError as error:
                self._skip(doses, str(error))
        if cases:
            self._skip_unplanned(cases)
            return cases
        return [self._undosed(slices) for slices in self.series.values()]

    def _plan_uid(self, dose: Instance) -> str:
        """The plan a dose belongs to; a sum of several plans stands by itself."""
        return dose.sop_uid if dose.summation == SEVERAL else dose.plan_uid or dose.sop_uid

    def _undosed(self, slices: list[Instance]) -> CaseFiles:
        structures, warnings = self._structures_of(slices, frozenset())
        notes = self.notes[slices[0].series_uid]
        if self.doses:
            notes = [*notes, "the dose beside this CT cannot be used; the skipped files say why"]
        plan = None
        if structures is not None:
            plans = [plan for plan in self.plans if structures.sop_uid in plan.refers_to]
            if len(plans) == 1 and len(self.series) == 1:
                plan = plans[0]
            elif plans:
                notes = [*notes, f"{len(plans)} plan(s) without dose: none was taken"]
        return self._case(slices, (), structures, plan, (*notes, *warnings))

    def _dosed(self, doses: list[Instance], plan: Instance | None) -> CaseFiles:
        chosen, warnings = choose_doses(doses)
        for dose in doses:
            if dose not in chosen:
                self._skip([dose], f"{dose.summation} dose beside the one that was taken")
        refers = frozenset().union(*(dose.refers_to for dose in chosen))
        if plan is not None:
            refers |= plan.refers_to
        slices, more = self._ct_of(refers)
        structures, also = self._structures_of(slices, refers)
        if plan is None:
            also.append("no plan file: prescription and fractions are not known from a plan")
            if chosen[0].summation in PARTS:
                also.append("without the plan file nobody can tell whether all parts are there")
        notes = self.notes[slices[0].series_uid] if slices else []
        return self._case(slices, chosen, structures, plan, (*notes, *warnings, *more, *also))

    def _case(
        self,
        slices: Sequence[Instance],
        doses: tuple[Instance, ...],
        structures: Instance | None,
        plan: Instance | None,
        warnings: Iterable[str],
    ) -> CaseFiles:
        unnamed = self.frame_uid.startswith(UNNAMED)
        if unnamed:
            warnings = (*warnings, "no FrameOfReferenceUID: linked by references between the files")
        return CaseFiles(
            self.patient,
            "" if unnamed else self.frame_uid,
            tuple(slices),
            doses,
            structures,
            plan,
            tuple(warnings),
        )

    def _ct_of(self, refers: frozenset[str]) -> tuple[list[Instance], list[str]]:
        """The CT series that a plan was made on."""
        if not self.series:
            unusable = [reason for reason in self.broken.values() if NO_VOLUME not in reason]
            if unusable:
                raise InputError(f"the CT of this dose cannot be used: {unusable[0]}")
            if self.foreign:
                raise InputError("the CT of this dose carries another PatientID")
            return [], ["no CT volume in the dose's frame of reference: the dose keeps its grid"]
        if len(self.series) == 1 and not self.broken:
            return next(iter(self.series.values())), []
        named = {uid for s in self.structures if s.sop_uid in refers for uid in s.refers_to}
        if any(uid in named for uid in self.broken):
            raise InputError("the CT series that the structures were drawn on cannot be used")
        planned = [slices for uid, slices in self.series.items() if uid in named]
        if len(planned) == 1:
            return planned[0], []
        raise InputError(
            f"{len(self.series) + len(self.broken)} CT series share the dose's frame of reference, "
            "and no structure set says which one was planned on"
        )

    def _structures_of(
        self, slices: Sequence[Instance], refers: frozenset[str]
    ) -> tuple[Instance | None, list[str]]:
        """The structure set: named by plan or dose, else drawn on the CT, else near at hand."""
        series = {instance.series_uid for instance in slices}
        by_rank: tuple[tuple[list[Instance], list[str]], ...] = (
            ([s for s in self.structures if s.sop_uid in refers], []),
            ([s for s in self.structures if s.refers_to & series], []),
            (
                [s for s in self.structures if self.frame_uid in (s.frame_uid, *s.refers_to)],
                ["structures are linked by frame of reference only"],
            ),
            (self._of_same_study(slices), [BY_POSITION]),
        )
        for sets, warnings in by_rank:
            if sets:
                chosen = max(sets, key=lambda s: (s.when, s.sop_uid))
                if len(sets) > 1:
                    warnings.append(f"{len(sets)} structure sets fit; the newest was taken")
                if slices and chosen.images and not chosen.images & {s.sop_uid for s in slices}:
                    warnings.append("structures refer to images that are not here")
                return chosen, warnings
        return None, []

    def _of_same_study(self, slices: Sequence[Instance]) -> list[Instance]:
        """Structure sets whose frame of reference is unknown here, if only one CT can be meant."""
        studies = {slice_.study_uid for slice_ in slices}
        if len(self.series) + len(self.broken) != 1:
            return []
        elsewhere = self.other_frames
        return [
            s
            for s in self.structures
            if s.study_uid in studies and not {s.frame_uid, *s.refers_to} & elsewhere
        ]

    def _skip_unplanned(self, cases: list[CaseFiles]) -> None:
        planned = {instance.series_uid for case in cases for instance in case.ct}
        for uid, slices in self.series.items():
            if uid not in planned:
                self._skip(slices, "another CT series in the frame of reference of a planned one")

    def _skip(self, instances: Iterable[Instance], reason: str) -> None:
        self.skipped += [Skipped(str(instance.path), reason) for instance in instances]
