"""Pages of what is kept, and the forms that change it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from isohash.apps.csv_text import csv_text
from isohash.apps.web.api import TheAsked, TheDesk, plain
from isohash.apps.web.desk import UPLOAD, not_held
from isohash.apps.web.forms import TheForm
from isohash.apps.web.keeping.exports import CSV
from isohash.apps.web.keeping.shelf import COHORT, QUERY, Kept, Shelf
from isohash.apps.web.rendering import file_answer, page
from isohash.apps.web.who import TheAsker
from isohash.errors import InputError
from isohash.retrieval.describe import describe_item
from isohash.retrieval.engine import Archive

router = APIRouter()
NEW = ""  # chosen in place of a cohort that there is


def shelf_of(request: Request) -> Shelf:
    """What is kept beside the archive."""
    return request.app.state.shelf


TheShelf = Annotated[Shelf, Depends(shelf_of)]


@router.get("/kept")
async def all_kept(shelf: TheShelf, asker: TheAsker) -> Response:
    """Saved queries and cohorts."""
    kept = shelf.seen_by(asker.name)
    return page("kept.html", kept=kept, kinds=((COHORT, "Cohorts"), (QUERY, "Saved queries")))


@router.get("/api/kept", summary="Saved queries and cohorts that you may see")
@router.get("/kept.json", include_in_schema=False)
async def all_kept_facts(shelf: TheShelf, asker: TheAsker) -> Response:
    """All of them with their notes."""
    return plain({"kept": [one.to_json() for one in shelf.seen_by(asker.name)]})


@router.get("/kept/{kept}.json")
async def kept_facts(shelf: TheShelf, asker: TheAsker, kept: str) -> Response:
    """One of them."""
    return plain(shelf.find(kept, asker.name).to_json())


@router.get("/kept/{kept}.csv")
async def kept_csv(desk: TheDesk, shelf: TheShelf, asker: TheAsker, kept: str) -> Response:
    """The cases of a cohort, with their notes and facts."""
    one = shelf.find(kept, asker.name)
    rows = await desk.run(lambda archive: _rows(archive, one))
    return file_answer(csv_text(rows), CSV, f"{one.name}.csv")


@router.get("/kept/{kept}")
async def kept_page(desk: TheDesk, shelf: TheShelf, asker: TheAsker, kept: str) -> Response:
    """A cohort with its cases, or a saved query."""
    one = shelf.find(kept, asker.name)
    rows = await desk.run(lambda archive: _rows(archive, one))
    return page("kept_one.html", one=one, rows=rows)


@router.post("/kept/query")
async def keep_query(
    desk: TheDesk, shelf: TheShelf, asker: TheAsker, state: TheAsked, form: TheForm
) -> Response:
    """Keep a query with the id of its answer."""
    if state.case.startswith(UPLOAD):
        raise InputError("an uploaded patient is not kept, so neither is the query; index it first")
    replay = await desk.run(
        lambda _: desk.session(state.case).ask(state.request).to_json()["replay"]
    )
    name = form.text("name") or f"like {state.case}"
    facts = {"address": state.url(), "replay": replay}
    one = shelf.make(QUERY, asker.name, name, form.text("note"), **facts)
    return _there(one)


@router.post("/kept/cohort")
async def keep_cohort(shelf: TheShelf, asker: TheAsker, form: TheForm) -> Response:
    """A new, empty cohort."""
    return _there(shelf.make(COHORT, asker.name, form.text("name"), form.text("note")))


@router.post("/kept/cases")
async def keep_cases(desk: TheDesk, shelf: TheShelf, asker: TheAsker, form: TheForm) -> Response:
    """Put cases into a cohort, a new one where none is chosen."""
    cases, chosen = form.all("case"), form.text("cohort")
    if not cases:
        raise InputError("no case was chosen; tick some of the results")
    await desk.run(lambda archive: _check_held(archive, cases))
    if chosen == NEW:
        chosen = shelf.make(COHORT, asker.name, form.text("name")).id
    for case in cases:
        there = shelf.find(chosen, asker.name).cases
        shelf.put(chosen, asker.name, case, form.text("note") or there.get(case, ""))
    return _there(shelf.find(chosen, asker.name))


@router.post("/kept/{kept}")
async def change(shelf: TheShelf, asker: TheAsker, kept: str, form: TheForm) -> Response:
    """Another name, note, or audience."""
    shared = bool(form.text("shared"))
    return _there(shelf.change(kept, asker.name, form.text("name"), form.text("note"), shared))


@router.post("/kept/{kept}/note")
async def annotate(shelf: TheShelf, asker: TheAsker, kept: str, form: TheForm) -> Response:
    """Another note of a case in a cohort."""
    case = form.text("case")
    if case not in shelf.find(kept, asker.name).cases:
        raise InputError(f"{case} is not in this cohort; its page has the cases")
    return _there(shelf.put(kept, asker.name, case, form.text("note")))


@router.post("/kept/{kept}/take")
async def take(shelf: TheShelf, asker: TheAsker, kept: str, form: TheForm) -> Response:
    """A case leaves a cohort."""
    return _there(shelf.take(kept, asker.name, form.text("case")))


@router.post("/kept/{kept}/drop")
async def drop(shelf: TheShelf, asker: TheAsker, kept: str) -> Response:
    """It is kept no longer."""
    shelf.drop(kept, asker.name)
    return RedirectResponse("/kept", 303)


def own_cohorts(request: Request, asker: TheAsker) -> list[Kept]:
    """The cohorts that whoever asks may put cases into."""
    seen = shelf_of(request).seen_by(asker.name, COHORT)
    return [one for one in seen if one.owner == asker.name]


OwnCohorts = Annotated[list[Kept], Depends(own_cohorts)]


def _there(one: Kept) -> Response:
    return RedirectResponse(f"/kept/{one.id}", 303)


def _check_held(archive: Archive, cases: list[str]) -> None:
    for case in cases:
        if case not in archive:
            raise InputError(not_held(archive, case))


def _rows(archive: Archive, one: Kept) -> list[dict[str, Any]]:
    """Of the cases of a cohort note and facts; of one that the archive holds no more its note."""
    return [{"id": case, "note": note, **_facts(archive, case)} for case, note in one.cases.items()]


def _facts(archive: Archive, case: str) -> dict[str, Any]:
    if case not in archive:
        return {"gone": True}
    told = describe_item(archive, case)
    return {name: value for name, value in told.items() if name not in ("id", "doses", "arrays")}
