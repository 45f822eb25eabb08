"""One page that shows an image beside the nearest of an archive, as collages of the literature do.

Where classes are known, results of another class than the query's are shaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isohash.apps.page.charts import png_of
from isohash.apps.page.pages import templates
from isohash.retrieval.answer import Answer, Match
from isohash.retrieval.entry import Entry


@dataclass(frozen=True, eq=False)
class Tile:
    """A result: its picture, and whether it is of another class than the query."""

    match: Match
    picture: str
    wrong: bool


def is_wrong(query: Entry, match: Match) -> bool:
    """Whether both have a known class, and not the same one."""
    own, other = query.facts["label"], match.facts["label"]
    return bool(own and other and own != other)


def gallery_page(
    query: Entry,
    entries: Sequence[Entry],
    answer: Answer,
    asked: str,
    provenance: str,
    made_on: str = "",
) -> str:
    """The page as text; `entries` are those of the answer's matches, in their order."""
    tiles = [
        Tile(match, png_of(entry.picture(0)[0]), is_wrong(query, match))
        for match, entry in zip(answer.matches, entries, strict=True)
    ]
    same = sum(not tile.wrong for tile in tiles) if query.facts["label"] else None
    return (
        templates()
        .get_template("gallery.html")
        .render(
            answer=answer,
            query=query,
            picture=png_of(query.picture(0)[0]),
            tiles=tiles,
            same=same,
            asked=asked,
            provenance=provenance,
            made_on=made_on,
        )
    )
