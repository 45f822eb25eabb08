"""The archive as its users see it: open it, ask it, check it. Here all stages meet.

A query goes: file -> `Case` (sources) -> slices -> embeddings (features) -> codes (hashing) ->
distances to the stored codes (index, archive) -> ranked matches with their evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.store import CaseStore
from isohash.archive.verify import Report
from isohash.errors import InputError
from isohash.index.flat import distances
from isohash.records import Case, Codes
from isohash.retrieval.answer import Answer, matches_of
from isohash.retrieval.comparison import (
    DEFAULT_ALPHA,
    VIEWS,
    By,
    Comparison,
    Level,
    Question,
    Ranked,
    SliceTable,
    View,
    views_of,
)
from isohash.retrieval.entry import Entry, codes_name, query_entry
from isohash.retrieval.naming import naming_of
from isohash.retrieval.pipeline import Pipeline, load_pipeline
from isohash.retrieval.reranking import Embedded, n_candidates, rerank
from isohash.retrieval.settings import settings_of
from isohash.retrieval.ways.plan import PlanColumn, PlanComparison
from isohash.retrieval.ways.plan_answers import answer_by_plan, compare_plans, why_images
from isohash.retrieval.where import parse_where
from isohash.sources.reading import find, sole_case

if TYPE_CHECKING:
    from isohash.retrieval.ways.vectors import VectorArchive

OTHER_KEY = (
    "the pseudonyms of this archive were made with another key ($ISOHASH_KEY_FILE): "
    "cases of the query's own patient cannot be told and are not left out"
)


@dataclass(frozen=True, eq=False)
class Session:
    """One query compared with the archive once; then ask as often as wanted.

    Changing k, by, alpha, level or where reads no codes again.
    """

    archive: Archive
    query: Entry

    @cached_property
    def comparison(self) -> Comparison:
        """The query's slices against all stored ones; a query by plan does without."""
        return self.archive.compared(self.query)

    def ask(
        self,
        k: int = 10,
        by: By | None = None,
        alpha: float = DEFAULT_ALPHA,
        level: Level = "case",
        where: str | None = None,
        query_slice: int | None = None,
        same_patient: bool = False,
        rerank: int | None = None,
    ) -> Answer:
        """The k nearest cases (or slices); see `Archive.query`."""
        if k < 1:
            raise InputError(f"-k must be at least 1, got {k}")
        if by == "plan" or (by is None and level == "case" and self.plans is not None):
            return answer_by_plan(self, k, level, where, same_patient)
        if level not in ("slice", "case"):
            raise InputError(f"--level must be slice or case, got {level!r}")
        weights = views_of(by or self.best_by_images(), alpha)
        self._check_views(weights)
        passing, allowed = self.asked_of(where, same_patient)
        columns, models = self.archive.columns, self.archive.pipeline.models
        question = Question(weights, k, allowed, level, query_slice)
        n = n_candidates(rerank, k, self.archive.keeps_embeddings)
        ranked = self._ranked(question, n)
        matches = matches_of(
            ranked, lambda i: (columns.ids[i], columns.facts[i]), weights, models, exact=n > 0
        )
        n_excluded = int((passing & ~allowed).sum())
        few = [] if len(matches) == k else [_why_fewer(len(matches), k, int(allowed.sum()), level)]
        return Answer(
            query=self.query.id,
            level=level,
            weights=weights,
            n_considered=int(allowed.sum()),
            n_excluded=n_excluded,
            n_reranked=min(n, int(allowed.sum())),
            linear=all(models[view].linear for view in weights),
            matches=matches,
            warnings=(
                *self.query.facts["warnings"],
                *few,
                *_no_close_match(matches),
                *([] if by or level == "slice" else why_images(self)),
            ),
        )

    def _ranked(self, question: Question, n: int) -> list[Ranked]:
        """By code alone, or (n > 0) with n candidates re-ranked by their embeddings."""
        if not n:
            return self.comparison.rank(question)
        own = {view: self.query.arrays[f"embedding.{view}"] for view in question.weights}
        archive = self.archive
        embedded = Embedded(own, archive.store, archive.columns.ids, archive.pipeline.models)
        return rerank(self.comparison, question, n, embedded)

    @cached_property
    def plans(self) -> PlanComparison | None:
        """The doses that the query's anatomy would get against the plans of the archive."""
        return compare_plans(self)

    def asked_of(
        self, where: str | None, same_patient: bool
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which cases pass the filter, and which of them may be answers."""
        passing = self._passing(where)
        return passing, passing if same_patient else passing & ~self._own()

    def best_by_images(self) -> By:
        """By what a query is ranked whose plan cannot be foreseen."""
        models, rows = self.archive.pipeline.models, self.query.table.row
        ct, dose = (view in models and bool((rows[view] >= 0).any()) for view in VIEWS)
        if ct != dose:
            return "ct" if ct else "dose"
        return "joint"

    def _check_views(self, weights: Mapping[View, float]) -> None:
        for view in weights:
            if view not in self.archive.pipeline.models:
                others = ", ".join(self.archive.pipeline.models)
                raise InputError(f"the archive has no {view} codes; it can be asked by {others}")
            if not (self.query.table.row[view] >= 0).any():
                raise InputError(f"case {self.query.id} has no {view} to compare; use another --by")

    def _passing(self, where: str | None) -> NDArray[np.bool_]:
        columns = self.archive.columns
        if where is None:
            return np.ones(len(columns.ids), dtype=bool)
        keep = parse_where(where)
        pairs = zip(columns.ids, columns.facts, strict=True)
        return np.array([keep({**facts, "id": name}) for name, facts in pairs], dtype=bool)

    def _own(self) -> NDArray[np.bool_]:
        patients = self.archive.columns.patients
        return np.array([patient == self.query.patient for patient in patients], dtype=bool)


@dataclass(frozen=True, eq=False)
class Columns:
    """What a scan needs of all cases: facts, slices and codes, in the archive's order."""

    ids: tuple[str, ...]
    facts: tuple[Mapping[str, Any], ...]
    table: SliceTable
    codes: dict[View, Codes]

    @property
    def patients(self) -> list[str]:
        """The patient of each case."""
        return [str(facts["patient"]) for facts in self.facts]


class Archive:
    """An archive of cases, opened for reading. `len`, iteration over ids, `query`, `verify`."""

    def __init__(self, store: CaseStore, pipeline: Pipeline) -> None:
        self.store = store
        self.pipeline = pipeline

    @classmethod
    def open(cls, path: str | Path) -> Archive | VectorArchive:
        """Open an archive folder; InputError if it is missing, foreign or of a newer format.

        An archive of plain vectors comes back as a `VectorArchive`, asked in the same way.
        """
        store = CaseStore.open(path)
        if store.recipe.get("kind") == "vectors":
            from isohash.retrieval.ways.vectors import VectorArchive

            return VectorArchive(store)
        return cls(store, load_pipeline(store))

    @classmethod
    def of_cases(cls, path: str | Path) -> Archive:
        """Open an archive that must hold cases."""
        store = CaseStore.open(path)
        return cls(store, load_pipeline(store))

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self.store.close()

    def __len__(self) -> int:
        return len(self.store)

    def __iter__(self) -> Iterator[str]:
        return iter(self.store.ids())

    def __contains__(self, case_id: str) -> bool:
        return case_id in self.store

    @property
    def recipe(self) -> dict[str, Any]:
        """How the archive was made: versions, seeds, settings, digests."""
        return self.store.recipe

    @property
    def keeps_embeddings(self) -> bool:
        """Whether candidates can be re-ranked by their embeddings."""
        return bool(settings_of(self.recipe)["embeddings"])

    def entry(self, case_id: str) -> Entry:
        """What is kept of one case."""
        return Entry(case_id, self.store.metadata(case_id), self.store.arrays(case_id))

    @cached_property
    def plans(self) -> PlanColumn | None:
        """The coded plans of all cases; None if the archive cannot be asked by plan."""
        return None if self.pipeline.plan is None else PlanColumn.of(self.store)

    @cached_property
    def columns(self) -> Columns:
        """The slices and codes of all cases, memory-mapped where the archive allows it."""
        ids = tuple(self.store.ids())
        index = self.store.gather("slice.index")
        rows = {view: self.store.gather(f"slice.row.{view}").array for view in VIEWS}
        codes, table_rows = {}, {}
        for view in VIEWS:
            table_rows[view] = rows[view]
            if view in self.pipeline.models:
                column = self.store.gather(codes_name(view, self.pipeline.generation))
                codes[view] = self.pipeline.models[view].codes(column.array)
                table_rows[view] = _global_rows(rows[view], index.start, column.start)
        return Columns(
            ids=ids,
            facts=tuple(self.store.metadata(case_id) for case_id in ids),
            table=SliceTable(
                index.start, index.array, self.store.gather("slice.z_mm").array, table_rows
            ),
            codes=codes,
        )

    def session(self, case: Case | Entry | str | Path, pictures: bool = False) -> Session:
        """Compare a query with the archive: a `Case`, an id in the archive, or a path."""
        query = self._entry_of(case, pictures)
        if not len(self):
            raise InputError("the archive holds no cases yet; add some with isohash index")
        return Session(self, query)

    def compared(self, query: Entry) -> Comparison:
        """The code distances of a query's slices to all stored slices."""
        columns = self.columns
        counts = {}
        for view, codes in columns.codes.items():
            packed = query.arrays.get(codes_name(view, self.pipeline.generation))
            counts[view] = distances(self.pipeline.models[view].codes(packed), codes)
        measure = {view: model.measured for view, model in self.pipeline.models.items()}
        return Comparison(query.table, columns.table, counts, measure)

    def query(
        self,
        case: Case | Entry | str | Path,
        k: int = 10,
        by: By | None = None,
        alpha: float = DEFAULT_ALPHA,
        level: Level = "case",
        where: str | None = None,
        query_slice: int | None = None,
        same_patient: bool = False,
        rerank: int | None = None,
    ) -> Answer:
        """The k nearest cases, or slices for level="slice".

        Args:
            case: a `Case`, the id of an indexed case, or a path that holds exactly one case.
            k: how many; fewer come back, with the reason, if fewer qualify.
            by: "plan", "ct", "dose" or "joint"; None takes plan for a query whose structures
                tell what plan it would get, otherwise joint if it has both images.
            alpha: weight of CT against dose in a joint query, 0..1.
            level: "case" aligns all slices monotonically, "slice" ranks single slices.
            where: a filter on facts, such as "prescription_gy >= 60"; applied before the search.
            query_slice: index of the query's slice for level="slice"; None is the middle one.
            same_patient: also return cases of the query's own patient.
            rerank: so many candidates, nearest by code, are ordered anew by the exact distances of
                their embeddings; 0 leaves the order to the codes. None takes 64 where the archive
                keeps embeddings.
        """
        session = self.session(case)
        return session.ask(k, by, alpha, level, where, query_slice, same_patient, rerank)

    def verify(self) -> Report:
        """Check every byte of the archive; the report names what is damaged."""
        return self.store.verify()

    def _entry_of(self, case: Case | Entry | str | Path, pictures: bool) -> Entry:
        if isinstance(case, Entry):
            return case
        if isinstance(case, str) and case in self.store:
            return self.entry(case)
        naming = naming_of(settings_of(self.recipe)["aliases"])
        if not isinstance(case, Case):
            if not Path(case).exists():
                raise InputError(f"{case} is neither a path nor the id of a case in this archive")
            findings = find(case, naming=naming)
            case = sole_case(findings, case)
            if findings.key and findings.key != self.recipe.get("key", findings.key):
                case = replace(case, warnings=(*case.warnings, OTHER_KEY))
        return query_entry(self.pipeline.code(naming.let_out(case)), pictures)


def _global_rows(
    rows: NDArray[np.int64], slice_start: NDArray[np.int64], code_start: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Rows within a case's codes -> rows within the column of all cases; -1 stays -1."""
    offset = np.repeat(code_start[:-1], np.diff(slice_start))
    return np.where(rows >= 0, rows + offset, -1)


def _why_fewer(n: int, k: int, allowed: int, level: Level) -> str:
    if level == "case" and n == allowed:
        return f"only {n} of the {k} results asked for: no more cases qualify"
    return f"only {n} of the {k} results asked for: the other cases have nothing comparable"


def _no_close_match(matches: Sequence[Any]) -> list[str]:
    if matches and all(near.beyond_range for near in matches[0].near.values()):
        return ["no close match: even the nearest lies beyond the range that the code can measure"]
    return []
