"""What the archive keeps of a case: facts (JSON) and named arrays, and how to read them back.

| array | shape | meaning |
|---|---|---|
| `slice.index`, `slice.z_mm` | (n,) | position in the case's volume; height in the patient |
| `slice.row.ct`, `slice.row.dose` | (n,) | row of the slice's code in that view, -1 for none |
| `codes.ct`, `codes.dose` | (rows, bytes) | packed codes |
| `embedding.ct`, `embedding.dose` | (rows, d) float16 | what codes are made from, if kept |
| `plan.predicted` | (structures, volumes) float16 | doses (Gy) that the anatomy would get |
| `plan.code`, `plan.known` | (1, structures, volumes), (1, structures) | planned doses in steps |
| `preview.bytes`, `preview.offset` | | each slice's CT (uint8) and dose (cGy, uint16), deflated |
| `dvh.volume` | (structures, bins) | cumulative volume fraction at multiples of `dvh_bin_gy` |

A query from a file becomes an entry too, so results and queries are shown by the same code.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dvh import dvh
from isohash.dosimetry.names import canonical_name
from isohash.features.cases.slices import CaseSlices, display_ct
from isohash.records import Case, Volume
from isohash.retrieval.comparison import VIEWS, SliceTable, View
from isohash.retrieval.models import mark
from isohash.retrieval.pipeline import CodedCase

DVH_BIN_GY = 0.5
DVH_MAX_GY = 100.0
DEFLATE_LEVEL = 4  # measured: level 9 saves 6 % more and takes 5 times as long

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Entry:
    """A case as kept: `facts` are plain values, `arrays` as in the table above."""

    id: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def patient(self) -> str:
        """The pseudonym that groups the cases of one patient."""
        return str(self.facts["patient"])

    @property
    def table(self) -> SliceTable:
        """The case's slices."""
        return SliceTable(
            start=np.array([0, len(self.arrays["slice.index"])]),
            index=self.arrays["slice.index"],
            z_mm=self.arrays["slice.z_mm"],
            row={view: self.arrays[f"slice.row.{view}"] for view in VIEWS},
        )

    @property
    def has_pictures(self) -> bool:
        """Whether its slices can be shown."""
        return "preview.bytes" in self.arrays

    def picture(self, slice_index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """Grey CT (y, x) in the display window, and dose in Gy or None, of one slice."""
        row = int(np.flatnonzero(self.arrays["slice.index"] == slice_index)[0])
        first, last = self.arrays["preview.offset"][row : row + 2]
        data = zlib.decompress(self.arrays["preview.bytes"][first:last].tobytes())
        size = int(self.facts["size"])
        grey = np.frombuffer(data, np.uint8, size * size).reshape(size, size)
        if len(data) == size * size:
            return grey, None
        cgy = np.frombuffer(data, "<u2", offset=size * size).reshape(size, size)
        return grey, cgy.astype(np.float32) / np.float32(100)

    def dvhs(self) -> dict[str, NDArray[np.float32]]:
        """Cumulative volume fraction of each structure at multiples of `DVH_BIN_GY`."""
        return dict(zip(self.facts["structures"], self.arrays["dvh.volume"], strict=True))


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


def entry_of(coded: CodedCase, embeddings: bool = True) -> Entry:
    """What to keep of a coded case.

    `embeddings` False leaves out what only re-ranking and learning use.
    """
    arrays = _slices(coded) | _hashed(coded)
    if embeddings:
        arrays |= _embedded(coded)
    structures = _with_dvh(coded.case)
    arrays |= coded.plan | _shown(coded, structures)
    return Entry(coded.case.id, _facts(coded, list(structures)), arrays)


def query_entry(coded: CodedCase, pictures: bool) -> Entry:
    """The same of a query, of which only what is asked for is computed.

    `pictures` False leaves out what only a report shows.
    """
    structures = _with_dvh(coded.case)
    ready = _slices(coded) | (_shown(coded, structures) if pictures else {})
    arrays = AsAsked(
        ready,
        {
            "codes": lambda: _hashed(coded),
            "embedding": lambda: _embedded(coded),
            "plan": lambda: coded.plan,
        },
    )
    return Entry(coded.case.id, _facts(coded, list(structures)), arrays)


def _slices(coded: CodedCase) -> Arrays:
    table = coded.table
    rows = {f"slice.row.{view}": table.row[view] for view in VIEWS}
    return {"slice.index": table.index, "slice.z_mm": table.z_mm, **rows}


def _hashed(coded: CodedCase) -> Arrays:
    generation = coded.pipeline.generation
    return {codes_name(view, generation): codes.packed for view, codes in coded.codes.items()}


def _embedded(coded: CodedCase) -> Arrays:
    return {f"embedding.{view}": e.astype(np.float16) for view, e in coded.embeddings.items()}


def _shown(coded: CodedCase, structures: Mapping[str, Volume]) -> Arrays:
    return {**_previews(coded.slices), "dvh.volume": _dvh_table(coded.case, structures)}


def codes_name(view: View, generation: int) -> str:
    """The array of a view's codes made by one generation of hashes."""
    return f"codes.{view}{mark(generation)}"


def _with_dvh(case: Case) -> dict[str, Volume]:
    """The structures to draw DVHs of, by the names under which cases can be compared."""
    named: dict[str, Volume] = {}
    for name in sorted(case.structures if case.dose is not None else ()):
        if case.structures[name].array.any():
            named.setdefault(canonical_name(name) or name, case.structures[name])
    return named


def _facts(coded: CodedCase, names: list[str]) -> dict[str, Any]:
    case = coded.case
    return {
        **case.facts,
        "patient": case.patient,
        "label": case.label,
        "prescription_gy": case.prescription_gy,
        "warnings": list(case.warnings),
        "structures": names,
        "n_structures": len(case.structures),
        "n_slices": len(coded.slices),
        "n_dose_slices": int(coded.slices.has_dose.sum()),
        "size": coded.slices.settings.size,
    }


def _previews(slices: CaseSlices) -> Arrays:
    size = slices.settings.size
    if slices.hu is None:
        grey = np.zeros((len(slices), size, size), np.uint8)
    else:
        grey = display_ct(slices)
    blobs = []
    for row in range(len(slices)):
        data = grey[row].tobytes()
        if slices.dose_cgy is not None and slices.has_dose[row]:
            data += slices.dose_cgy[row].astype("<u2").tobytes()
        blobs.append(zlib.compress(data, DEFLATE_LEVEL))
    offset = np.concatenate([[0], np.cumsum([len(blob) for blob in blobs], dtype=np.int64)])
    return {
        "preview.bytes": np.frombuffer(b"".join(blobs), np.uint8),
        "preview.offset": offset.astype(np.int64),
    }


def _dvh_table(case: Case, structures: Mapping[str, Volume]) -> NDArray[np.float32]:
    edges = np.arange(0.0, DVH_MAX_GY + DVH_BIN_GY, DVH_BIN_GY)
    table = np.zeros((len(structures), len(edges)), np.float32)
    if case.dose is not None:
        for row, mask in enumerate(structures.values()):
            curve = dvh(case.dose, mask, bin_gy=DVH_BIN_GY)
            table[row] = np.interp(edges, curve.dose_gy, curve.fraction, right=0.0)
    return table
