"""Which images of a CT series are its volume, and which frame of reference they lie in.

Series hold more than a volume: scouts, captured screens, all phases of a breathing cycle. What is
left out is told; what cannot be told apart is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from isohash.errors import InputError
from isohash.sources.dicom.copies import Alike, slices_once
from isohash.sources.dicom.geometry import stack
from isohash.sources.dicom.scan import Instance
from isohash.sources.found import Skipped

UNNAMED = "series of no frame: "  # before a series UID, in place of a frame of reference
MOST_SCOUTS = 2  # images of another kind that a series may hold besides its volume
UNEVEN = "the slices are unevenly spaced: CT and structures are resampled to the finest distance"


@dataclass(frozen=True)
class SeriesVolume:
    """The slices that make the volume, those left out with the reason, and notes for the case."""

    slices: list[Instance]
    notes: list[str]
    left_out: tuple[Instance, ...] = ()
    reason: str = ""


def volume_of(slices: list[Instance], structures: Sequence[Instance], alike: Alike) -> SeriesVolume:
    """All slices of a series if they stack, else all but scouts, else those that were drawn on.

    Else those that are left without copies: some exports hold every slice twice.
    """
    try:
        return SeriesVolume(slices, _notes(slices))
    except InputError:
        for part, rest, reason in _parts(slices, structures, alike):
            try:
                notes = _notes(part)
            except InputError:
                continue
            note = f"{len(rest)} image(s) of the CT series left out: {reason}"
            return SeriesVolume(part, [note, *notes], tuple(rest), reason)
        raise


def _notes(slices: Sequence[Instance]) -> list[str]:
    _, ladder = stack([plane for slice_ in slices for plane in slice_.planes])
    return [] if ladder.levels is None else [UNEVEN]


def _parts(
    slices: Sequence[Instance], structures: Sequence[Instance], alike: Alike
) -> Iterator[tuple[list[Instance], list[Instance], str]]:
    """Parts of a series that may be the volume, the rest, and why it is left out."""
    main = Counter(map(_shape, slices)).most_common(1)[0][0]
    part = [slice_ for slice_ in slices if _shape(slice_) == main]
    rest = [slice_ for slice_ in slices if _shape(slice_) != main]
    if 0 < len(rest) <= MOST_SCOUTS < len(part):
        yield part, rest, "an image of another kind within the series (a scout)"
    for drawn in sorted(structures, key=lambda s: (s.when, s.sop_uid), reverse=True):
        part = [slice_ for slice_ in slices if slice_.sop_uid in drawn.images]
        rest = [slice_ for slice_ in slices if slice_.sop_uid not in drawn.images]
        if part and rest and _covers(part, rest):
            yield part, rest, "not among the images that the structures were drawn on"
    drawn_on = frozenset(uid for drawn in structures for uid in drawn.images)
    part, rest = slices_once(slices, drawn_on, alike)
    if rest:
        yield part, rest, "a copy of another slice, with equal pixels"


def with_frames(instances: Sequence[Instance], skipped: list[Skipped]) -> list[Instance]:
    """The instances, those without frame of reference in that of what they refer to.

    A CT without one is a frame by itself; a dose takes the frame of the CT that its plan and
    structures were made on.
    """
    series = {
        i.series_uid: i.frame_uid or UNNAMED + i.series_uid for i in instances if i.kind == "CT"
    }
    images = {i.sop_uid: series[i.series_uid] for i in instances if i.kind == "CT"}
    objects = {i.sop_uid: i for i in instances if i.kind in ("RTSTRUCT", "RTPLAN")}
    named = []
    for instance in instances:
        if instance.frame_uid or instance.kind not in ("CT", "RTDOSE"):
            named.append(instance)
        elif instance.kind == "CT":
            named.append(replace(instance, frame_uid=series[instance.series_uid]))
        else:
            refers = _all_references(instance, objects)
            frames = {series[uid] for uid in refers if uid in series}
            frames |= {images[uid] for uid in refers if uid in images}
            if len(frames) == 1:
                named.append(replace(instance, frame_uid=frames.pop()))
            else:
                skipped.append(
                    Skipped(str(instance.path), "has no FrameOfReferenceUID to link it by")
                )
    return named


def _all_references(dose: Instance, objects: Mapping[str, Instance]) -> set[str]:
    """What a dose refers to, what that refers to, and so on."""
    seen: set[str] = set()
    ahead = [dose]
    while ahead:
        instance = ahead.pop()
        new = (instance.refers_to | instance.images) - seen
        seen |= new
        ahead += [objects[uid] for uid in new if uid in objects]
    return seen


def _shape(instance: Instance) -> tuple[object, ...]:
    """What the slices of one volume have in common."""
    plane = instance.planes[0]
    turn = tuple(round(cosine, 3) for cosine in plane.orientation)
    return (plane.rows, plane.columns, turn, tuple(round(mm, 4) for mm in plane.spacing))


def _covers(part: Sequence[Instance], rest: Sequence[Instance]) -> bool:
    """Whether each image of the rest lies where one of the part does: other phases, not gaps."""

    def places(instances: Sequence[Instance]) -> set[tuple[float, ...]]:
        return {tuple(round(mm, 1) for mm in i.planes[0].position) for i in instances}

    return places(rest) <= places(part)
