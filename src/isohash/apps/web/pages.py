"""The pages of the workbench; each is a URL that holds the whole state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from isohash.apps.page.charts import SERIES_COLOURS, png_of
from isohash.apps.page.pages import plan_text
from isohash.apps.web.api import CaseId, TheAsked, TheDesk, Where, described, listed
from isohash.apps.web.asked import Asked
from isohash.apps.web.desk import UPLOAD, Desk
from isohash.apps.web.doses import dose_table
from isohash.apps.web.keeping.pages import OwnCohorts
from isohash.apps.web.refining import hidden, marks_of, may_mark, structures_of
from isohash.apps.web.rendering import page
from isohash.errors import InputError
from isohash.retrieval.answer import Answer
from isohash.retrieval.engine import Archive, Session
from isohash.retrieval.entry import Entry
from isohash.retrieval.request import Request
from isohash.retrieval.ways.images import DEFAULT_ALPHA

router = APIRouter()
ROWS_SHOWN = 500
SHOWN = ("label", "prescription_gy", "n_fractions", "technique", "n_structures", "n_slices")
DOSES_SHOWN = 5  # results whose doses stand beside the query's in the table


@router.get("/")
async def front() -> Response:
    """The first page is the list of cases."""
    return RedirectResponse("/cases", 303)


@router.get("/cases")
async def cases(desk: TheDesk, where: Where = None, text: Annotated[str, Query()] = "") -> Response:
    """The cases that pass a filter, with facets."""
    found = await desk.run(lambda archive: listed(archive, where or None))
    wanted = [row for row in found["cases"] if text.lower() in row["id"].lower()]
    columns = [name for name in SHOWN if any(row.get(name) not in (None, "") for row in wanted)]
    return page(
        "cases.html", archive=desk.path.name, columns=columns, rows=wanted[:ROWS_SHOWN],
        n=len(wanted), text=text, **{**found, "cases": None},
    )  # fmt: skip


@router.get("/case")
async def case_page(desk: TheDesk, case: CaseId) -> Response:
    """What is kept of one case."""
    facts = await desk.run(lambda archive: described(archive, case))
    return page("case.html", case=case, facts=facts)


@router.get("/query")
async def query(desk: TheDesk, state: TheAsked, cohorts: OwnCohorts) -> Response:
    """A query beside its results."""
    told = await desk.run(lambda archive: _answered(desk, archive, state))
    return page("query.html", cohorts=cohorts, **told)


@router.get("/query/answer")
async def answer(desk: TheDesk, state: TheAsked, cohorts: OwnCohorts) -> Response:
    """The part of the page that changes with the weight."""
    told = await desk.run(lambda archive: _answered(desk, archive, state))
    return page("answer.html", cohorts=cohorts, **told)


def error_page(error: InputError) -> Response:
    """What is wrong, and what to do."""
    return page("error.html", 400, **error.to_json())


def _answered(desk: Desk, archive: Archive, state: Asked) -> dict[str, Any]:
    session = desk.session(state.case)
    found = session.ask(state.request)
    entry = session.query if isinstance(session.query, Entry) else None
    return {
        "answer": found,
        "shown": {
            "query": found.query,
            "by": found.by,
            "colours": SERIES_COLOURS,
            "matches": [match.to_json() for match in found.matches],
        },
        "of_cases": entry is not None and not entry.kind.single,
        "has_report": entry is not None,
        "thumbnails": _thumbnails(archive, entry, found),
        "by_slice": entry is not None and found.level == "slice",
        "state": state,
        "ways": ways_of(session),
        "structures": structures_of(session, state) if found.by == "plan" else [],
        "marks_of": marks_of if may_mark(session, state) else None,
        "hidden": hidden,
        "alpha": state.values.get("alpha", DEFAULT_ALPHA),
        "is_upload": state.case.startswith(UPLOAD),
        "has_pictures": entry is not None and entry.has_pictures and not entry.kind.single,
        "query_plan": plan_text(entry.facts) if entry is not None else "",
        "doses": _doses(archive, entry, found) if entry is not None else [],
    }


def _thumbnails(archive: Archive, query: Entry | None, found: Answer) -> dict[str, str]:
    """Pictures of images that are no slices, by id, the query's too; none of anything else."""
    if query is None or not query.kind.single:
        return {}
    entries = [query, *(archive.entry(match.id) for match in found.matches)]
    return {entry.id: png_of(entry.picture(0)[0]) for entry in entries}


def _doses(archive: Archive, query: Entry, found: Answer) -> list[Any]:
    """Doses by structure of the query and the first results."""
    return dose_table(query, [archive.entry(one.id) for one in found.matches[:DOSES_SHOWN]])


def ways_of(session: Session) -> Sequence[str]:
    """The words that --by may have of this query: those that do not refuse it."""
    found = (
        name for way in session.ways for name in way.names if way.refusal(Request(by=name)) is None
    )
    return tuple(dict.fromkeys(found))
