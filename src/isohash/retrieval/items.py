"""An archive of items that are cut into samples (cases, ...): asked by images and by plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.records import Case
from isohash.retrieval.comparison import Comparison, ViewCodes
from isohash.retrieval.dose_arrays import KeptDose, predicted_histograms
from isohash.retrieval.entry import PICTURE, AsAsked, Entry, check_facts, query_entry
from isohash.retrieval.facts import FactTable, Mask
from isohash.retrieval.inventory import fact_names, meant
from isohash.retrieval.likeness import PROFILE, Usual, usual_of
from isohash.retrieval.models import codes_name
from isohash.retrieval.pipeline import Pipeline
from isohash.retrieval.plan_code import predicted_doses
from isohash.retrieval.plan_comparison import PlanColumn
from isohash.retrieval.ranked import Ranked
from isohash.retrieval.reranking import Embedded
from isohash.retrieval.slices import SliceTable, check_slices
from isohash.retrieval.strangers import understanding
from isohash.retrieval.ways.doses import EXPECTED, DoseColumn, DoseMapWay, expected_of
from isohash.retrieval.ways.foreseen import ForeseenWay
from isohash.retrieval.ways.images import ImagesWay
from isohash.retrieval.ways.plan import MADE_BEFORE, Foretold, Matched, PlanWay
from isohash.retrieval.ways.way import Way

OTHER_KEY = (
    "the pseudonyms of this archive were made with another key ($ISOHASH_KEY_FILE): "
    "cases of the query's own patient cannot be told and are not left out"
)
NAME_KEY = (
    "the query's own patient cannot be left out: the pseudonyms of this archive were made with "
    "another key. Set $ISOHASH_KEY_FILE to the archive's, or ask with --same-patient, which leaves "
    "nobody out"
)
NO_ENCODER = "no case that it was made from has structures"


@dataclass(frozen=True, eq=False)
class Columns:
    """What a scan needs of all items, in the archive's order: slices, and codes by view.

    `start[view]` (n_items + 1,) says which item owns which codes.
    """

    table: SliceTable
    codes: Mapping[str, Any]
    start: Mapping[str, NDArray[np.int64]]


class Items:
    """The items of an archive, opened for reading."""

    def __init__(self, store: CaseStore) -> None:
        self.store = store
        self.recipe = Recipe(store.recipe)
        self.recipe.check()
        self.pipeline = Pipeline.from_files(self.recipe, store.read_file, store.path)
        self.facts = FactTable(len(store), self._fact, partial(fact_names, store))

    def __len__(self) -> int:
        return len(self.store)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self.store

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The ids in the archive's order."""
        return self.store.ids()

    def positions(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Where some items stand; every id must be one of theirs."""
        return np.array([self.ids.index(one) for one in ids], dtype=np.int64)

    def known(self, position: int) -> tuple[str, Mapping[str, Any]]:
        """Id and facts of an item."""
        return self.ids[position], self.store.metadata(self.ids[position])

    def entry(self, name: str) -> Entry:
        """What is kept of one item."""
        facts, arrays = self.store.metadata(name), self._arrays(name)
        entry = Entry(name, facts, arrays, self.pipeline.kind)
        with understanding(self.store.path, f"case {name}"):
            check_facts(facts)
            generation = self.pipeline.generation
            own = {v: codes_name(v, generation) for v in self.pipeline.models}
            for view in own:
                entry.error(view)  # that it is a number
            n_codes = {view: len(arrays[name]) for view, name in own.items() if name in arrays}
            check_slices(entry.table, {view: np.array([0, n]) for view, n in n_codes.items()})
        return entry

    def _arrays(self, name: str) -> AsAsked:
        """An item's arrays; those for looking at are read (and checked) when they are asked for."""
        apart: dict[bool, list[str]] = {False: [], True: []}
        for one in self.store.array_names(name):
            apart[one.startswith(f"{PICTURE}.")].append(one)
        ready = self.store.arrays(name, apart[False])
        return AsAsked(ready, {PICTURE: lambda: self.store.arrays(name, apart[True])})

    def load(self) -> None:
        """Read all that answers are made with; InputError says what is wrong with it."""
        _ = list(self.pipeline.encoders.values())
        if len(self):
            _ = self.columns, self.plans
        if self.pipeline.dose is not None:
            self.pipeline.dose.load()

    def query(self, item: Any, pictures: bool, prescription_gy: float | None = None) -> Entry:
        """An item, the id of a stored one, or a path that holds exactly one.

        `prescription_gy` stands instead of what a case from elsewhere says.
        """
        if isinstance(item, Entry) or (isinstance(item, str) and item in self.store):
            if prescription_gy is not None:
                raise InputError("a stored case keeps its prescription; ask with its files")
            return item if isinstance(item, Entry) else self.entry(item)
        return query_entry(self.pipeline.code(self.read(item, prescription_gy)), pictures)

    def read(self, item: Any, prescription_gy: float | None = None) -> Any:
        """What is not stored here, as it is read: the item at a path, or the one given."""
        read = self._read(item)
        if prescription_gy is not None and isinstance(read, Case):
            read = replace(read, prescription_gy=_prescribed(prescription_gy))
        return read

    @cached_property
    def usual(self) -> Usual | None:
        """What was measured when the archive was made."""
        with understanding(self.store.path, "what it holds usually"):
            return usual_of(self.store)

    def profile(self, query: Entry) -> dict[str, float]:
        """How far its tissues, body, dose, extent and structures are from those of the items."""
        profile = query.arrays.get(PROFILE)
        if self.usual is None or profile is None:
            return {}
        with understanding(self.store.path, f"the profile of case {query.id}"):
            return self.usual.measured(profile[0].astype(np.float64), structures_of(query))

    def own(self, query: Entry) -> Mask:
        """The items of the query's own patient."""
        return self.facts.equal("patient", query.facts["patient"])

    def unknown_patient(self, query: Entry) -> str | None:
        """Pseudonyms by another key tell nothing of who is whose."""
        return NAME_KEY if OTHER_KEY in query.warnings else None

    def rows_of(self, query: Entry) -> int:
        """A query is one item."""
        return 1

    def ways(self, query: Entry) -> tuple[Way, ...]:
        """By plan, and by images."""
        images = self._images_way(query)

        def matched(cases: Sequence[int]) -> Mapping[int, Ranked]:
            """Slices to show; only where pictures are wanted, for they cost an alignment."""
            if not query.has_pictures or images.why_not() is not None:
                return {}
            weights = images.default_weights()
            if not query.table.usable(tuple(weights)).any():
                return {}
            return images.comparison.matched(weights, cases)

        plan = PlanWay(
            query=query.id,
            foretell=partial(self.foretold, query),
            n_structures=int(query.facts.get("n_structures", 0)),
            column=self.plans,
            facts=self.known,
            matched=matched,
            positions=self.positions,
        )
        if self.pipeline.kind.item is not Case:
            return (images,)
        return (plan, *self._dose_ways(query, images, matched), images)

    def _dose_ways(self, query: Entry, images: ImagesWay, matched: Matched) -> tuple[Way, ...]:
        """By the predicted dose laid on the patient, and by its images where there is no other."""

        def kept() -> KeptDose:
            return KeptDose(query.arrays)

        def foreseen() -> ImagesWay | str:
            found = query.foreseen()
            why = f"case {query.id} has no dose to compare, and none can be foretold: {found}"
            return why if isinstance(found, str) else self._images_way(found)

        expected = expected_of(self.recipe.dose.get(EXPECTED))
        by_map = DoseMapWay(query.id, kept, self.doses, expected, self.known, matched, query.table)
        return (by_map,) if "dose" in images.own else (by_map, ForeseenWay(foreseen))

    def _images_way(self, query: Entry) -> ImagesWay:
        table = query.table
        embedded = Embedded(query.arrays, self.store, self.ids, self.pipeline.models)
        return ImagesWay(
            query=query.id,
            items=self.pipeline.kind.name,
            own=[view for view, rows in table.row.items() if (rows >= 0).any()],
            labels=self.pipeline.kind.labels,
            models=self.pipeline.models,
            compare=partial(self.compared, query),
            embedded=embedded if self.recipe.settings.embeddings else None,
            single=self.pipeline.kind.single,
            facts=self.known,
            positions=self.positions,
            error=query.error,
        )

    def compared(self, query: Entry) -> Comparison:
        """The query's slices against all stored ones."""
        views = {
            view: ViewCodes(
                query=model.codes(query.arrays.get(codes_name(view, self.pipeline.generation))),
                stored=self.columns.codes[view],
                start=self.columns.start[view],
                measure=model.measured,
                unit=model.near_measured,
            )
            for view, model in self.pipeline.models.items()
        }
        return Comparison(query.table, self.columns.table, views)

    def foretold(self, query: Entry) -> Foretold | str:
        """The histograms that a query's anatomy would get, or why none can be told.

        Those of its predicted dose; where there is none, those that the plan encoder predicts.
        """
        encoder, dose = self.pipeline.plan, self.pipeline.dose
        if dose is not None and dose.calibration is not None:
            histograms = predicted_histograms(query.arrays)
            if histograms is not None:
                calibration = dose.calibration
                usual, shared = calibration.expected_distance, calibration.expected_shared
                return Foretold(histograms, calibration.settings, usual, shared)
        if encoder is None:
            return f"the archive cannot be asked by plan ({self._why_no_encoder()})"
        predicted = predicted_doses(query.arrays)
        if predicted is None:
            organs = ", ".join(encoder.settings.organs)
            return f"case {query.id} has no target, or none of {organs}"
        return Foretold(predicted, encoder.settings, encoder.expected_distance)

    @cached_property
    def plans(self) -> PlanColumn | None:
        """The coded plans of all items; None if the archive cannot be asked by plan."""
        layout = self.pipeline.layout
        if layout is None:
            return None
        with understanding(self.store.path, "the plans of its cases"):
            return PlanColumn.of(self.store, (len(layout.structures), len(layout.dose_volumes)))

    @cached_property
    def doses(self) -> DoseColumn | None:
        """The doses of all items as cubes; None if they are not kept."""
        with understanding(self.store.path, "the doses of its cases"):
            return DoseColumn.of(self.store)

    @cached_property
    def columns(self) -> Columns:
        """The slices and codes of all items, memory-mapped where the archive allows it."""
        with understanding(self.store.path, "the slices of its cases"):
            return self._columns()

    def _columns(self) -> Columns:
        index, z_mm = self.store.gather("slice.index"), self.store.gather("slice.z_mm")
        codes, start, rows = {}, {}, {}
        for view in self.pipeline.kind.labels:
            rows[view] = self.store.gather(f"slice.row.{view}").array
            if view in self.pipeline.models:
                column = self.store.gather(codes_name(view, self.pipeline.generation))
                codes[view] = self.pipeline.models[view].codes(column.array)
                start[view] = column.start
        check_slices(SliceTable(index.start, index.array, z_mm.array, rows), start)
        rows |= {view: _global_rows(rows[view], index.start, s) for view, s in start.items()}
        return Columns(SliceTable(index.start, index.array, z_mm.array, rows), codes, start)

    def _fact(self, name: str) -> Sequence[Any]:
        return self.ids if name == "id" else self.store.column(name)

    def _why_no_encoder(self) -> str:
        if "plan" not in self.recipe:
            return MADE_BEFORE
        return str(self.recipe.plan.get("missing", NO_ENCODER))

    def _read(self, item: Any) -> Any:
        """The item at a path, or the one given, under the names that this archive knows."""
        from isohash.retrieval.naming import naming_of  # not needed to ask with a stored item
        from isohash.retrieval.telling_apart import is_own_key, known_by
        from isohash.sources.pacs.scheme import is_address
        from isohash.sources.reading import find, sole_case

        naming, kind = naming_of(self.recipe.settings), self.pipeline.kind
        if not isinstance(item, str | Path):
            return naming.let_out(item) if isinstance(item, Case) else item
        if not is_address(item) and not Path(item).exists():
            raise InputError(
                f"{item} is neither a path nor the id of a case in this archive"
                f"{meant(str(item), self.ids)} isohash list {self.store.path} shows the ids"
            )
        findings = find(item, naming=naming).named_by(naming)
        if findings.holds != kind.name:
            raise InputError(
                f"{item} holds {findings.holds}, this archive {kind.name}; ask with one of those"
            )
        read, found = sole_case(findings, item), findings.found[0]
        case = naming.let_out(read) if isinstance(read, Case) else read
        if is_own_key(self.recipe.key):
            return known_by(found, case, self.store)
        warnings = (*case.warnings, *([OTHER_KEY] if findings.key else []))
        return replace(case, id=found.key, warnings=warnings)


def structures_of(item: Entry) -> tuple[str, ...]:
    """The names of the structures of an item, where its kind has any."""
    return tuple(map(str, item.facts.get("structures") or ()))


def _prescribed(gy: float) -> float:
    from isohash.dosimetry.names import HIGHEST_GY

    if not 0 < gy < HIGHEST_GY:
        raise InputError(f"--prescription must be between 0 and {HIGHEST_GY:g} Gy, got {gy}")
    return float(gy)


def _global_rows(
    rows: NDArray[np.int64], slice_start: NDArray[np.int64], code_start: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Rows within an item's codes -> rows within the column of all items; -1 stays -1."""
    offset = np.repeat(code_start[:-1], np.diff(slice_start))
    return np.where(rows >= 0, rows + offset, -1)
