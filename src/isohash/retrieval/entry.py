"""What the archive keeps of an item: facts (JSON) and named arrays, and how to read them back.

| array | shape | meaning |
|---|---|---|
| `slice.index`, `slice.z_mm` | (n,) | position in the case's volume; height in the patient |
| `slice.row.VIEW` | (n,) | row of the slice's code in that view, -1 for none |
| `codes.VIEW` | (rows, bytes) | packed codes |
| `embedding.VIEW` | (rows, d) float16 | what codes are made from, if kept |
| `likeness.profile` | (1, numbers) | tissues, body, dose, extent (`features.cases.profile`) |
| `error.VIEW` | (1,) | how badly the encoder gives back the slices; NaN where it cannot |
| `plan.predicted` | (structures, volumes) float16 | doses (Gy) that the anatomy would get |
| `plan.code`, `plan.known` | (1, structures, volumes), (1, structures) | planned doses in steps |
| `dose.*` | | the dose that its anatomy would get (`dose_arrays`) |
| and for pages | | what `Kind.shown` makes, such as `features.cases.shown` |
| `picture.*` | | what `Kind.fine` makes, such as `features.cases.fine`, if kept |

A query from a file becomes an entry too, so results and queries are shown by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.kinds import Kind
from isohash.records import Volume
from isohash.retrieval.likeness import ERROR, PROFILE
from isohash.retrieval.models import codes_name
from isohash.retrieval.pipeline import CodedItem
from isohash.retrieval.slices import SliceTable

if TYPE_CHECKING:
    from isohash.features.cases.fine import Fine

Arrays = dict[str, NDArray[Any]]
MOST_GY = 1000.0
PICTURE = "picture"  # arrays named so are read when they are looked at

STORED = "its images are kept without a dose; ask with its files"


@dataclass(frozen=True, eq=False)
class Entry:
    """An item as kept: `facts` are plain values, `arrays` as in the table above.

    `foreseen` gives the same with the dose that its anatomy would get, or why none can be told.
    """

    id: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    kind: Kind
    foreseen: Callable[[], Entry | str] = lambda: STORED

    @property
    def patient(self) -> str:
        """The pseudonym that groups the cases of one patient."""
        return str(self.facts["patient"])

    @property
    def warnings(self) -> Sequence[str]:
        """What was wrong with it when it was read."""
        return tuple(self.facts["warnings"])

    @property
    def table(self) -> SliceTable:
        """The item's slices."""
        return SliceTable(
            start=np.array([0, len(self.arrays["slice.index"])]),
            index=self.arrays["slice.index"],
            z_mm=self.arrays["slice.z_mm"],
            row={view: self.arrays[f"slice.row.{view}"] for view in self.kind.labels},
        )

    def error(self, view: str) -> float | None:
        """How badly the encoder of a view gives its slices back; None where that is not kept."""
        kept = self.arrays.get(f"{ERROR}{view}")
        return None if kept is None else float(kept[0])

    @property
    def has_pictures(self) -> bool:
        """Whether its slices can be shown."""
        return "preview.bytes" in self.arrays

    @property
    def fine(self) -> Fine | None:
        """Its slices in HU and Gy, good enough to look at; None where the archive keeps none."""
        from isohash.features.cases.fine import PREFIX, Fine

        return Fine(self.arrays) if f"{PREFIX}place" in self.arrays else None

    def picture(self, slice_index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """Grey picture (y, x) and the values of lines upon it (dose in Gy) or None, of a slice."""
        return self.kind.picture(self.arrays, self.facts, slice_index)

    def seen(self, volume: Volume, slice_index: int) -> NDArray[np.float32] | None:
        """Another volume (y, x) on the pixels of `picture`; None where their place is unknown."""
        from isohash.dosimetry.dose import PlacedDose
        from isohash.dosimetry.resample import resample

        place = self.arrays.get("preview.place")
        if place is None:
            return None
        x_mm, y_mm, pixel_mm = place.tolist()
        row = int(np.flatnonzero(self.arrays["slice.index"] == slice_index)[0])
        z_mm, size = float(self.arrays["slice.z_mm"][row]), int(self.facts["size"])
        affine = np.array([[0, 0, pixel_mm, x_mm], [0, pixel_mm, 0, y_mm], [-1, 0, 0, z_mm],
                           [0, 0, 0, 1]], dtype=np.float64)  # fmt: skip
        parts = volume.parts if isinstance(volume, PlacedDose) else (volume,)
        return np.sum([resample(part, affine, (1, size, size))[0] for part in parts], axis=0)

    def outlines(self, slice_index: int) -> dict[str, list[NDArray[np.float64]]]:
        """Outlines of structures on `picture`: closed lines (m, 2) of (x, y) in pixels."""
        from isohash.features.cases.outlines import outlines_in

        names, size = self.facts.get("outlined", ()), int(self.facts.get("size", 0))
        found = outlines_in(self.arrays, (size, size), slice_index)
        return {names[number]: lines for number, lines in found.items()}

    def doses(self) -> dict[str, dict[str, float]]:
        """What is read off the histogram of each structure: cc, Gy and Paddick's index.

        Of archives that keep only histograms, what these tell.
        """
        from isohash.features.cases.shown import METRICS, dose_summary

        table = self.arrays.get("dvh.metrics")
        if table is None:
            return {name: dose_summary(curve) for name, curve in self.dvhs().items()}
        rows = [dict(zip(METRICS, row.tolist(), strict=True)) for row in table]
        told = [{name: value for name, value in row.items() if value == value} for row in rows]
        return dict(zip(self.facts["structures"], told, strict=False))

    def dvhs(self) -> dict[str, NDArray[np.float32]]:
        """Cumulative volume fraction of each structure at multiples of `DVH_BIN_GY`."""
        table = self.arrays.get("dvh.volume")
        return {} if table is None else dict(zip(self.facts["structures"], table, strict=True))


def check_facts(facts: Mapping[str, Any]) -> None:
    """ValueError unless facts read from an archive are of the types that everything relies on."""
    listed = ("warnings", "structures")
    texts = [text for name in listed for text in facts.get(name, [])]
    if not all(isinstance(text, str) for text in (facts["patient"], *texts)):
        raise ValueError("patient, warnings and structures must be text")
    if not all(isinstance(facts.get(name, []), list) for name in listed) or "warnings" not in facts:
        raise ValueError("warnings and structures must be lists")
    counts = [facts.get(name, 0) for name in ("n_structures", "n_slices", "n_dose_slices")]
    if not all(type(n) is int and n >= 0 for n in counts):
        raise ValueError("numbers of slices and structures must be counts")
    dose = facts.get("prescription_gy")
    if not (dose is None or (isinstance(dose, int | float) and 0 <= dose < MOST_GY)):
        raise ValueError(f"the prescription is {dose!r}")


class AsAsked(Mapping[str, NDArray[Any]]):
    """Named arrays, some made by group when one of them is first looked up.

    The groups are named by what their arrays' names begin with: a look-up of "plan.code" makes all
    of "plan". Iterating makes everything.
    """

    def __init__(self, ready: Arrays, groups: Mapping[str, Callable[[], Arrays]]) -> None:
        self._ready = dict(ready)
        self._groups = dict(groups)

    def __getitem__(self, name: str) -> NDArray[Any]:
        self._make(name.partition(".")[0])
        return self._ready[name]

    def __iter__(self) -> Iterator[str]:
        for group in list(self._groups):
            self._make(group)
        return iter(self._ready)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _make(self, group: str) -> None:
        if group in self._groups:
            self._ready |= self._groups[group]()
            del self._groups[group]


def entry_of(coded: CodedItem, embeddings: bool = True, pictures: bool = True) -> Entry:
    """What to keep of a coded item.

    `embeddings` False leaves out what only re-ranking and learning use, `pictures` those that are
    good enough to look at.
    """
    arrays = _slices(coded) | _hashed(coded) | (_embedded(coded) if embeddings else {})
    arrays |= coded.plan | _profile(coded) | _errors(coded)
    arrays |= coded.kind.shown(coded.item, coded.samples)
    arrays |= fine(coded) if pictures else {}
    return Entry(coded.item.id, coded.facts, arrays, coded.kind)


def query_entry(coded: CodedItem, pictures: bool) -> Entry:
    """The same of a query, of which only what is asked for is computed.

    `pictures` False leaves out what only a report shows.
    """
    ready = _slices(coded)
    if pictures:
        ready |= coded.kind.shown(coded.item, coded.samples)
    arrays = AsAsked(
        ready,
        {
            "codes": lambda: _hashed(coded),
            "embedding": lambda: _embedded(coded),
            "plan": lambda: coded.plan,
            "dose": lambda: coded.dose,
            "own": lambda: coded.planned,
            "likeness": lambda: _profile(coded),
            "error": lambda: _errors(coded),
            PICTURE: lambda: fine(coded) if pictures else {},
        },
    )
    return Entry(coded.item.id, coded.facts, arrays, coded.kind, partial(_foreseen, coded))


def _foreseen(coded: CodedItem) -> Entry | str:
    found = coded.foreseen()
    return found if isinstance(found, str) else query_entry(found, pictures=False)


def _slices(coded: CodedItem) -> Arrays:
    table = coded.table
    rows = {f"slice.row.{view}": rows for view, rows in table.row.items()}
    return {"slice.index": table.index, "slice.z_mm": table.z_mm, **rows}


def _hashed(coded: CodedItem) -> Arrays:
    generation = coded.pipeline.generation
    return {codes_name(view, generation): codes.packed for view, codes in coded.codes.items()}


def _profile(coded: CodedItem) -> Arrays:
    """By what the item can be told from a stranger; nothing for kinds that have no profile."""
    if coded.kind.profile is None:
        return {}
    return {PROFILE: coded.kind.profile(coded.samples)[None]}


def fine(coded: CodedItem) -> Arrays:
    """Pictures good enough to look at; nothing of kinds that have none but those shown."""
    return {} if coded.kind.fine is None else coded.kind.fine(coded.item, coded.samples)


def _errors(coded: CodedItem) -> Arrays:
    """By how badly its encoder gives an item back it can be told, too."""
    if coded.kind.profile is None:
        return {}
    return {f"{ERROR}{view}": np.array([error]) for view, error in coded.errors.items()}


def _embedded(coded: CodedItem) -> Arrays:
    return {f"embedding.{view}": e.astype(np.float16) for view, e in coded.embeddings.items()}
