"""Files that are there twice: copies count once, damaged ones not at all, and others are told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from isohash.sources.dicom.geometry import SAME_POSITION_MM
from isohash.sources.dicom.scan import Instance
from isohash.sources.dicom.whole import is_beginning
from isohash.sources.found import Skipped

Alike = Callable[[Instance, Instance], bool]  # whether two files hold the same
AGAIN = "copy or export it again"
BROKE_OFF = "cut short: another file goes on where it ends"


@dataclass(frozen=True)
class Unique:
    """Each SOP instance once.

    `lost` are files that cannot be used where no whole one is here; `disputed` are the UIDs under
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
        whole_first = sorted(_told_apart(several), key=lambda one: bool(one.broken))
        first, *others = whole_first
        if first.broken:
            lost.append(first)
            skipped.append(Skipped(str(first.path), f"{first.broken}; {AGAIN}"))
        else:
            kept.append(first)
        for other in others:
            reason = _beside(first, other, alike)
            skipped.append(Skipped(str(other.path), reason))
            if not other.broken and not reason.startswith("a copy"):
                disputed.add(uid)
    return Unique(kept, lost, frozenset(disputed))


def _told_apart(several: Sequence[Instance]) -> list[Instance]:
    """Files of one UID: those that are the mere beginning of another are not whole, either."""
    whole = [one for one in several if not one.broken]
    return [
        replace(one, broken=BROKE_OFF)
        if not one.broken and any(is_beginning(one.path, o.path) for o in whole if o is not one)
        else one
        for one in several
    ]


def _beside(first: Instance, other: Instance, alike: Alike) -> str:
    """Why a file is passed over beside the first of its SOPInstanceUID."""
    if other.broken and first.broken:
        return f"{other.broken}; {AGAIN}"
    if other.broken:
        return f"{other.broken}; {first.path.name} holds all of it and is used"
    if alike(first, other):
        return f"a copy of {first.path.name}"
    return f"has the SOPInstanceUID of, but differs from, {first.path.name}"


def slices_once(
    slices: Sequence[Instance], drawn_on: frozenset[str], alike: Alike
) -> tuple[list[Instance], list[Instance]]:
    """The slices of a series without equal ones at one place, and these.

    Of equal slices the one stays that structures were drawn on, else the first.
    """

    def drawn_first(one: Instance) -> bool:
        return one.sop_uid not in drawn_on

    groups: list[list[Instance]] = []
    for one in sorted(slices, key=_along):
        if groups and abs(_along(one) - _along(groups[-1][0])) < SAME_POSITION_MM:
            groups[-1].append(one)
        else:
            groups.append([one])
    copies = {
        other.sop_uid
        for first, *others in (sorted(group, key=drawn_first) for group in groups)
        for other in others
        if alike(first, other)
    }
    return (
        [one for one in slices if one.sop_uid not in copies],
        [one for one in slices if one.sop_uid in copies],
    )


def _along(one: Instance) -> float:
    """Where the first plane of a file lies along its normal, in mm."""
    return float(one.planes[0].normal @ one.planes[0].position)


def same_series(a: Sequence[Instance], b: Sequence[Instance], alike: Alike) -> bool:
    """Whether two CT series are one, exported twice: as many slices, each equal to its like."""

    def by_place(slices: Sequence[Instance]) -> list[Instance]:
        return sorted(slices, key=lambda one: tuple(round(mm, 2) for mm in one.planes[0].position))

    return len(a) == len(b) and all(map(alike, by_place(a), by_place(b)))
