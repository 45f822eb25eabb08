"""Archives of plain vectors: any embeddings that a user brings, hashed and searched exactly.

A file of vectors becomes one or more entries of up to `ROWS` rows. A row is called by its id where
the file has ids, otherwise `FILE:ROW`, FILE being the file's name without its ending.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.store import CaseStore
from isohash.archive.verify import Report
from isohash.errors import InputError
from isohash.index.flat import FlatIndex
from isohash.index.two_stage import CANDIDATES, rerank
from isohash.records import Codes, Vectors
from isohash.retrieval.answer import Answer, matches_of
from isohash.retrieval.comparison import Level, Pair, Ranked
from isohash.retrieval.entry import codes_name
from isohash.retrieval.models import HashModel, load_model
from isohash.retrieval.reranking import n_candidates
from isohash.retrieval.settings import (
    settings_of,
)
from isohash.retrieval.ways.row_names import RowNames
from isohash.retrieval.where import parse_where
from isohash.sources.found import Found
from isohash.sources.reading import find


def load_vector_model(store: CaseStore) -> HashModel:
    """The hash that an archive of vectors has at present."""
    recipe = store.recipe
    generation = recipe.get("generation", 0)
    return load_model("vector", recipe["near"]["vector"], store.read_file, generation)


@dataclass(frozen=True, eq=False)
class Asked:
    """A query: its name, vector (1, d), code, and position if it is a row of the archive."""

    name: str
    vector: NDArray[np.float32]
    codes: Codes
    position: int | None


def _ranked(position: int, count: int, distance: float) -> Ranked:
    pair = Pair(0, position, 0.0, 0.0, {"vector": count}, float(distance))
    return Ranked(position, float(distance), (pair,))


class VectorArchive:
    """An archive of vectors, opened for reading."""

    def __init__(self, store: CaseStore) -> None:
        self.store = store
        self.model = load_vector_model(store)

    def __enter__(self) -> VectorArchive:
        return self

    def __exit__(self, *exception: object) -> None:
        self.store.close()

    def __len__(self) -> int:
        return int(self.names.start[-1])

    @cached_property
    def names(self) -> RowNames:
        """What its rows are called."""
        return RowNames(self.store)

    @cached_property
    def _labels(self) -> list[NDArray[np.int64] | None]:
        """Of each entry; None where its file had none."""
        names = self.store.ids()
        known = ["label" in self.store.array_names(name) for name in names]
        return [
            self.store.arrays(name, ["label"])["label"] if labelled else None
            for name, labelled in zip(names, known, strict=True)
        ]

    @cached_property
    def index(self) -> FlatIndex:
        """All codes, in the archive's order."""
        return FlatIndex.of(self._codes)

    @cached_property
    def _codes(self) -> Codes:
        name = codes_name("vector", self.store.recipe.get("generation", 0))
        return self.model.codes(self.store.gather(name).array)

    def label(self, position: int) -> int | None:
        """The class of a row, where the file had labels."""
        entry, row = self.names.entry_of(position)
        labels = self._labels[entry]
        return None if labels is None else int(labels[row])

    def session(self, case: str | Path, pictures: bool = False) -> VectorSession:
        """A query: a row of this archive by its name, or the file of one or more vectors."""
        if pictures:
            raise InputError("vectors have no pictures: leave out --report and --collage")
        return VectorSession(self, case)

    def query(
        self,
        case: str | Path,
        k: int = 10,
        where: str | None = None,
        query_slice: int | None = None,
        same_patient: bool = False,
        rerank: int | None = None,
    ) -> Answer:
        """The k rows nearest to a row of this archive, by its id or `FILE:ROW`, or of a file.

        `rerank` candidates, nearest by code, are ordered anew by exact distance; 0 leaves the order
        to the codes, None takes 256 where the archive keeps the vectors.
        """
        session = self.session(case)
        return session.ask(
            k, where=where, query_slice=query_slice, same_patient=same_patient, rerank=rerank
        )

    def verify(self) -> Report:
        """Check every byte of the archive."""
        return self.store.verify()

    @property
    def keeps_embeddings(self) -> bool:
        """Whether candidates can be re-ranked by their vectors."""
        return bool(settings_of(self.store.recipe)["embeddings"])

    def rank(self, query: Asked, k: int, n: int, allowed: NDArray[np.bool_]) -> list[Ranked]:
        """The k nearest rows among the `allowed` (n,): by code, or (n > 0) n of them re-ranked."""
        hits = self.index.search(query.codes, n or k, allowed)
        positions, counts = hits.ids[0], hits.distances[0].tolist()
        if not n:
            found = zip(positions.tolist(), counts, self.model.measured(counts), strict=True)
            return [_ranked(*one) for one in found]
        code = dict(zip(positions.tolist(), counts, strict=True))
        stored = self.vectors(positions)
        best = rerank(query.vector, np.arange(len(positions))[None], stored, k, positions)
        pairs = zip(best.ids[0].tolist(), best.distances[0] / self.model.near, strict=True)
        return [_ranked(position, code[position], exact) for position, exact in pairs]

    def vectors(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors (m, d) at positions of the index."""
        start = self.names.start
        entries = np.searchsorted(start, positions, side="right") - 1
        names, rows = self.store.ids(), positions - start[entries]
        found = np.empty((len(positions), self.store.recipe["dim"]), np.float32)
        for entry in np.unique(entries).tolist():
            here = entries == entry
            found[here] = self.store.rows(names[entry], "vector", rows[here].tolist())
        return found

    def named(self, position: int) -> tuple[str, dict[str, Any]]:
        """Name and facts of a row."""
        facts = self.facts(position)
        return facts["id"], facts

    def facts(self, position: int) -> dict[str, Any]:
        """What is known of a row."""
        return {
            "id": self.names.name(position),
            "label": self.label(position),
            "prescription_gy": None,
        }

    def asked(self, case: str | Path, row: int | None) -> Asked:
        """The query that is a row of the archive, or row `row` of a file."""
        if not Path(case).exists():
            position = self.names.position(str(case))
            own = np.array([position])
            vector = self.vectors(own) if self.keeps_embeddings else np.empty((0, 0), np.float32)
            return Asked(str(case), vector, self._codes[own], position)
        array = read_vectors(find(case).found[0]).array
        at = row or 0
        if not 0 <= at < len(array) or array.shape[1] != self.store.recipe["dim"]:
            raise InputError(
                f"{case} holds vectors of shape {array.shape}; the archive wants row --slice "
                f"{at} of {self.store.recipe['dim']} dimensions"
            )
        vector = array[at : at + 1]
        return Asked(f"{Path(case).stem}:{at}", vector, self.model.hash.encode(vector), None)


@dataclass(frozen=True, eq=False)
class VectorSession:
    """One query put to an archive of vectors, asked like the session of an archive of cases."""

    archive: VectorArchive
    case: str | Path

    def ask(
        self,
        k: int = 10,
        by: str | None = None,
        alpha: float | None = None,
        level: Level | None = None,
        where: str | None = None,
        query_slice: int | None = None,
        same_patient: bool = False,
        rerank: int | None = None,
    ) -> Answer:
        """The k nearest rows; by, alpha and level mean nothing here."""
        if k < 1:
            raise InputError(f"-k must be at least 1, got {k}")
        archive = self.archive
        candidates = n_candidates(rerank, k, archive.keeps_embeddings, CANDIDATES)
        query = archive.asked(self.case, query_slice)
        allowed = np.ones(len(archive), dtype=bool)
        if query.position is not None and not same_patient:
            allowed[query.position] = False
        n_excluded = int((~allowed).sum())
        if where is not None:
            keep = parse_where(where)
            allowed &= [keep(archive.facts(i)) for i in range(len(archive))]
        ranked = archive.rank(query, k, candidates, allowed)
        weights, models = {"vector": 1.0}, {"vector": archive.model}
        matches = matches_of(ranked, archive.named, weights, models, exact=candidates > 0)
        n = int(allowed.sum())
        return Answer(
            query=query.name,
            level="slice",
            weights=weights,
            n_considered=n,
            n_excluded=n_excluded,
            n_reranked=min(candidates, n),
            linear=archive.model.linear,
            matches=matches,
            warnings=()
            if len(matches) == k
            else (f"only {len(matches)} of the {k} results asked for",),
        )


def read_vectors(found: Found) -> Vectors:
    """The rows of a file; InputError if it holds something else."""
    vectors = found.read()
    if not isinstance(vectors, Vectors):
        raise InputError(f"{found.path} is a case, not a table of vectors")
    return vectors
