"""What the models of a new archive are fitted to: slices of some cases, and of others to calibrate.

Hash and calibration must not see the same patients: a code that was fitted to a slice keeps it
better than one it has never met, and intervals would be too narrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.features.cases.measures import Measured, measure
from isohash.features.cases.slices import CaseSlices, SliceSettings, case_slices
from isohash.features.encoders.encoders import Encoder
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.retrieval.comparison import VIEWS, View
from isohash.retrieval.pipeline import as_stored, images_of, rows_of
from isohash.retrieval.settings import IndexSettings
from isohash.sources.found import Found


@dataclass(frozen=True)
class Shares:
    """How many cases the models are fitted to, and how many more calibrate them."""

    fitted: int
    held_out: int

    @classmethod
    def of(cls, n_cases: int, settings: IndexSettings) -> Shares:
        """A third of the cases read calibrates; there is none to spare of one or two."""
        held_out = min(n_cases, settings.fit_cases * 3 // 2) // 3
        return cls(min(settings.fit_cases, n_cases - held_out), held_out)


@dataclass(frozen=True, eq=False)
class SliceSample:
    """Encoder inputs (n, size, size) of one view, and the patient of each (n,)."""

    images: NDArray[np.float32]
    patient: NDArray[Any]


def case_of(found: Found) -> Case:
    """The case that was found, under the key that the archive knows it by."""
    case = found.read()
    if not isinstance(case, Case):
        raise InputError(f"{found.path} holds vectors, not a case")
    return case if case.id == found.key else replace(case, id=found.key)


class Reading:
    """The cases that can be used, one after the other in `order`; iterate to go on reading.

    `reasons` says why others cannot; `measured` is of those cases that have structures.
    """

    def __init__(
        self, found: Sequence[Found], order: Iterable[int], settings: SliceSettings
    ) -> None:
        self.reasons: list[str] = []
        self.measured: list[Measured] = []
        self._cases = self._read(found, order, settings)

    def __iter__(self) -> Iterator[tuple[Case, CaseSlices]]:
        return self._cases

    def _read(
        self, found: Sequence[Found], order: Iterable[int], settings: SliceSettings
    ) -> Iterator[tuple[Case, CaseSlices]]:
        for at in order:
            try:
                case = case_of(found[at])
                slices = case_slices(case, settings)
            except InputError as error:
                self.reasons.append(str(error))
                continue
            if case.structures:
                self.measured.append(measure(case))
            yield case, slices


def sample_slices(
    reading: Reading, n_cases: int, settings: IndexSettings, progress: Progress | None
) -> dict[View, SliceSample]:
    """Slices per view, evenly spread over up to `n_cases` cases."""
    images: dict[View, list[NDArray[np.float32]]] = {view: [] for view in VIEWS}
    patients: dict[View, list[str]] = {view: [] for view in VIEWS}
    for done, (case, slices) in enumerate(islice(reading, n_cases), start=1):
        tell(progress, done, n_cases, "reading a sample of slices")
        for view in VIEWS:
            rows = _spread(rows_of(slices, view), -(-settings.fit_slices // n_cases))
            if len(rows):
                images[view].append(images_of(slices, view, rows))
                patients[view] += [case.patient] * len(rows)
    return {  # popped: one view's slices exist twice at a time
        view: SliceSample(np.concatenate(images.pop(view)), np.array(patients[view]))
        for view in VIEWS
        if images[view]
    }


def held_out_embeddings(
    reading: Reading,
    n_cases: int,
    seen: set[str],
    encoders: Mapping[View, Encoder],
    settings: IndexSettings,
    progress: Progress | None,
) -> dict[View, NDArray[np.float32]]:
    """Embeddings of slices of the next `n_cases` cases, of patients not in `seen`."""
    parts = {view: [np.empty((0, encoder.dim), np.float32)] for view, encoder in encoders.items()}
    for done, (case, slices) in enumerate(islice(reading, n_cases), start=1):
        tell(progress, done, n_cases, "reading slices to calibrate with")
        if case.patient in seen:
            continue
        for view, encoder in encoders.items():
            rows = _spread(rows_of(slices, view), -(-settings.fit_slices // n_cases))
            if len(rows):
                parts[view].append(as_stored(encoder.encode(images_of(slices, view, rows))))
    return {view: np.concatenate(found) for view, found in parts.items()}


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
