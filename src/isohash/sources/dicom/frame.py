"""One patient's frame of reference: its CT series and doses, and how they pair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from isohash.errors import InputError
from isohash.sources.dicom.case_files import BY_POSITION, CaseFiles
from isohash.sources.dicom.copies import Alike, same_series
from isohash.sources.dicom.doses import SEVERAL, choose_doses
from isohash.sources.dicom.scan import Instance
from isohash.sources.dicom.series import UNNAMED, volume_of
from isohash.sources.found import Skipped

NO_VOLUME = "one slice only"


class Frame:
    """What lies in one frame of reference, and the patient's structure sets and plans."""

    def __init__(
        self,
        patient: str,
        frame_uid: str,
        members: Sequence[Instance],
        others: Sequence[Instance],
        other_frames: frozenset[str],
        foreign: bool,
        alike: Alike,
        skipped: list[Skipped],
    ) -> None:
        self.other_frames, self.foreign, self.alike = other_frames, foreign, alike
        self.patient, self.frame_uid, self.skipped = patient, frame_uid, skipped
        self.doses = [instance for instance in members if instance.kind == "RTDOSE"]
        self.structures = [other for other in others if other.kind == "RTSTRUCT"]
        self.plans = {other.sop_uid: other for other in others if other.kind == "RTPLAN"}
        self.series: dict[str, list[Instance]] = defaultdict(list)
        self.broken: dict[str, str] = {}
        self.refused: list[str] = []  # why doses are not used
        self.notes: dict[str, list[str]] = {}  # on a series, by its UID
        for instance in members:
            if instance.kind == "CT":
                self.series[instance.series_uid].append(instance)
        for uid, slices in list(self.series.items()):
            try:
                volume = volume_of(slices, self.structures, alike)
                self.series[uid], self.notes[uid] = volume.slices, volume.notes
                self._skip(volume.left_out, volume.reason)
            except InputError as error:
                self._skip(slices, f"CT series of {len(slices)} slices: {error}")
                del self.series[uid]
                self.broken[uid] = str(error)

    def cases(self) -> list[CaseFiles]:
        """All cases of this frame of reference."""
        cases = []
        for uid, doses in self._by_plan().items():
            try:
                cases.append(self._dosed(doses, self.plans.get(uid)))
            except InputError as error:
                self._skip(doses, str(error))
                self.refused.append(str(error))
        if cases:
            self._skip_unplanned(cases)
            return cases
        return [self._undosed(slices) for slices in self.series.values()]

    def _by_plan(self) -> dict[str, list[Instance]]:
        """Doses by the plan that they belong to; a sum of several plans stands by itself.

        A dose of a plan that names none belongs to the only plan here, if no other dose does.
        """
        groups: dict[str, list[Instance]] = defaultdict(list)
        for dose in self.doses:
            own = dose.summation == SEVERAL or not dose.plan_uid
            groups[dose.sop_uid if own else dose.plan_uid].append(dose)
        nameless = [dose for dose in self.doses if not dose.plan_uid and dose.summation == "PLAN"]
        nameless = [dose for dose in nameless if not self._is_copy(dose, groups)]
        if len(nameless) > 1 or (nameless and self.plans):
            self._join_nameless(groups, nameless)
        return groups

    def _is_copy(self, dose: Instance, groups: dict[str, list[Instance]]) -> bool:
        """Whether a dose that names no plan equals one that does; it is put beside that."""
        named = (other for other in self.doses if other.plan_uid and other.summation == "PLAN")
        twin = next((other for other in named if self.alike(other, dose)), None)
        if twin is not None:
            del groups[dose.sop_uid]
            groups[twin.plan_uid].append(dose)
        return twin is not None

    def _join_nameless(self, groups: dict[str, list[Instance]], nameless: list[Instance]) -> None:
        """Put doses that name no plan together where they are equal, and to the only plan."""
        first, *others = nameless
        equal = [first, *(dose for dose in others if self.alike(first, dose))]
        plan, key = self._only_plan(first), first.sop_uid
        if plan is not None and plan.sop_uid not in groups and len(equal) == len(nameless):
            key = plan.sop_uid
        for dose in equal:
            del groups[dose.sop_uid]
        groups[key] = equal

    def _only_plan(self, dose: Instance) -> Instance | None:
        """The plan, if there is one only that can be of this dose."""
        here = [
            plan
            for plan in self.plans.values()
            if plan.frame_uid in ("", self.frame_uid)
            if plan.study_uid in ("", dose.study_uid) or self._refers_here(plan)
        ]
        return here[0] if len(here) == 1 else None

    def _refers_here(self, plan: Instance) -> bool:
        """Whether a plan refers to a dose of this frame, or to a structure set drawn in it."""
        return bool(plan.refers_to & {one.sop_uid for one in (*self.doses, *self._drawn_here())})

    def _drawn_here(self) -> list[Instance]:
        """Structure sets that name this frame of reference or a CT series in it."""
        here = {self.frame_uid, *self.series, *self.broken}
        return [s for s in self.structures if here & {s.frame_uid, *s.refers_to}]

    def _undosed(self, slices: list[Instance]) -> CaseFiles:
        structures, warnings = self._structures_of(slices, frozenset())
        notes = self.notes[slices[0].series_uid]
        if self.doses:
            why = f": {self.refused[0]}" if self.refused else ""
            notes = [*notes, f"the dose beside this CT cannot be used{why} (see the skipped files)"]
        plan, told = self._plan_of(slices, structures)
        return self._case(slices, (), structures, plan, (*notes, *warnings, *told))

    def _plan_of(
        self, slices: Sequence[Instance], structures: Instance | None
    ) -> tuple[Instance | None, list[str]]:
        """The plan of a CT without dose, if one can be meant: for its prescription."""
        of_these = [
            plan
            for plan in self.plans.values()
            if structures is not None and structures.sop_uid in plan.refers_to
        ]
        if len(of_these) == 1 and len(self.series) == 1:
            return of_these[0], []
        if of_these:
            return None, [f"{len(of_these)} plan(s) without dose: none was taken"]
        studies = {one.study_uid for one in slices} - {""}
        elsewhere = {one.sop_uid for one in self.structures if one not in self._drawn_here()}
        older = [
            plan
            for plan in self.plans.values()
            if plan.study_uid in studies
            or plan.frame_uid == self.frame_uid
            or self._refers_here(plan)
            if plan.frame_uid in ("", self.frame_uid) and not plan.refers_to & elsewhere
        ]
        if len(older) == 1 and len(self.series) == 1:
            return older[0], [self._made_elsewhere(older[0], structures)]
        return None, [f"{len(older)} plan(s) without dose: none was taken"] if older else []

    def _made_elsewhere(self, plan: Instance, structures: Instance | None) -> str:
        """The note on a plan that was not made on the structures that are here."""
        taken = "its prescription and fractions are taken"
        if not plan.refers_to:
            return f"the plan names no structure set and is the only one that can be meant: {taken}"
        if plan.refers_to & {one.sop_uid for one in self.structures}:
            return f"the plan was made on another structure set than the one taken: {taken}"
        if structures is None:
            return f"the structure set that the plan was made on is not here: {taken}"
        return (
            f"the plan was made on a structure set that is not here (an older one?): {taken}, "
            "the structures are others"
        )

    def _dosed(self, doses: list[Instance], plan: Instance | None) -> CaseFiles:
        chosen, warnings, left = choose_doses(doses, self.alike)
        for dose, reason in left.items():
            self._skip([dose], reason)
        refers = frozenset().union(*(dose.refers_to for dose in chosen))
        if plan is not None:
            refers |= plan.refers_to
        slices, more = self._ct_of(refers)
        structures, also = self._structures_of(slices, refers)
        also += self._of_plan(chosen[0], plan, structures)
        notes = self.notes[slices[0].series_uid] if slices else []
        return self._case(slices, chosen, structures, plan, (*notes, *warnings, *more, *also))

    def _of_plan(
        self, dose: Instance, plan: Instance | None, structures: Instance | None
    ) -> list[str]:
        """What is to be said of the plan of a dose, or of its absence."""
        unknown = "prescription and fractions are not known from a plan"
        if plan is None:
            if dose.plan_uid and dose.summation != SEVERAL and self.plans:
                return [f"the plan that the dose names is not here: {unknown}"]
            if self.plans:
                return [f"the dose is not that of one plan among those here: {unknown}"]
            return [f"no plan file: {unknown}"]
        notes = []
        if not dose.plan_uid:
            notes.append("the dose names no plan: it is taken for that of the only plan here")
        made_on = plan.refers_to - {one.sop_uid for one in self.doses}
        if structures is not None and made_on and structures.sop_uid not in made_on:
            notes.append("the plan was made on another structure set than the one that is here")
        return notes

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
        first, *others = self.series.values()
        if not others and not self.broken:
            return first, []
        named = {uid for s in self.structures if s.sop_uid in refers for uid in s.refers_to}
        if any(uid in named for uid in self.broken):
            raise InputError("the CT series that the structures were drawn on cannot be used")
        planned = [slices for uid, slices in self.series.items() if uid in named]
        if len(planned) == 1:
            return planned[0], []
        if not self.broken and all(same_series(first, other, self.alike) for other in others):
            return first, [f"the CT is there {len(self.series)} times with equal pixels: one taken"]
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
                return chosen, [*warnings, *_images_missing(chosen, slices)]
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


def _images_missing(structures: Instance, slices: Sequence[Instance]) -> list[str]:
    """The note on images that structures were drawn on and that are not among these slices."""
    if not slices or not structures.images:
        return []
    missing = len(structures.images - {one.sop_uid for one in slices})
    if missing == len(structures.images):
        return ["structures refer to images that are not here"]
    here = {uid for one in slices for uid in (one.series_uid, one.frame_uid)}
    fewer = len(slices) < len(structures.images)  # else they are here under UIDs of another export
    if missing and fewer and structures.refers_to <= {"", structures.frame_uid, *here}:
        return [
            f"{missing} of the {len(structures.images)} images that the structures were drawn on "
            "are not here"
        ]
    return []
