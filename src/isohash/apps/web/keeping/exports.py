"""What is taken along: answers, lists and comparisons as CSV, an answer as a page of its own."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from isohash.apps.csv_text import csv_text
from isohash.apps.page.report import render
from isohash.apps.web.api import CaseId, TheAsked, TheDesk, Where, case_entry, listed, plain
from isohash.apps.web.desk import Desk
from isohash.apps.web.keeping.comparison import compared
from isohash.apps.web.rendering import file_answer, page
from isohash.errors import InputError
from isohash.retrieval.engine import Archive
from isohash.retrieval.entry import Entry
from isohash.retrieval.export import rows_of_answer

router = APIRouter()
CSV = "text/csv; charset=utf-8"
Other = Annotated[str, Query(description="The case to compare with.")]
Gamma = Annotated[bool, Query(description="Also gamma and dose difference (takes seconds).")]


@router.get("/query.csv")
async def query_csv(desk: TheDesk, state: TheAsked) -> Response:
    """The matches of an answer, a row each."""
    rows = await desk.run(lambda _: rows_of_answer(desk.session(state.case).ask(state.request)))
    return file_answer(csv_text(rows), CSV, f"like-{state.case}.csv")


@router.get("/cases.csv")
async def cases_csv(desk: TheDesk, where: Where = None) -> Response:
    """The cases that pass a filter, as isohash list --csv writes them."""
    found = await desk.run(lambda archive: listed(archive, where or None))
    return file_answer(csv_text(found["cases"]), CSV, "cases.csv")


@router.get("/report")
async def report(desk: TheDesk, state: TheAsked) -> Response:
    """The page that isohash query --report writes: one file, to be opened offline or printed."""
    text = await desk.run(lambda _: _reported(desk, state))
    return file_answer(text, "text/html; charset=utf-8", f"like-{state.case}.html")


@router.get("/api/compare", summary="Two cases side by side: facts, doses, differences")
@router.get("/compare.json", include_in_schema=False)
async def comparison(desk: TheDesk, case: CaseId, other: Other, gamma: Gamma = False) -> Response:
    """Facts and doses of both; with gamma also what isohash compare tells."""
    return plain(await desk.run(lambda archive: _sides(desk, archive, case, other, gamma)))


@router.get("/compare.csv")
async def comparison_csv(desk: TheDesk, case: CaseId, other: Other) -> Response:
    """The doses of both, a metric in each row."""
    found = await desk.run(lambda archive: _sides(desk, archive, case, other, False))
    return file_answer(csv_text(found["doses"]), CSV, f"{case}-and-{other}.csv")


@router.get("/compare")
async def comparison_page(
    desk: TheDesk, case: CaseId, other: Other, gamma: Gamma = False
) -> Response:
    """Two cases side by side."""
    found = await desk.run(lambda archive: _sides(desk, archive, case, other, gamma))
    return page("compare.html", found=found, gamma=gamma)


def _reported(desk: Desk, state: Any) -> str:
    session = desk.session(state.case)
    if not isinstance(session.query, Entry):
        raise InputError("an archive of vectors has no page to report on; take the CSV")
    return render(session, session.ask(state.request), dt.date.today().isoformat())


def _sides(desk: Desk, archive: Archive, case: str, other: str, gamma: bool) -> dict[str, Any]:
    one, two = (case_entry(desk, archive, name) for name in (case, other))
    if not isinstance(one, Entry) or not isinstance(two, Entry):
        raise InputError("vectors have no facts and doses to compare")
    found = compared(one, two)
    if not gamma:
        return found
    told = archive.compare(one, two)
    return {**found, "lines": list(told.lines), "dose_comparison": told.to_json()}
