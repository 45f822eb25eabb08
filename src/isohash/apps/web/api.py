"""The workbench for machines: what the pages show, as JSON; described by /openapi.json."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, Response

from isohash.apps.page.report import foreseen_curves
from isohash.apps.web.asked import Asked, asked
from isohash.apps.web.curves import curves
from isohash.apps.web.desk import UPLOAD, Desk, not_held
from isohash.apps.web.pictures import block_of
from isohash.apps.web.uploads import Uploads
from isohash.errors import InputError
from isohash.retrieval.describe import describe_item
from isohash.retrieval.engine import Archive
from isohash.retrieval.facets import facets
from isohash.retrieval.inventory import rows_of
from isohash.retrieval.items import Items
from isohash.retrieval.strangers import understanding

router = APIRouter()
Where = Annotated[str | None, Query(description="Filter, as --where.")]
CaseId = Annotated[str, Query(description="The id of a case in the archive, or of an upload.")]


def plain(facts: Any) -> Response:
    """Facts as the commands print them with --json."""
    return Response(json.dumps(facts), media_type="application/json")


def desk_of(request: Request) -> Desk:
    """The archive that is served."""
    return request.app.state.desk


def uploads_of(request: Request) -> Uploads:
    """The uploads on their way."""
    return request.app.state.uploads


TheDesk = Annotated[Desk, Depends(desk_of)]
TheUploads = Annotated[Uploads, Depends(uploads_of)]
TheAsked = Annotated[Asked, Depends(asked)]


@router.get("/api/query", summary="The nearest cases, as isohash query --json")
@router.get("/query.json", include_in_schema=False)
async def query(desk: TheDesk, state: TheAsked) -> Response:
    """The answer to a query."""
    return plain(await desk.run(lambda _: desk.session(state.case).ask(state.request).to_json()))


@router.get("/api/cases", summary="The cases that pass a filter, and what may be asked of them")
@router.get("/cases.json", include_in_schema=False)
async def cases(desk: TheDesk, where: Where = None) -> Response:
    """Rows, as isohash list --json gives them, and facets with counts."""
    return plain(await desk.run(lambda archive: listed(archive, where or None)))


@router.get("/api/case", summary="What is kept of one case, as isohash show --json")
@router.get("/case.json", include_in_schema=False)
async def case_facts(desk: TheDesk, case: CaseId) -> Response:
    """Facts and doses of a case."""
    return plain(await desk.run(lambda archive: described(archive, case)))


@router.get("/api/pictures", summary="Slices and outlines of a case, deflated")
async def pictures(desk: TheDesk, case: CaseId) -> Response:
    """One block of bytes (see apps/web/pictures.py)."""
    block = await desk.run(lambda archive: pictures_of(desk, archive, case))
    return Response(block, media_type="application/octet-stream")


@router.get("/api/dvh", summary="Dose-volume histograms of several cases, by structure")
async def dvh(
    desk: TheDesk,
    case: Annotated[list[str], Query()],
    foreseen: Annotated[
        bool, Query(description="Also what the first's anatomy would get.")
    ] = False,
) -> Response:
    """Volume in percent at multiples of a step in Gy; the first case is the query."""

    def found(archive: Archive) -> dict[str, Any]:
        entries = [case_entry(desk, archive, one) for one in case]
        return curves(entries, foreseen_curves(desk.session(case[0])) if foreseen else None)

    return plain(await desk.run(found))


@router.post("/api/uploads", summary="Begin an upload of one case")
async def begin(uploads: TheUploads) -> Response:
    """The name of a new upload."""
    return plain({"upload": uploads.begin()})


@router.put("/api/uploads/{upload}", summary="Add one file (the body) to an upload")
async def add(request: Request, uploads: TheUploads, upload: str, name: str = "") -> Response:
    """One file of a DICOM folder, or a zip."""
    found = uploads.find(upload)
    try:
        await found.add(name, request.stream())
    except InputError:
        uploads.drop(upload)
        raise
    return plain({"files": found.n_files, "bytes": found.n_bytes})


@router.post("/api/uploads/{upload}", summary="Read an upload: gives the case to ask with")
async def read(desk: TheDesk, uploads: TheUploads, upload: str) -> Response:
    """The name to ask by; the files are removed."""
    found = uploads.find(upload)
    try:
        return plain({"case": await desk.run(lambda _: desk.upload(found.source))})
    except InputError as error:
        raise InputError(found.nameless(str(error))) from error
    finally:
        uploads.drop(upload)


def described(archive: Archive, case: str) -> dict[str, Any]:
    """What is kept of a stored case; InputError for anything else, paths above all."""
    if case not in archive:
        raise InputError(not_held(archive, case))
    return describe_item(archive, case)


def pictures_of(desk: Desk, archive: Archive, case: str) -> bytes:
    """The block of a stored case, or of an upload."""
    if case.startswith(UPLOAD):
        return block_of(desk.session(case).query)
    if case not in archive:
        raise InputError(not_held(archive, case))
    with understanding(archive.store.path, f"what is shown of case {case}"):
        return block_of(archive.entry(case) if isinstance(archive.contents, Items) else case)


def case_entry(desk: Desk, archive: Archive, case: str) -> Any:
    """What is kept of a stored case, or of an upload."""
    return archive.entry(case) if case in archive else desk.session(case).query


def listed(archive: Archive, where: str | None) -> dict[str, Any]:
    """Rows that pass a filter, how many there are in all, and facets of those that pass."""
    passing = archive.contents.facts.passing(where)
    rows = rows_of(archive.contents, passing.nonzero()[0].tolist())
    found = [
        {"name": f.name, "choices": [vars(choice) for choice in f.choices]}
        for f in facets(rows, where)
    ]
    return {"total": len(archive), "where": where, "cases": rows, "facets": found}


def told(error: InputError) -> JSONResponse:
    """An error in the one shape that the commands give."""
    return JSONResponse(error.to_json(), 400)
