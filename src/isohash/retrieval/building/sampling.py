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

from isohash.archive.recipe import IndexSettings
from isohash.errors import InputError
from isohash.features.cases.measures import Measured, measure
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import nothing_shown
from isohash.features.encoders.encoders import Encoder
from isohash.features.kinds import Kind, Samples
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.retrieval.building.plans_seen import PlansSeen
from isohash.retrieval.pipeline import as_stored
from isohash.sources.found import Found


@dataclass(frozen=True)
class Shares:
    """How many cases the models are fitted to, and how many more calibrate them."""

    fitted: int
    held_out: int

    @classmethod
    def of(cls, n_cases: int, settings: IndexSettings, single: bool = False) -> Shares:
        """A third of the cases read calibrates; there is none to spare of one or two.

        Of `single` items, which are one sample each, as many are read as slices otherwise.
        """
        most = settings.fit_slices if single else settings.fit_cases
        held_out = min(n_cases, most * 3 // 2) // 3
        return cls(min(most, n_cases - held_out), held_out)


@dataclass(frozen=True, eq=False)
class SliceSample:
    """Encoder inputs (n, size, size) of one view, and the patient of each (n,)."""

    images: NDArray[np.float32]
    patient: NDArray[Any]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Embeddings (n, d) of slices that no model was fitted to, and the patient of each (n,)."""

    rows: NDArray[np.float32]
    patient: NDArray[Any]

    @property
    def nothing(self) -> HeldOut:
        """None of them."""
        return HeldOut(self.rows[:0], self.patient[:0])


def item_of(found: Found, kind: Kind) -> Any:
    """The item that was found, under the key that the archive knows it by."""
    item: Any = found.read()
    kind.check(item, found.path)
    if item.id == found.key:
        return item
    patient = found.key if item.patient == item.id else item.patient  # of a file, its name is both
    return replace(item, id=found.key, patient=patient)


def check_shown(item: Any, samples: Samples, settings: SliceSettings) -> None:
    """Refuse a case of which no slice can be compared: it would count as indexed and be nothing."""
    if isinstance(item, Case) and not len(samples.slice_index):
        raise InputError(nothing_shown(item, settings))


class Reading:
    """The items that can be used, one after the other in `order`; iterate to go on reading.

    `reasons` says why others cannot; `measured` is of those cases that have structures.
    """

    def __init__(
        self, kind: Kind, found: Sequence[Found], order: Iterable[int], settings: SliceSettings
    ) -> None:
        self.kind = kind
        self.reasons: list[str] = []
        self.measured: list[Measured] = []
        self.plans = PlansSeen()
        self.settings = settings
        # no generator: one that waits keeps its last case, of some hundred megabytes, in memory
        self._cases = filter(None, map(self._read, (found[at] for at in order)))

    def __iter__(self) -> Iterator[tuple[Any, Samples]]:
        return self._cases

    def _read(self, found: Found) -> tuple[Any, Samples] | None:
        """The item and its slices; None if it cannot be used."""
        try:
            item = item_of(found, self.kind)
            samples = self.kind.cut(item, self.settings)
            check_shown(item, samples, self.settings)
        except InputError as error:
            self.reasons.append(str(error))
            return None
        if isinstance(item, Case) and item.structures:
            self.measured.append(measure(item))
            self.plans.add(item)
        return item, samples


def sample_slices(
    reading: Reading, n_cases: int, settings: IndexSettings, progress: Progress | None
) -> dict[str, SliceSample]:
    """Slices per view, evenly spread over up to `n_cases` cases."""
    views = reading.kind.views
    images: dict[str, list[NDArray[np.float32]]] = {view.name: [] for view in views}
    patients: dict[str, list[str]] = {view.name: [] for view in views}
    for done, (item, samples) in enumerate(islice(reading, n_cases), start=1):
        tell(progress, done, n_cases, "reading a sample of slices")
        for view in views:
            rows = _spread(view.rows(samples), -(-settings.fit_slices // n_cases))
            if len(rows):
                images[view.name].append(view.images(samples, rows))
                patients[view.name] += [item.patient] * len(rows)
    return {  # popped: one view's slices exist twice at a time
        name: SliceSample(np.concatenate(images.pop(name)), np.array(patients[name]))
        for name in patients
        if images[name]
    }


def held_out_embeddings(
    reading: Reading,
    n_cases: int,
    seen: set[str],
    encoders: Mapping[str, Encoder],
    settings: IndexSettings,
    progress: Progress | None,
) -> dict[str, HeldOut]:
    """Embeddings of slices of the next `n_cases` cases, of patients not in `seen`."""
    parts = {view: [np.empty((0, encoder.dim), np.float32)] for view, encoder in encoders.items()}
    patients: dict[str, list[str]] = {view: [] for view in encoders}
    views = [view for view in reading.kind.views if view.name in encoders]
    for done, (item, samples) in enumerate(islice(reading, n_cases), start=1):
        tell(progress, done, n_cases, "reading slices to calibrate with")
        if item.patient in seen:
            continue
        for view in views:
            rows = _spread(view.rows(samples), -(-settings.fit_slices // n_cases))
            if len(rows):
                encoded = encoders[view.name].encode(view.images(samples, rows))
                parts[view.name].append(as_stored(encoded))
                patients[view.name] += [item.patient] * len(rows)
    return {
        view: HeldOut(np.concatenate(found), np.array(patients[view], dtype=str))
        for view, found in parts.items()
    }


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
