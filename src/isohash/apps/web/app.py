"""The workbench as an ASGI application: routes, errors, the guard around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

import isohash
from isohash.apps.web import api, indexing, mapping, pages
from isohash.apps.web.desk import Desk
from isohash.apps.web.gates import Gate, TokenGate
from isohash.apps.web.guard import Guard
from isohash.apps.web.keeping import exports
from isohash.apps.web.keeping import pages as kept_pages
from isohash.apps.web.keeping.shelf import Shelf
from isohash.apps.web.people.gate import LoginGate
from isohash.apps.web.people.gate import router as login_router
from isohash.apps.web.uploads import Uploads
from isohash.errors import InputError
from isohash.whole_files import workbench_of

STATIC = Path(__file__).parent / "static"


def create_app(
    archive: Path,
    gate: Gate | str,
    hosts: Iterable[str],
    cookie: str = "isohash",
    roots: tuple[Path, ...] = (),
) -> Guard:
    """The workbench of one archive, for requests to `hosts` that `gate` admits.

    A text in place of a gate is the token of a server for one person. Cases may be added from
    below `roots`.

    Raises:
        InputError: where the archive cannot be opened.
    """
    job = indexing.Job(archive, indexing.Roots.of(roots))
    desk, uploads = Desk(archive), Uploads()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        job.close()
        uploads.close()
        desk.close()

    app = FastAPI(
        title="isohash", version=isohash.__version__, docs_url=None, redoc_url=None,
        lifespan=lifespan,
    )  # fmt: skip
    app.state.desk, app.state.uploads = desk, uploads
    app.state.shelf, app.state.job = Shelf(workbench_of(archive)), job
    for router in (api.router, exports.router, kept_pages.router, mapping.router, indexing.router):
        app.include_router(router)
    app.include_router(pages.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(RequestValidationError, _misspelt)
    if isinstance(gate, str):
        return Guard(app, TokenGate(gate, cookie), hosts)
    if isinstance(gate, LoginGate):
        app.state.gate = gate
        app.include_router(login_router, include_in_schema=False)
        return Guard(app, gate, hosts, gate.audit.note_request)
    return Guard(app, gate, hosts)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, InputError)
    return api.told(error) if _for_machines(request) else pages.error_page(error)


def _misspelt(request: Request, error: Exception) -> Response:
    """Wrong parameters, in the one shape of errors."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _refused(request, InputError(f"{first['loc'][-1]}: {first['msg']}"))


def _for_machines(request: Request) -> bool:
    path = request.url.path
    return path.startswith("/api/") or path.endswith(".json")
