"""Two-stage search: codes choose some hundred candidates, exact distances order them.

The first stage reads a few bytes of every item, the second the whole vectors of the candidates
only. With as many candidates as items the answer is that of an exhaustive Euclidean search.

    index = TwoStageIndex(hasher.hash_, X)
    hits = index.search(queries, k=10)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.distances import distances_to
from isohash.errors import InputError
from isohash.hashing.drawn import DrawnHash
from isohash.hashing.fitted.points import PointHash
from isohash.hashing.projection import as_rows
from isohash.index.flat import FlatIndex, checked_k
from isohash.index.protocol import Index
from isohash.records import Codes

CANDIDATES = 256  # re-ranked unless told otherwise; docs/hashing.md has recall against this number


@dataclass(frozen=True, eq=False)
class Reranked:
    """Nearest items by the second stage, best first: both arrays have shape (n_queries, k).

    `distances` are Euclidean, float64; `n_candidates` items were compared for each query.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float64]
    n_candidates: int


class TwoStageIndex:
    """Codes of a hash, and the vectors (n, d) that they were made from.

    `vectors` may be of any float type and memory-mapped: only candidates are read again. With
    `keep_vectors` False nothing but codes is kept, and the second stage compares the real-valued
    query with the point that a candidate's code stands for (asymmetric distance); only codes
    fitted to data (`make_hasher`) stand for points.

    `first_stage` makes of the codes the index that chooses candidates, such as `MultiIndex.of`; by
    default a `FlatIndex` that searches with `threads`.

    Example:
        >>> import isohash, numpy as np
        >>> X = np.random.default_rng(0).standard_normal((500, 16)).astype(np.float32)
        >>> index = isohash.TwoStageIndex(isohash.make_hasher(64).fit(X).hash_, X)
        >>> hits = index.search(X[:2], k=3)
        >>> hits.ids[:, 0].tolist(), hits.distances[:, 0].tolist()
        ([0, 1], [0.0, 0.0])
    """

    def __init__(
        self,
        hash_: DrawnHash,
        vectors: NDArray[np.floating],
        keep_vectors: bool = True,
        threads: int | None = None,
        first_stage: Callable[[Codes], Index[Codes]] | None = None,
    ) -> None:
        if not keep_vectors and not isinstance(hash_, PointHash):
            raise InputError(
                f"codes of a {hash_.family} hash stand for no point to compare a query with: "
                "keep the vectors, or use make_hasher"
            )
        self.hash = hash_
        self.stored = hash_.encode(vectors)
        self.vectors = vectors if keep_vectors else None
        make = first_stage or partial(FlatIndex.of, threads=threads)
        self.index: Index[Codes] = make(self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    def search(
        self,
        queries: ArrayLike,
        k: int,
        candidates: int = CANDIDATES,
        allowed: ArrayLike | None = None,
    ) -> Reranked:
        """The k nearest of the `candidates` (at least k) nearest codes; ties by position.

        `allowed` is a mask over positions, shape (n,), that holds before the first stage.
        """
        rows = as_rows(queries, self.hash.dim)
        n = max(checked_k(k), checked_k(candidates))
        found = self.index.search(self.hash.encode(rows), n, allowed=allowed).ids
        if self.vectors is not None:
            return rerank(np.asarray(queries, dtype=np.float64), found, self.vectors, k)
        assert isinstance(self.hash, PointHash)  # as __init__ has checked
        positions, places = np.unique(found, return_inverse=True)
        points = self.hash.reconstruct(self.stored[positions])
        return rerank(self.hash.project(rows), places.reshape(found.shape), points, k, positions)


def rerank(
    queries: NDArray[np.floating],
    candidates: NDArray[np.int64],
    vectors: NDArray[np.floating],
    k: int,
    ids: NDArray[np.int64] | None = None,
) -> Reranked:
    """The k nearest of each query's `candidates` (n_queries, m), which are rows of `vectors`.

    Ordered by (Euclidean distance, row); `ids` names the rows, which are their own names otherwise.
    """
    if candidates.ndim != 2 or len(candidates) != len(queries):
        raise InputError(
            f"candidates have one row per query: got {candidates.shape} for {len(queries)} queries"
        )
    k = min(checked_k(k), candidates.shape[1])
    rows = np.empty((len(queries), k), dtype=np.int64)
    distances = np.empty((len(queries), k))
    for i, (query, found) in enumerate(zip(queries, candidates, strict=True)):
        exact = distances_to(query, vectors[found])
        order = np.lexsort((found, exact))[:k]
        rows[i], distances[i] = found[order], exact[order]
    return Reranked(rows if ids is None else ids[rows], distances, candidates.shape[1])
