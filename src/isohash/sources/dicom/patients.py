"""Whom files belong to that name nobody beside others that do: half-done anonymisation.

PatientID is often blanked in the radiotherapy objects only, or in the images only. The UIDs still
join them, and a file is given to a patient if these lead to one patient alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from isohash.sources.dicom.scan import Instance


def with_patients(instances: Sequence[Instance]) -> tuple[list[Instance], frozenset[str]]:
    """The instances, those of nobody under the patient that they are joined to; and their UIDs.

    A day that was shifted for nobody is dropped: it would not be the patient's.
    """
    joined = {one.sop_uid: one for one in instances}
    adopted: set[str] = set()
    while blank := [one for one in joined.values() if not one.patient]:
        links = _Links([one for one in joined.values() if one.patient])
        found = {one.sop_uid: patient for one in blank if (patient := links.owner(one))}
        if not found:
            break
        for uid, patient in found.items():
            joined[uid] = replace(joined[uid], patient=patient, day="")
        adopted |= set(found)
    return [joined[one.sop_uid] for one in instances], frozenset(adopted)


class _Links:
    """Which patients the UIDs lead to that named files have or refer to, by nearness."""

    def __init__(self, named: Iterable[Instance]) -> None:
        self.ranks: list[dict[str, set[str]]] = [defaultdict(set) for _ in range(4)]
        for one in named:
            for rank, uids in enumerate(_uids(one)):
                for uid in uids:
                    self.ranks[rank][uid].add(one.patient)

    def owner(self, one: Instance) -> str:
        """The patient that the nearest kind of link leads to, if it leads to one only."""
        for rank, uids in enumerate(_uids(one)):
            found = set().union(*(self.ranks[rank].get(uid, ()) for uid in uids))
            if found:
                return next(iter(found)) if len(found) == 1 else ""
        return ""


def _uids(one: Instance) -> tuple[set[str], ...]:
    """What joins a file to others: objects, series, frame of reference, study; nearest first."""
    refers = one.refers_to - {""}
    return (
        {one.sop_uid, *one.images, *refers},
        {one.series_uid, *refers},
        {one.frame_uid, *refers} - {""},
        {one.study_uid} - {""},
    )
