"""Archives of plain vectors: any embeddings that a user brings, hashed and searched exactly.

A file of vectors becomes one or more entries of up to `ROWS` rows. A row is called by its id where
the file has ids, otherwise `FILE:ROW`, FILE being the file's name without its ending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.apps.answer import Answer, matches_of
from isohash.apps.entry import codes_name
from isohash.apps.fitting import fit_model, hash_for
from isohash.apps.pipeline import HashModel, load_model, model_files
from isohash.apps.reranking import n_candidates
from isohash.apps.retrieval import Level, Pair, Ranked
from isohash.apps.row_names import NAMES, RowNames, encoded
from isohash.apps.settings import (
    IndexReport,
    IndexSettings,
    Progress,
    existing_store,
    settings_of,
    tell,
    versions,
)
from isohash.apps.where import parse_where
from isohash.archive.store import CaseStore
from isohash.archive.verify import Report
from isohash.errors import InputError
from isohash.index.flat import FlatIndex
from isohash.index.two_stage import CANDIDATES, rerank
from isohash.records import Codes, Vectors
from isohash.sources.found import Findings, Found, Skipped
from isohash.sources.reading import find

ROWS = 65536  # rows of one entry: about 8 MB of codes at 1024 bits
VECTOR_SETTINGS = ("hash", "bits", "q", "embeddings", "seed")  # those that vectors have
FIT_ROWS = 16384  # rows of the seeded sample that sets the hash's scale


def index_vectors(
    findings: Findings,
    archive: str | Path,
    options: Mapping[str, Any],
    progress: Progress | None = None,
) -> IndexReport:
    """Add the vectors of every file found; a new archive fits its hash to the first file."""
    store = existing_store(archive, options)
    if store is None:
        store = _new_store(findings, archive, IndexSettings(**options))
    with store:
        return _add(findings, store, progress)


def _new_store(findings: Findings, archive: str | Path, settings: IndexSettings) -> CaseStore:
    rows = _read(findings.found[0]).array
    rng = np.random.default_rng(settings.seed)
    sample = rows[rng.permutation(len(rows))[:FIT_ROWS]]
    held_out = len(sample) // 3
    settings = hash_for(settings, len(sample))
    model = fit_model(sample[held_out:], sample[:held_out], settings)
    recipe = {
        "kind": "vectors",
        "dim": int(rows.shape[1]),
        "settings": {name: getattr(settings, name) for name in VECTOR_SETTINGS},
        "near": {"vector": model.near},
        "fitted_on": {"vector": len(sample) - held_out},
        "calibrated_on": {"vector": model.calibration.source},
        "digests": {},
        "versions": versions(),
    }
    return CaseStore.create(archive, recipe, model_files("vector", model))


def _add(findings: Findings, store: CaseStore, progress: Progress | None) -> IndexReport:
    drawn, dim = load_vector_model(store).hash, store.recipe["dim"]
    indexed, unchanged, skipped = [], [], list(findings.skipped)
    keep = settings_of(store.recipe)["embeddings"]
    for done, found in enumerate(findings.found):
        tell(progress, done, len(findings.found), f"indexing {found.key}")
        if f"{found.key}:0" in store and store.fingerprint(f"{found.key}:0") == found.fingerprint:
            unchanged.append(found.key)
            continue
        try:
            vectors = _read(found)
            if vectors.array.shape[1] != dim:
                raise InputError(
                    f"{found.path} has {vectors.array.shape[1]} dimensions, the archive has {dim}"
                )
        except InputError as error:
            skipped.append(Skipped(found.path, str(error)))
            continue
        _put(store, found, vectors, drawn.encode(vectors.array), keep)
        indexed.append(found.key)
    return IndexReport(
        findings.kind, len(findings.found), tuple(indexed), tuple(unchanged), tuple(skipped),
        sum(store.metadata(name)["n_rows"] for name in store.ids()),
    )  # fmt: skip


def _put(store: CaseStore, found: Found, vectors: Vectors, codes: Codes, keep: bool) -> None:
    old = [name for name in store.ids() if name.rpartition(":")[0] == found.key]
    # the first rows go last: an interrupted file is then read again
    for first in reversed(range(0, max(1, len(codes)), ROWS)):
        rows = slice(first, first + ROWS)
        codes_column = codes_name("vector", store.recipe.get("generation", 0))
        arrays: dict[str, NDArray[Any]] = {codes_column: codes.packed[rows]}
        if keep:
            arrays["vector"] = vectors.array[rows]
        if vectors.labels is not None:
            arrays["label"] = vectors.labels[rows]
        if vectors.ids is not None:
            arrays[NAMES] = encoded(vectors.ids[rows])
        name = f"{found.key}:{first}"
        facts = {"file": found.key, "first": first, "n_rows": len(codes.packed[rows])}
        store.put(name, facts, arrays, found.fingerprint)
        old = [other for other in old if other != name]
    for name in old:  # rows of a longer, earlier version of the file
        store.delete(name)


def _read(found: Found) -> Vectors:
    vectors = found.read()
    if not isinstance(vectors, Vectors):
        raise InputError(f"{found.path} is a case, not a table of vectors")
    return vectors


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
        array = _read(find(case).found[0]).array
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
