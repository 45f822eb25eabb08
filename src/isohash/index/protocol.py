"""What a search engine is here: the border at which any other one docks.

`FlatIndex`, `MultiIndex` and `PrefixIndex` are asked with codes, `TwoStageIndex` with vectors; each
is an `Index`. One that lives elsewhere, such as a database with a vector type, needs no more than
this to take their place (`TwoStageIndex(..., first_stage=...)`) and to pass the same tests
(tests/index/test_protocol.py).
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Asked = TypeVar("Asked", contravariant=True)


class Neighbours(Protocol):
    """Nearest items, best first: both arrays have shape (n_queries, k)."""

    @property
    def ids(self) -> NDArray[np.int64]:
        """The items: their positions in the index, unless it was given names for them."""

    @property
    def distances(self) -> NDArray[Any]:
        """How far they are, in the index's own units; they rise along a row."""


class Index(Protocol[Asked]):
    """Items that can be searched by queries of type `Asked` (`Codes`, or vectors)."""

    def __len__(self) -> int:
        """How many items it holds."""

    def search(self, queries: Asked, /, k: int, *, allowed: ArrayLike | None = None) -> Neighbours:
        """The k nearest items of each query, ordered by (distance, position).

        `allowed` is a bool mask over positions, shape (len(index),): only items where it is True
        are considered, before the k nearest are taken. With fewer than k of them (or k = 0) there
        are fewer columns, never padding.

        Raises:
            InputError: if k is negative, or queries or mask do not fit the index.
        """
