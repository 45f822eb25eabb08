"""Archives of plain vectors: any embeddings that a user brings, hashed and searched exactly.

A file of vectors becomes one or more entries of up to `ROWS` rows. A row is called by its id where
the file has ids, otherwise `FILE:ROW`, FILE being the file's name without its ending.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.index.flat import FlatIndex, distances
from isohash.index.two_stage import CANDIDATES, rerank
from isohash.records import Codes, Vectors
from isohash.retrieval.answer import Match
from isohash.retrieval.evidence import matches_of
from isohash.retrieval.facts import FactTable, Mask
from isohash.retrieval.likeness import Usual, usual_of
from isohash.retrieval.models import HashModel, codes_name, load_model
from isohash.retrieval.naming import naming_of
from isohash.retrieval.ranked import Pair, Ranked
from isohash.retrieval.refined import moved_query, told_query
from isohash.retrieval.request import Request
from isohash.retrieval.reranking import n_candidates
from isohash.retrieval.ways.images import distance_meaning, uncertainty
from isohash.retrieval.ways.row_names import RowLabels, RowNames
from isohash.retrieval.ways.way import Ranking, Way, meaningless
from isohash.sources.found import Found
from isohash.sources.reading import find

VIEW = "vector"


def load_vector_model(store: CaseStore) -> HashModel:
    """The hash that an archive of vectors has at present."""
    recipe = Recipe(store.recipe)
    return load_model(VIEW, recipe.near[VIEW], store.read_file, recipe.generation)


@dataclass(frozen=True, eq=False)
class VectorQuery:
    """Vectors to ask with, (m, d), of which a request chooses one; or a row of the archive.

    `position` is that of a row of the archive, None for others; `vectors` is empty where the
    archive keeps only the row's code.
    """

    name: str
    vectors: NDArray[np.float32]
    position: int | None = None
    warnings: tuple[str, ...] = ()


class VectorRows:
    """The rows of an archive of vectors, opened for reading."""

    def __init__(self, store: CaseStore) -> None:
        self.store = store
        self.recipe = Recipe(store.recipe)
        self.recipe.check()
        self.model = load_vector_model(store)

    def __len__(self) -> int:
        return int(self.names.start[-1])

    def __iter__(self) -> Iterator[str]:
        return (self.names.name(position) for position in range(len(self)))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.names.has(name)

    @cached_property
    def names(self) -> RowNames:
        """What its rows are called."""
        return RowNames(self.store)

    @cached_property
    def facts(self) -> FactTable:
        """Id and label of all rows."""
        return FactTable(len(self), self._fact, lambda: ("id", "label"))

    @cached_property
    def index(self) -> FlatIndex:
        """All codes, in the archive's order."""
        return FlatIndex.of(self.codes)

    @cached_property
    def codes(self) -> Codes:
        """The stored codes, memory-mapped where the archive allows it."""
        return self.model.codes(self.store.gather(codes_name(VIEW, self.recipe.generation)).array)

    @property
    def keeps_vectors(self) -> bool:
        """Whether candidates can be re-ranked by their vectors."""
        return self.recipe.settings.embeddings

    def vectors(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors (m, d) at positions of the index."""
        start = self.names.start
        entries = np.searchsorted(start, positions, side="right") - 1
        names, rows = self.store.ids(), positions - start[entries]
        found = np.empty((len(positions), self.recipe.dim), np.float32)
        for entry in np.unique(entries).tolist():
            here = entries == entry
            found[here] = self.store.rows(names[entry], VIEW, rows[here].tolist())
        return found

    def known(self, position: int) -> tuple[str, Mapping[str, Any]]:
        """Name and facts of a row: its id and, where the file had labels, its class."""
        name, label = self.names.name(position), self.labels[position]
        return name, {"id": name, "label": label}

    @cached_property
    def labels(self) -> RowLabels:
        """The class of each row."""
        return RowLabels(self.store, self.names)

    def load(self) -> None:
        """Read all that answers are made with; InputError says what is wrong with it."""
        if len(self):
            _ = self.index, self.labels

    def query(self, item: Any, pictures: bool) -> VectorQuery:
        """A row of this archive by its name, the file of one or more vectors, or an array."""
        if pictures:
            raise InputError("vectors have no pictures: leave out --report and --collage")
        if isinstance(item, str | Path):
            return self._named(item) if not Path(item).exists() else self._of_file(item)
        try:
            array = np.atleast_2d(np.asarray(item, dtype=np.float32))
        except (TypeError, ValueError):
            array = np.empty((0, 0), dtype=np.float32)
        return self._checked(VectorQuery("query", array), f"a {type(item).__name__}")

    @cached_property
    def usual(self) -> Usual | None:
        """What was measured when the archive was made."""
        return usual_of(self.store)

    def profile(self, query: VectorQuery) -> dict[str, float]:
        """Vectors have none."""
        return {}

    def own(self, query: VectorQuery) -> Mask:
        """The row itself."""
        own = np.zeros(len(self), dtype=bool)
        if query.position is not None:
            own[query.position] = True
        return own

    def unknown_patient(self, query: VectorQuery) -> str | None:
        """Vectors have no patients."""
        return None

    def rows_of(self, query: VectorQuery) -> int:
        """How many rows it asks with."""
        return 1 if query.position is not None else len(query.vectors)

    def ways(self, query: VectorQuery) -> tuple[Way, ...]:
        """By code, then by exact distance where the vectors are kept."""
        return (VectorsWay(self, query),)

    def _named(self, name: str | Path) -> VectorQuery:
        position = self.names.position(str(name))
        kept = self.keeps_vectors
        vector = self.vectors(np.array([position])) if kept else np.empty((0, 0), np.float32)
        return VectorQuery(str(name), vector, position)

    def _of_file(self, path: str | Path) -> VectorQuery:
        naming = naming_of(self.recipe.settings)
        found = find(path, naming=naming).named_by(naming).found[0]
        return self._checked(VectorQuery(found.key, read_vectors(found).array), str(path))

    def _checked(self, query: VectorQuery, what: str) -> VectorQuery:
        shape = query.vectors.shape
        if len(shape) != 2 or not shape[0] or shape[1] != self.recipe.dim:
            raise InputError(
                f"{what} holds vectors of shape {shape}; the archive wants (n, {self.recipe.dim})"
            )
        return query

    def _fact(self, name: str) -> Sequence[Any]:
        if name == "id":
            return list(self)
        return self.labels.all if name == "label" else [None] * len(self)


@dataclass(frozen=True, eq=False)
class VectorsWay:
    """The rows nearest to a vector."""

    rows: VectorRows
    query: VectorQuery
    names: tuple[str, ...] = (VIEW,)

    def why_not(self) -> str | None:
        """A vector of the right length can always be asked with."""
        return None

    def missed(self) -> str | None:
        """There is no other way."""
        return None

    def refusal(self, request: Request) -> str | None:
        """Of the options, rerank and marks mean something, slice for a file of several vectors."""
        if request.level is not None and request.level != "case":
            return f"--level {request.level} means nothing for vectors, which have no slices"
        own_row = self.query.position is not None
        understood = ("level", "rerank", "good", "bad", *([] if own_row else ["slice"]))
        if told := meaningless(request, understood, "of vectors"):
            return told
        if request.marked and not self.rows.keeps_vectors:
            return "--good and --bad move the query, and this archive keeps codes without vectors"
        if (request.slice or 0) >= len(self.query.vectors) and not own_row:
            n = len(self.query.vectors)
            return f"--slice {request.slice}: {self.query.name} has rows 0 to {n - 1}"
        return None

    def measures(self, others: Mask, ranking: Ranking | None = None) -> dict[str, float]:
        """How far the nearest code is, and how much of the vector its code does not tell."""
        return self.measured(0 if ranking is None else ranking.asked, others)

    def measured(self, at: int, others: Mask) -> dict[str, float]:
        """The same of row `at` of a file of vectors."""
        vector, codes = self._asked(at)
        hits = self.rows.index.search(codes, 1, others).distances[0]
        near = self.rows.model.measured(hits)
        beside = self.rows.model.untold(vector, codes) if len(vector) else None
        return {
            "nearest": float(near[0]) if len(near) else float("nan"),
            "not told by its code": float("nan") if beside is None else float(beside[0]),
        }

    def _asked(self, at: int) -> tuple[NDArray[np.float32], Codes]:
        """The vector (1, d), or none of a row whose code alone is kept, and its code."""
        vector = self.query.vectors[at : at + 1]
        if self.query.position is None:
            return vector, self.rows.model.hash.encode(vector)
        return vector, self.rows.codes[np.array([self.query.position])]

    def rank(self, request: Request, allowed: Mask) -> Ranking:
        """By code alone, or with candidates ordered anew by exact distance."""
        n = n_candidates(request.rerank, request.k, self.rows.keeps_vectors, CANDIDATES)
        found = self._found(request, n, allowed)
        n_considered = int(allowed.sum())
        few = f"only {len(found)} of the {request.k} results asked for"
        own, at = self.query.position is not None, request.slice or 0
        return Ranking(
            query=self.query.name if own else f"{self.query.name}:{at}",
            by=VIEW,
            level="slice",
            weights={VIEW: 1.0},
            labels={VIEW: "Euclidean"},
            found=found,
            n_considered=n_considered,
            n_reranked=min(n, n_considered),
            linear=self.rows.model.linear,
            what="vectors",
            meaning=distance_meaning(min(n, n_considered), self.rows.model.linear),
            uncertain=uncertainty(min(n, n_considered), n_considered),
            notes=(*self._chosen(request), *([few] if len(found) < request.k else [])),
            refined=(told_query(len(request.good), len(request.bad)),) if request.marked else (),
            asked=at,
        )

    def _chosen(self, request: Request) -> list[str]:
        n = len(self.query.vectors)
        if n < 2 or request.slice is not None:
            return []
        return [f"asked with row 0 of {n}; slice chooses another, Session.each asks with all"]

    def match(self, ranking: Ranking) -> tuple[Match, ...]:
        """With the distance as the code tells it."""
        models = {VIEW: self.rows.model}
        exact = ranking.n_reranked > 0
        return matches_of(ranking.found, self.rows.known, ranking.weights, models, exact)

    def _marked(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vectors (m, d) of rows by their names."""
        positions = [self.rows.names.position(one) for one in ids]
        return self.rows.vectors(np.array(positions, dtype=np.int64))

    def _found(self, request: Request, n: int, allowed: Mask) -> list[Ranked]:
        rows, model = self.rows, self.rows.model
        vector, codes = self._asked(request.slice or 0)
        if request.marked:
            vector = moved_query(vector, self._marked(request.good), self._marked(request.bad))
            codes = model.hash.encode(vector)
        if not n:
            hits = rows.index.search(codes, request.k, allowed)
            counts = hits.distances[0]
            return _ranked(hits.ids[0], counts, model.measured(counts))
        positions = rows.index.search(model.asking(vector), n, allowed).ids[0]
        candidates = np.arange(len(positions))[None]
        best = rerank(vector, candidates, rows.vectors(positions), request.k, positions)
        counts = distances(codes, rows.codes[best.ids[0]])[0]
        return _ranked(best.ids[0], counts, best.distances[0] / model.near)


def _ranked(
    positions: NDArray[np.int64], counts: NDArray[np.int32], apart: NDArray[np.float64]
) -> list[Ranked]:
    """Rows at `apart` with their code distances as the evidence."""
    told = zip(positions.tolist(), counts.tolist(), apart.tolist(), strict=True)
    return [
        Ranked(row, distance, (Pair(0, row, 0.0, 0.0, {VIEW: count}, distance),))
        for row, count, distance in told
    ]


def read_vectors(found: Found) -> Vectors:
    """The rows of a file; InputError if it holds something else."""
    vectors = found.read()
    if not isinstance(vectors, Vectors):
        raise InputError(f"{found.path} is a case, not a table of vectors")
    return vectors
