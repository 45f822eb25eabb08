"""Who may ask: the right token, the right host, the same origin; and what every answer carries.

A page of another origin can make a browser send requests here (cross-site request forgery), and a
name that it controls can be made to point here (DNS rebinding). So the Host must be one that the
server was started for, the token must be known, and what changes something must come from here.
"""

from __future__ import annotations

import hmac
import http.cookies
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SAFE = ("GET", "HEAD")
OPEN_URL = "open the address that isohash serve printed"


class Guard:
    """Lets requests through that name a known host and carry the token.

    The token may be a query parameter, a bearer, or the cookie that opening a page with the
    parameter sets; the address bar then loses it.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str], cookie: str) -> None:
        self.app, self.token, self.cookie = app, token, cookie
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            response = self._refusal(scope)
            await (response or self.app)(scope, receive, _with_headers(send))
        elif scope["type"] == "lifespan":  # there are no websockets
            await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """What is answered instead; None to let the request through."""
        headers = Headers(scope=scope)
        if headers.get("host") not in self.hosts:
            return PlainTextResponse("this host is not served here", 421)
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] not in self.hosts:
            return PlainTextResponse("a page of another origin may not ask", 403)
        parameters = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in parameters if name == "token"]
        if any(map(self._is_token, given)):
            is_page = "text/html" in headers.get("accept", "") and scope["method"] == "GET"
            return self._signed_in(scope, parameters) if is_page else None
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(bearer):
            return None
        if not self._is_token(self._of_cookie(headers)):
            return PlainTextResponse(f"the token is missing or wrong; {OPEN_URL}", 401)
        if scope["method"] not in SAFE and origin is None:
            return PlainTextResponse("a change needs the header Origin or a bearer", 403)
        return None

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _of_cookie(self, headers: Headers) -> str:
        try:
            found = http.cookies.SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except http.cookies.CookieError:
            return ""
        return found.value if found else ""

    def _signed_in(self, scope: Scope, parameters: list[tuple[str, str]]) -> Response:
        """The same page without the token in its address, which histories keep."""
        rest = urlencode([(name, value) for name, value in parameters if name != "token"])
        path = "/" + scope["path"].lstrip("/")  # never another host
        response = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
        response.set_cookie(self.cookie, self.token, httponly=True, samesite="strict")
        return response


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
