"""Who may ask: the right host, the same origin, a known person; and what every answer carries.

A page of another origin can make a browser send requests here (cross-site request forgery), and a
name that it controls can be made to point here (DNS rebinding). So the Host must be one that the
server was started for, a `Gate` must know who asks, and what changes something must come from here
and carry the token of our own pages.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from functools import partial
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isohash.apps.web import forms, rights
from isohash.apps.web.gates import Admitted, Gate
from isohash.apps.web.who import FIELD, HEADER, WHO, Who
from isohash.errors import InputError

Auditor = Callable[[Who, str, str, bytes], None]  # who, did what, by which path and query

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # "no-referrer" would take the Origin from our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Lets requests through that name a known host, and that the gate and the table admit.

    What the table says is audited goes to `audit`, before the answer goes out.
    """

    def __init__(
        self, app: ASGIApp, gate: Gate, hosts: Iterable[str], audit: Auditor | None = None
    ) -> None:
        self.app, self.gate, self.hosts, self.audit = app, gate, frozenset(hosts), audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            await self._http(scope, receive, _with_headers(send))
        elif scope["type"] == "lifespan":  # there are no websockets
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._foreign(headers)
        admitted = refusal or self.gate.admit(scope, headers)
        if isinstance(admitted, Response):
            await admitted(scope, receive, send)
            return
        who, receive, refused = await self._judged(admitted, scope, headers, receive)
        if refused is not None:
            await refused(scope, receive, send)
            return
        WHO.set(who)
        did = rights.audited(scope["method"], scope["path"])
        if did is not None and self.audit is not None:
            send = _recorded(partial(self.audit, who, did), scope, send)
        await self.app(scope, receive, send)

    async def _judged(
        self, admitted: Admitted, scope: Scope, headers: Headers, receive: Receive
    ) -> tuple[Who, Receive, Response | None]:
        """Who asks, the body for who reads it next, and the refusal if there is one."""
        who, method = admitted.who, scope["method"]
        if not who.may(rights.needed(method, scope["path"])):
            return who, receive, _beyond(who, scope, headers)
        if method in rights.SAFE:
            return who, receive, None
        try:
            receive, field = await _form_token(headers, receive)
        except forms.TooLong:
            return who, receive, PlainTextResponse("this form is too long", 413)
        return who, receive, _forged(who, headers, field) if admitted.by_cookie else None

    def _foreign(self, headers: Headers) -> Response | None:
        if headers.get("host") not in self.hosts:
            return PlainTextResponse("this host is not served here", 421)
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] not in self.hosts:
            return PlainTextResponse("a page of another origin may not ask", 403)
        return None


async def _form_token(headers: Headers, receive: Receive) -> tuple[Receive, str]:
    """The token in a form, and the body again for the page that reads it."""
    if headers.get("content-type", "").partition(";")[0].strip() != forms.KIND:
        return receive, ""
    body = await forms.body_of(receive)
    return forms.again(body, receive), forms.Form(body).text(FIELD)


def _forged(who: Who, headers: Headers, field: str) -> Response | None:
    """Why a change that a cookie vouches for is refused."""
    if headers.get("origin") is None:
        return PlainTextResponse("a change needs the header Origin or a bearer", 403)
    given = headers.get(HEADER) or field
    if not hmac.compare_digest(given.encode(), who.csrf.encode()):
        return PlainTextResponse("a change needs the token of our own pages; reload the page", 403)
    return None


def _beyond(who: Who, scope: Scope, headers: Headers) -> Response:
    """What is answered to who may not: to log in first, or that it takes another role."""
    if who.role != rights.OPEN:
        return PlainTextResponse(f"this takes another role than {who.role}; ask an admin", 403)
    if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        query = scope["query_string"].decode("latin-1")
        to = urlencode({"to": scope["path"] + (f"?{query}" if query else "")})
        return RedirectResponse(f"/login?{to}", 303)
    return PlainTextResponse("log in first", 401)


def _recorded(record: Callable[[str, bytes], None], scope: Scope, send: Send) -> Send:
    """Sends an answer once it is written into the log who got it; another where that fails."""
    failed = False

    async def sending(message: Message) -> None:
        nonlocal failed
        if message["type"] == "http.response.start" and message["status"] < 400:
            try:
                await run_in_threadpool(record, scope["path"], scope["query_string"])
            except InputError:
                failed = True
                told = PlainTextResponse("the audit log cannot be written; tell an admin", 503)
                await told(scope, _nothing, send)
        if not failed:
            await send(message)

    return sending


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
