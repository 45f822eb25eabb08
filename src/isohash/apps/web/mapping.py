"""The page of an archive's map: points that are links, lists of what is alone or there twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from isohash.apps.page.charts import SERIES_COLOURS
from isohash.apps.web.api import TheDesk, plain
from isohash.apps.web.desk import Desk
from isohash.apps.web.rendering import page
from isohash.errors import InputError
from isohash.retrieval.archive_map import OTHERS, ArchiveMap, coloured, query_place
from isohash.retrieval.engine import Archive
from isohash.retrieval.facets import HIDDEN

router = APIRouter()
WIDTH, HEIGHT, EDGE = 960, 560, 18
GREY = "#777777"
USUAL = ("label", "prescription_gy")  # what colours where nothing is chosen

Colour = Annotated[str | None, Query(description="The fact that colours.")]
Asking = Annotated[str | None, Query(description="A case or an upload: where it falls.")]


@dataclass(frozen=True)
class Dot:
    """One case on the picture."""

    id: str
    x: float
    y: float
    colour: str
    word: str


@router.get("/map", include_in_schema=False)
async def map_page(desk: TheDesk, colour: Colour = None, case: Asking = None) -> Response:
    """Cases as points, each a link to what is like it."""
    return page("map.html", **await desk.run(lambda archive: _shown(desk, archive, colour, case)))


@router.get("/api/map", summary="Cases as points in a plane, outliers, and what is there twice")
@router.get("/map.json", include_in_schema=False)
async def map_json(desk: TheDesk, colour: Colour = None, case: Asking = None) -> Response:
    """What the page of the map shows."""

    def told(archive: Archive) -> dict[str, Any]:
        found = desk.map()
        shown = found.to_json() | {"query": _falls(desk, found, case)}
        if colour:
            words, counts = _colours(archive, found, colour)
            for point, word in zip(shown["points"], words, strict=True):
                point["value"] = word
            shown["colour"] = {"fact": colour, "counts": dict(counts)}
        return shown

    return plain(await desk.run(told))


def _falls(desk: Desk, found: ArchiveMap, case: str | None) -> dict[str, Any] | None:
    place = query_place(found, desk.session(case)) if case else None
    return None if place is None else {"case": case, "x": place[0], "y": place[1]}


def _colours(archive: Archive, found: ArchiveMap, fact: str) -> tuple[list[str], dict[str, int]]:
    if fact not in _facts(archive):
        raise InputError(f"no case has a fact {fact!r} to colour by; isohash facts lists them")
    words, counts = coloured(archive, found.positions, fact)
    return words, dict(counts)


def _facts(archive: Archive) -> list[str]:
    known = archive.contents.facts.known
    return [name for name in (known() if known else ()) if name not in HIDDEN]


def _shown(desk: Desk, archive: Archive, colour: str | None, case: str | None) -> dict[str, Any]:
    found, facts = desk.map(), _facts(archive)
    fact = colour or next((name for name in USUAL if name in facts), None)
    words, counts = _colours(archive, found, fact) if fact else ([""] * len(found.ids), {})
    order = [word for word in counts if word != OTHERS]
    colours = {word: SERIES_COLOURS[at] for at, word in enumerate(order)}
    query = _falls(desk, found, case)
    ends = [found.points.min(axis=0), found.points.max(axis=0)]
    if query:
        ends += [[query["x"], query["y"]]]
    low = [min(float(one[axis]) for one in ends) for axis in (0, 1)]
    high = [max(float(one[axis]) for one in ends) for axis in (0, 1)]
    scale = min((WIDTH - 2 * EDGE) / max(high[0] - low[0], 1e-9),
                (HEIGHT - 2 * EDGE) / max(high[1] - low[1], 1e-9))  # fmt: skip

    def at(x: float, y: float) -> tuple[float, float]:
        return round(EDGE + scale * (x - low[0]), 1), round(EDGE + scale * (y - low[1]), 1)

    dots = [
        Dot(name, *at(x, y), colours.get(word, GREY), word)
        for name, (x, y), word in zip(found.ids, found.points.tolist(), words, strict=True)
    ]
    return {
        "map": found, "dots": dots, "facts": facts, "fact": fact, "counts": counts,
        "shades": {word: colours.get(word, GREY) for word in counts}, "case": case,
        "query": at(query["x"], query["y"]) if query else None, "total": len(archive),
        "size": (WIDTH, HEIGHT),
    }  # fmt: skip
