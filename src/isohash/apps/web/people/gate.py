"""The gate of a server with users: sessions by cookie, and forms to log in and out."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Scope

from isohash.apps.web.forms import TheForm
from isohash.apps.web.gates import Admitted, cookie_of
from isohash.apps.web.people.audit import Audit, lines_of
from isohash.apps.web.people.sessions import Sessions, Throttle
from isohash.apps.web.people.users import Users
from isohash.apps.web.rendering import page
from isohash.apps.web.who import TheAsker, Who, csrf_of

router = APIRouter()
SHOWN = 500  # lines of the audit log on its page
AT_ONCE = 2  # passwords that are compared at one time; each takes 64 MiB
WRONG = "name or password is wrong"


@dataclass
class Proxy:
    """The proxy in front: requests from its addresses only, by TLS, and whose it says they are."""

    addresses: Sequence[str] = ("127.0.0.1", "::1")

    def address(self, scope: Scope, headers: Headers) -> str | Response:
        """The address of who asked the proxy, the last that it added; or a refusal."""
        if (scope.get("client") or ("",))[0] not in self.addresses:
            return PlainTextResponse("only the proxy may ask here", 403)
        if headers.get("x-forwarded-proto") != "https":
            return PlainTextResponse("the proxy must be asked by https", 403)
        return headers.get("x-forwarded-for", "").rpartition(",")[2].strip()


@dataclass
class LoginGate:
    """Knows people by the cookie of their session; `secure` where only TLS may carry it."""

    folder: Path
    cookie: str = "isohash"
    secure: bool = True
    proxy: Proxy | None = None
    users: Users = field(init=False)
    sessions: Sessions = field(init=False)
    throttle: Throttle = field(init=False, default_factory=Throttle)
    audit: Audit = field(init=False)
    slots: asyncio.Semaphore = field(init=False, default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def __post_init__(self) -> None:
        self.users, self.audit = Users(self.folder), Audit(self.folder)
        self.sessions = Sessions(self.users)
        self.audit.journal.refresh()  # a broken chain is told before anything is served
        if self.secure:
            self.cookie = f"__Host-{self.cookie}"  # which no other name or path can set

    def admit(self, scope: Scope, headers: Headers) -> Admitted | Response:
        """The user whose session it is, or nobody."""
        address: str | Response = (scope.get("client") or ("",))[0]
        if self.proxy is not None:
            address = self.proxy.address(scope, headers)
        if isinstance(address, Response):
            return address
        secret = cookie_of(headers, self.cookie)
        user = self.sessions.find(secret)
        csrf = csrf_of(secret) if secret else secrets.token_hex(32)  # which no form can have
        if user is None:
            return Admitted(Who("", "nobody", csrf, address), by_cookie=True)
        return Admitted(Who(user.name, user.role, csrf, address), by_cookie=True)

    def remember(self, response: Response, secret: str) -> Response:
        """Give the browser its secret; it ends with the browser or the session."""
        response.set_cookie(
            self.cookie, secret, httponly=True, samesite="strict", secure=self.secure, path="/"
        )
        return response


def gate_of(request: Request) -> LoginGate:
    """The gate of this server."""
    return request.app.state.gate


@router.get("/login")
async def login_page(request: Request, to: str = "/") -> Response:
    """The form; whoever has no session gets a secret that its token hangs on."""
    return _form(request, to, "", 200)


@router.post("/login")
async def login(request: Request, asker: TheAsker, form: TheForm) -> Response:
    """A name and a password; a new session has a secret of its own."""
    gate, name, to = gate_of(request), form.text("name"), form.text("to")
    wait_s = gate.throttle.wait_s(name, asker.address)
    if wait_s > 0:
        return _form(request, to, f"too many tries; wait {wait_s:.0f} seconds", 429)
    gate.throttle.failed(name, asker.address)  # until it is known to be right: tries run at once
    async with gate.slots:
        user = await run_in_threadpool(gate.users.verified, name, form.text("password"))
    if user is None:
        told = name if name in gate.users.all() else "unknown"  # it may be a password, mistyped
        await run_in_threadpool(gate.audit.note, asker, "failed login", name=told)
        return _form(request, to, WRONG, 403)
    gate.throttle.succeeded(name, asker.address)
    who = Who(user.name, user.role, "", asker.address)
    await run_in_threadpool(gate.audit.note, who, "login")
    gate.sessions.end(cookie_of(Headers(scope=request.scope), gate.cookie))
    return gate.remember(RedirectResponse(_inside(to), 303), gate.sessions.begin(user))


@router.post("/logout")
async def logout(request: Request, asker: TheAsker) -> Response:
    """The session ends."""
    gate = gate_of(request)
    await run_in_threadpool(gate.audit.note, asker, "logout")
    gate.sessions.end(cookie_of(Headers(scope=request.scope), gate.cookie))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(gate.cookie, secure=gate.secure, httponly=True, samesite="strict")
    return response


@router.get("/audit")
async def audit_page(request: Request) -> Response:
    """The last lines of the audit log."""
    lines = await run_in_threadpool(lines_of, gate_of(request).folder)
    return page("audit.html", lines=lines[: -SHOWN - 1 : -1], total=len(lines))


def _form(request: Request, to: str, error: str, status: int) -> Response:
    """The form to log in with; its token hangs on a secret of nobody's session."""
    gate = gate_of(request)
    secret = cookie_of(Headers(scope=request.scope), gate.cookie)
    fresh = secret or secrets.token_urlsafe(32)
    values = {"to": _inside(to), "error": error, "token": csrf_of(fresh)}
    answer = page("login.html", status, **values)
    return answer if secret else gate.remember(answer, fresh)


def _inside(to: str) -> str:
    """An address of this server, whatever was asked for."""
    plain = to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable()
    return to if plain and "\\" not in to else "/"
