"""Who may ask: the right host, the same origin, a known person; and what every answer carries.

A page of another origin can make a browser send requests here (cross-site request forgery), and a
name that it controls can be made to point here (DNS rebinding). So the Host must be one that the
server was started for, a `Gate` must know who asks, and what changes something must come from here
and carry the token of our own pages.
"""

from __future__ import annotations

import hmac
import http.cookies
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isohash.apps.web import forms
from isohash.apps.web.who import FIELD, HEADER, LOCAL, WHO, Who, csrf_of

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
SAFE = ("GET", "HEAD")
OPEN_URL = "open the address that isohash serve printed"


@dataclass(frozen=True)
class Admitted:
    """Who asks; `by_cookie` where a browser says so by itself, whoever made it ask."""

    who: Who
    by_cookie: bool


class Gate(Protocol):
    """Tells who sent a request, or what is answered instead."""

    def admit(self, scope: Scope, headers: Headers) -> Admitted | Response:
        """Look at one request."""


class Guard:
    """Lets requests through that name a known host and that the gate admits."""

    def __init__(self, app: ASGIApp, gate: Gate, hosts: Iterable[str]) -> None:
        self.app, self.gate, self.hosts = app, gate, frozenset(hosts)

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
        if scope["method"] not in SAFE:
            try:
                receive, field = await _form_token(headers, receive)
            except forms.TooLong:
                await PlainTextResponse("this form is too long", 413)(scope, receive, send)
                return
            if admitted.by_cookie and (refused := _forged(admitted.who, headers, field)):
                await refused(scope, receive, send)
                return
        WHO.set(admitted.who)
        await self.app(scope, receive, send)

    def _foreign(self, headers: Headers) -> Response | None:
        if headers.get("host") not in self.hosts:
            return PlainTextResponse("this host is not served here", 421)
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] not in self.hosts:
            return PlainTextResponse("a page of another origin may not ask", 403)
        return None


class TokenGate:
    """For one person: who has the token may do everything.

    The token may be a query parameter, a bearer, or the cookie that opening a page with the
    parameter sets; the address bar then loses it.
    """

    def __init__(self, token: str, cookie: str) -> None:
        self.token, self.cookie = token, cookie

    def admit(self, scope: Scope, headers: Headers) -> Admitted | Response:
        """Whoever has the token."""
        parameters = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in parameters if name == "token"]
        address = (scope.get("client") or ("",))[0]
        who = Who(LOCAL, "admin", csrf_of(self.token), address)
        if any(map(self._is_token, given)):
            is_page = "text/html" in headers.get("accept", "") and scope["method"] == "GET"
            return self._signed_in(scope, parameters) if is_page else Admitted(who, False)
        if self._is_token(bearer_of(headers)):
            return Admitted(who, False)
        if not self._is_token(cookie_of(headers, self.cookie)):
            return PlainTextResponse(f"the token is missing or wrong; {OPEN_URL}", 401)
        return Admitted(who, True)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _signed_in(self, scope: Scope, parameters: list[tuple[str, str]]) -> Response:
        """The same page without the token in its address, which histories keep."""
        rest = urlencode([(name, value) for name, value in parameters if name != "token"])
        path = "/" + scope["path"].lstrip("/")  # never another host
        response = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
        response.set_cookie(self.cookie, self.token, httponly=True, samesite="strict")
        return response


def bearer_of(headers: Headers) -> str:
    """The bearer of a request; empty where there is none."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    return bearer if scheme.lower() == "bearer" else ""


def cookie_of(headers: Headers, name: str) -> str:
    """The cookie of a name; empty where there is none."""
    try:
        found = http.cookies.SimpleCookie(headers.get("cookie", "")).get(name)
    except http.cookies.CookieError:
        return ""
    return found.value if found else ""


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


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
