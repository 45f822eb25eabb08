"""Whom files without PatientID belong to beside others that have one: half-done anonymisation.

The number is often blanked in the radiotherapy objects only, or in the images only, with or without
the name. The UIDs still join them, and a file is given to a patient if these lead to one patient
alone, unless both carry a name and the names differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from isohash.sources.dicom.scan import Instance


def with_patients(instances: Sequence[Instance]) -> tuple[list[Instance], frozenset[str]]:
    """The instances, those without a number under the patient that they are joined to; their UIDs.

    First those who have a number take in those who have none, then those who have a name. A day
    that was shifted for another is dropped: it would not be the patient's.
    """
    joined = {one.sop_uid: one for one in instances}
    adopted: set[str] = set()
    for known in (_is_numbered, _is_named):
        while loose := [one for one in joined.values() if not known(one)]:
            links = _Links([one for one in joined.values() if known(one)])
            found = {one.sop_uid: patient for one in loose if (patient := links.owner(one))}
            if not found:
                break
            for uid, patient in found.items():
                joined[uid] = replace(joined[uid], patient=patient, numbered=True, day="")
            adopted |= set(found)
    return [joined[one.sop_uid] for one in instances], frozenset(adopted)


def _is_numbered(one: Instance) -> bool:
    return bool(one.patient) and one.numbered


def _is_named(one: Instance) -> bool:
    return bool(one.patient)


class _Links:
    """Which patients the UIDs lead to that named files have or refer to, by nearness."""

    def __init__(self, named: Iterable[Instance]) -> None:
        self.ranks: list[dict[str, set[str]]] = [defaultdict(set) for _ in range(4)]
        self.persons: dict[str, set[str]] = defaultdict(set)
        for one in named:
            self.persons[one.patient] |= {one.person} - {""}
            for rank, uids in enumerate(_uids(one)):
                for uid in uids:
                    self.ranks[rank][uid].add(one.patient)

    def owner(self, one: Instance) -> str:
        """The patient that the nearest kind of link leads to, if it leads to one only."""
        for rank, uids in enumerate(_uids(one)):
            found = set().union(*(self.ranks[rank].get(uid, ()) for uid in uids))
            if found:
                owner = next(iter(found)) if len(found) == 1 else ""
                return owner if self._may_be(one.person, owner) else ""
        return ""

    def _may_be(self, person: str, patient: str) -> bool:
        """Whether somebody of this name may be the patient: one of the two has no name, or his."""
        return not person or not self.persons[patient] or person in self.persons[patient]


def _uids(one: Instance) -> tuple[set[str], ...]:
    """What joins a file to others: objects, series, frame of reference, study; nearest first."""
    refers = one.refers_to - {""}
    return (
        {one.sop_uid, *one.images, *refers},
        {one.series_uid, *refers},
        {one.frame_uid, *refers} - {""},
        {one.study_uid} - {""},
    )
