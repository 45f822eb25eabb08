"""What a store holds, opened as what it is."""

from __future__ import annotations

from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.features.known import KINDS
from isohash.retrieval.contents import Contents
from isohash.retrieval.items import Items


def contents_of(store: CaseStore) -> Contents:
    """The items of a store, or its rows of vectors; InputError for what only others know."""
    kind = store.recipe.get("kind")
    if kind == "vectors":
        from isohash.retrieval.ways.vectors import VectorRows  # what cases do without

        return VectorRows(store)
    if kind in KINDS:
        return Items(store)
    raise InputError(f"{store.path} holds {kind}, which only a newer version knows; update isohash")
