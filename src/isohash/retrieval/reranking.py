"""The second stage of a query: the best cases by code, ordered anew by their stored embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isohash.archive.store import CaseStore
from isohash.distances import distance_matrix
from isohash.errors import InputError
from isohash.retrieval.comparison import Comparison, ViewCodes
from isohash.retrieval.models import HashModel
from isohash.retrieval.ranked import Question, Ranked
from isohash.retrieval.strangers import understanding

CANDIDATES = 64  # cases (or slices) re-ranked unless told otherwise (docs/hashing.md: recall)


@dataclass(frozen=True, eq=False)
class Embedded:
    """Where exact distances come from: the query's arrays, and the archive's.

    `ids` are the cases of the archive by their position.
    """

    query: Mapping[str, NDArray[np.floating]]
    store: CaseStore
    ids: Sequence[str]
    models: Mapping[str, HashModel]

    def distances(
        self, view: str, codes: ViewCodes, cases: Sequence[int]
    ) -> dict[int, NDArray[np.float64]]:
        """By case, distances (query rows, rows) in units of the view's near neighbour.

        InputError unless query and cases have as many embeddings as codes.
        """
        with understanding(self.store.path, "its embeddings"):
            n = {case: int(codes.start[case + 1] - codes.start[case]) for case in cases}
            return {case: self._of_case(view, case, (len(codes.query), n[case])) for case in cases}

    def _of_case(self, view: str, case: int, n_codes: tuple[int, int]) -> NDArray[np.float64]:
        name = f"embedding.{view}"
        own = self.query[name]
        held = name in self.store.array_names(self.ids[case])
        stored = self.store.arrays(self.ids[case], [name])[name] if held else own[:0]
        if (len(own), len(stored)) != n_codes:
            raise ValueError(f"{n_codes} codes have {(len(own), len(stored))} embeddings")
        return distance_matrix(own, stored) / self.models[view].near


def rerank(comparison: Comparison, question: Question, n: int, embedded: Embedded) -> list[Ranked]:
    """The k nearest by exact distance among the cases of the n nearest by code.

    At slice level all slices of these cases take part.
    """
    cases = comparison.candidates(replace(question, k=n))

    def measured(view: str, some: Sequence[int]) -> Mapping[int, NDArray[np.float64]]:
        return embedded.distances(view, comparison.views[view], some)

    if question.level == "case":
        return comparison.exactly(question, cases, measured)
    by_case = {view: measured(view, cases.tolist()) for view in question.weights}
    exact = {
        view: np.concatenate([found[case] for case in cases.tolist()], axis=1)
        for view, found in by_case.items()
        if found
    }
    return replace(comparison.part(cases), exact=exact).rank(question) if len(cases) else []


def n_candidates(rerank: int | None, k: int, kept: bool, default: int = CANDIDATES) -> int:
    """How many candidates the second stage takes; 0 leaves the order to the codes.

    None re-ranks where the archive keeps embeddings (`kept`).
    """
    if rerank and not kept:
        raise InputError(
            "the archive keeps no embeddings to re-rank with (it was made with --no-embeddings); "
            "leave --rerank out, or index the source into a new archive"
        )
    wanted = default if rerank is None else rerank
    return max(k, wanted) if wanted and kept else 0
