"""RTSTRUCT to structures under names that tell of nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from isohash.dosimetry.structures import Structure
from isohash.records import Volume
from isohash.sources.dicom.contours import Canvas, drawn_by_name
from isohash.sources.dicom.elements import read_dataset, value, whole_number
from isohash.sources.dicom.geometry import Ladder
from isohash.sources.dicom.scan import Instance
from isohash.sources.identity.naming import Naming, Typed
from isohash.sources.identity.personal import personal


@dataclass(frozen=True)
class TypedNames:
    """How the names in a structure set become those of case `case`.

    `headers` are of other files of the case, which may name a person that this one does not.
    """

    naming: Naming
    case: str
    headers: Sequence[Dataset] = ()

    def names(self, dataset: Dataset, typed: Sequence[Typed]) -> list[str]:
        """The names under which the structures of the set are known from here on."""
        return self.naming.names(self.case, typed, personal([dataset, *self.headers]))


@dataclass(frozen=True, eq=False)
class StructureSet:
    """Structures by name; `labels` is what was typed for them, to be searched for numbers only."""

    structures: Mapping[str, Structure] = field(default_factory=dict)
    labels: tuple[str, ...] = field(default=(), repr=False)


def read_structures(
    file: Instance,
    ct: Volume | None,
    dose: Volume | None,
    frame_uid: str | None,
    typed: TypedNames,
    warnings: list[str],
    ladder: Ladder | None = None,
) -> StructureSet:
    """Structures by name on the grid of `ct`, else on one of their own with the axes of `dose`.

    What the file calls them goes to `typed`, which gives the names to use here and beyond.

    What is empty, open or elsewhere leaves a warning. `ladder` is given where the CT was resampled
    from uneven planes, which the contours were drawn on. With `frame_uid` None the frame of
    reference cannot be compared; then every contour must lie in a slice of the CT, within its
    borders, or all structures are left out.
    """
    dataset = read_dataset(file.path)
    labels = tuple(one.name for one in typed_structures(dataset))
    drawn = drawn_by_name(dataset, _names(dataset, frame_uid, typed, warnings), warnings)
    every = [points for one in drawn.values() for points in one.contours]
    if labels and value(dataset, "ROIContourSequence") is None:
        warnings.append("the structure set names structures and has no contours (cut short?)")
        return StructureSet({}, labels)
    if ct is not None:
        canvas = Canvas.on_ct(ct, ladder, drawn.values())
    elif dose is not None and every:
        canvas = Canvas.without_ct(dose, list(drawn.values()))
    else:
        return StructureSet({}, labels)
    if frame_uid is None and not (canvas.of_ct and canvas.holds(every)):
        warnings.append("structures left out: their contours do not lie in the slices of the CT")
        return StructureSet({}, labels)
    found = {name: canvas.structure(name, one, warnings) for name, one in drawn.items()}
    kept = {name: structure for name, structure in found.items() if structure is not None}
    return StructureSet(kept, labels)


def _names(
    dataset: Dataset, frame_uid: str | None, typed: TypedNames, warnings: list[str]
) -> dict[int, str]:
    """ROI number -> name, of the ROIs in this frame of reference."""
    found: dict[int, Typed] = {}
    elsewhere, interpreted = 0, _interpreted(dataset)
    twice = _not_told_apart(dataset, warnings)
    for item in value(dataset, "StructureSetROISequence") or ():
        number = whole_number(item, "ROINumber")
        frame = value(item, "ReferencedFrameOfReferenceUID")
        if number is None or number in twice:
            continue
        if None not in (frame, frame_uid) and str(frame) != frame_uid:
            elsewhere += 1
            continue
        name = str(value(item, "ROIName") or "")
        found[number] = Typed(name, number, interpreted.get(number, ""))
    if elsewhere:
        warnings.append(f"{elsewhere} structure(s) lie in another frame of reference, left out")
    return dict(zip(found, typed.names(dataset, list(found.values())), strict=True))


def _not_told_apart(dataset: Dataset, warnings: list[str]) -> set[int]:
    """Numbers that structures of several names share: whose their contours are is not said.

    Contours of a number that no structure has are told as well.
    """
    named = {(one.number, one.name) for one in typed_structures(dataset) if one.number is not None}
    sharing = Counter(number for number, _ in named)
    twice = {number for number, n in sharing.items() if n > 1}
    if twice:
        several = sum(sharing[number] for number in twice)
        warnings.append(f"{several} structures share their number with another, left out")
    drawn = {
        whole_number(item, "ReferencedROINumber")
        for item in value(dataset, "ROIContourSequence") or ()
        if value(item, "ContourSequence")
    }
    if nobody := len(drawn - set(sharing)):
        warnings.append(f"contours of {nobody} number(s) that no structure has, left out")
    return twice


def typed_structures(dataset: Dataset) -> list[Typed]:
    """What a structure set calls its structures."""
    types = _interpreted(dataset)
    return [
        Typed(str(value(item, "ROIName") or ""), number, types.get(number or 0, ""))
        for item in value(dataset, "StructureSetROISequence") or ()
        for number in (whole_number(item, "ROINumber"),)
    ]


def _interpreted(dataset: Dataset) -> dict[int, str]:
    """ROI number -> what the planning system says that the structure is."""
    types: dict[int, str] = {}
    for item in value(dataset, "RTROIObservationsSequence") or ():
        if (number := whole_number(item, "ReferencedROINumber")) is not None:
            types.setdefault(number, str(value(item, "RTROIInterpretedType") or ""))
    return types
