"""Files that are there twice: copies count once, damaged ones not at all, and others are told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from isohash.sources.dicom.scan import Instance
from isohash.sources.found import Skipped

Alike = Callable[[Instance, Instance], bool]  # whether two files hold the same


@dataclass(frozen=True)
class Unique:
    """Each SOP instance once.

    `lost` are files that are cut short where no whole one is here; `disputed` are the UIDs under
    which another file holds something else.
    """

    instances: list[Instance]
    lost: list[Instance]
    disputed: frozenset[str]


def unique(instances: Iterable[Instance], alike: Alike, skipped: list[Skipped]) -> Unique:
    """The first whole file of each SOPInstanceUID; the others go to `skipped` with the reason."""
    by_uid: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        by_uid[instance.sop_uid].append(instance)
    kept, lost, disputed = [], [], set()
    for uid, several in by_uid.items():
        first, *others = sorted(several, key=lambda one: bool(one.cut))  # whole ones first
        if first.cut:
            lost.append(first)
            skipped.append(Skipped(str(first.path), f"{first.cut}; copy or export it again"))
        else:
            kept.append(first)
        for other in others:
            reason = _beside(first, other, alike)
            skipped.append(Skipped(str(other.path), reason))
            if not other.cut and not reason.startswith("a copy"):
                disputed.add(uid)
    return Unique(kept, lost, frozenset(disputed))


def _beside(first: Instance, other: Instance, alike: Alike) -> str:
    """Why a file is passed over beside the first of its SOPInstanceUID."""
    if other.cut and first.cut:
        return other.cut
    if other.cut:
        return f"{other.cut}; {first.path.name} holds all of it and is used"
    if alike(first, other):
        return f"a copy of {first.path.name}"
    return f"has the SOPInstanceUID of, but differs from, {first.path.name}"


def slices_once(
    slices: Sequence[Instance], drawn_on: frozenset[str], alike: Alike
) -> tuple[list[Instance], list[Instance]]:
    """The slices of a series without equal ones at one place, and these.

    Of equal slices the one stays that structures were drawn on, else the first.
    """
    by_place: dict[tuple[float, ...], list[Instance]] = defaultdict(list)
    for one in sorted(slices, key=lambda one: one.sop_uid not in drawn_on):
        by_place[tuple(round(mm, 2) for plane in one.planes for mm in plane.position)].append(one)
    copies = {
        other.sop_uid
        for first, *others in by_place.values()
        for other in others
        if alike(first, other)
    }
    return (
        [one for one in slices if one.sop_uid not in copies],
        [one for one in slices if one.sop_uid in copies],
    )


def same_series(a: Sequence[Instance], b: Sequence[Instance], alike: Alike) -> bool:
    """Whether two CT series are one, exported twice: as many slices, each equal to its like."""

    def by_place(slices: Sequence[Instance]) -> list[Instance]:
        return sorted(slices, key=lambda one: tuple(round(mm, 2) for mm in one.planes[0].position))

    return len(a) == len(b) and all(map(alike, by_place(a), by_place(b)))
