"""Decides which files make one case: a CT series, one plan's dose, its structures, its plan.

Everything is joined by UIDs; the frame of reference is the common ground, and each fallback leaves
a warning in the case. One plan makes one case, so a CT with two plans makes two cases of one
patient; a CT without dose is a case too. What cannot be decided is refused, not guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from isohash.sources.dicom.alike import alike as files_alike
from isohash.sources.dicom.case_files import CaseFiles
from isohash.sources.dicom.copies import Alike, unique
from isohash.sources.dicom.frame import Frame
from isohash.sources.dicom.patients import with_patients
from isohash.sources.dicom.scan import Instance
from isohash.sources.dicom.series import with_frames
from isohash.sources.found import Skipped

KINDS = {"CT": "image", "RTDOSE": "dose", "RTSTRUCT": "structure set", "RTPLAN": "plan"}
PLACED = ("CT", "RTDOSE")
ELSEWHERE = "a dose of this patient lies in another frame of reference, so it is none of this CT"
STRANGER = "a dose in its frame of reference carries another PatientID, so it is none of this CT"


def link(
    instances: Iterable[Instance], skipped: list[Skipped], alike: Alike = files_alike
) -> list[CaseFiles]:
    """Join instances to cases; what belongs to none goes to `skipped` with the reason.

    `alike` says of two files whether they hold the same.
    """
    found = unique(instances, alike, skipped)
    everyone, adopted = with_patients([*found.instances, *found.lost])
    lost = [one for one in everyone if one.broken]
    whole = with_frames([one for one in everyone if not one.broken], skipped)
    cases = [case for frame in _frames(whole, alike, skipped) for case in frame.cases()]
    cases = [replace(case, warnings=(*case.warnings, *_lost(case, lost))) for case in cases]
    notes = _Notes(adopted, found.disputed, frozenset(c.patient for c in cases if not c.ct), whole)
    cases = [replace(case, warnings=(*case.warnings, *notes.of(case))) for case in cases]
    used = {file.path for case in cases for file in case.files}
    listed = {skip.path for skip in skipped}
    unused = [one for one in whole if one.path not in used and str(one.path) not in listed]
    skipped += [Skipped(str(one.path), _unused(one, whole)) for one in unused]
    return cases


def _frames(whole: Sequence[Instance], alike: Alike, skipped: list[Skipped]) -> Iterable[Frame]:
    """Each patient's frames of reference that hold a CT or a dose."""
    members: dict[tuple[str, str], list[Instance]] = defaultdict(list)
    others: dict[str, list[Instance]] = defaultdict(list)
    scanned: dict[str, set[str]] = defaultdict(set)  # whose CT lies in a frame
    for one in whole:
        if one.kind in ("CT", "RTDOSE"):
            members[one.patient, one.frame_uid].append(one)
        else:
            others[one.patient].append(one)
        if one.kind == "CT":
            scanned[one.frame_uid].add(one.patient)
    for (patient, uid), mine in members.items():
        yield Frame(
            patient,
            uid,
            mine,
            others[patient],
            other_frames=frozenset(o for who, o in members if who == patient and o != uid),
            foreign=bool(scanned[uid] - {patient}),
            alike=alike,
            skipped=skipped,
        )


def _unused(one: Instance, whole: Sequence[Instance]) -> str:
    """Why a structure set or plan is in no case."""
    if not one.patient and any(other.patient for other in whole):
        return f"{one.kind} without PatientID, and its UIDs lead to no one patient"
    named = {o.patient for o in whole if o.kind in PLACED and _is_named(o, one)}
    if named and one.patient not in named:
        return f"{one.kind} under another PatientID than the CT or dose that it refers to"
    if named and one.kind == "RTSTRUCT":
        return f"{one.kind} of a CT or dose here, beside the one that is used"
    studies = {o.study_uid for o in whole if o.patient == one.patient and o.kind in PLACED} - {""}
    if not one.frame_uid and studies and one.study_uid not in studies:
        return f"{one.kind} of another study that names no frame of reference, and nothing here"
    return f"{one.kind} that belongs to no CT or dose found here"


def _is_named(placed: Instance, by: Instance) -> bool:
    """Whether an image or dose, its series or its frame of reference is what a file refers to."""
    uids = {placed.sop_uid, placed.series_uid, placed.frame_uid} - {""}
    return bool(uids & (by.refers_to | by.images))


def _lost(case: CaseFiles, lost: Sequence[Instance]) -> list[str]:
    """Files about a case that cannot be used: without them it is not what it was."""
    studies = {file.study_uid for file in case.files} - {""}
    about = [
        one
        for one in lost
        if one.patient == case.patient
        and (
            one.study_uid in studies
            or bool(case.frame_uid and case.frame_uid in (one.frame_uid, *one.refers_to))
        )
    ]
    notes = []
    for kind, named in KINDS.items():
        of_kind = [one.broken.partition(":")[0] for one in about if one.kind == kind]
        if of_kind and kind == "RTDOSE" and not case.doses:
            notes.append(f"the dose beside this CT cannot be used: {of_kind[0]}")
        elif of_kind:
            notes.append(f"{len(of_kind)} {named}(s) beside it left out: {of_kind[0]}")
    return notes


class _Notes:
    """What is to be said of cases in the light of all others."""

    def __init__(
        self,
        adopted: frozenset[str],
        disputed: frozenset[str],
        dosed: frozenset[str],
        whole: Sequence[Instance],
    ) -> None:
        self.adopted, self.disputed = adopted, disputed
        self.dosed = dosed  # patients who have a dose that is a case without CT
        self.doses = [one for one in whole if one.kind == "RTDOSE"]

    def of(self, case: CaseFiles) -> list[str]:
        """The notes of one case."""
        notes = []
        if listing := _kinds(case, self.adopted):
            notes.append(f"PatientID is blank in {listing}: joined by their UIDs")
        if listing := _kinds(case, self.disputed):
            notes.append(
                f"another file has the SOPInstanceUID of the {listing} and holds something else; "
                "which is valid is not said"
            )
        if case.ct and not case.doses and case.patient in self.dosed:
            notes.append(ELSEWHERE)
        strangers = (one for one in self.doses if one.patient != case.patient)
        if case.ct and case.frame_uid in {one.frame_uid for one in strangers} - {""}:
            notes.append(STRANGER)
        return notes


def _kinds(case: CaseFiles, uids: frozenset[str]) -> str:
    """The kinds of a case's files that are among these UIDs, in words."""
    kinds: Mapping[str, None] = {KINDS[f.kind]: None for f in case.files if f.sop_uid in uids}
    return ", ".join(kinds)
