"""How it is told who sent a request: by a token, of a server for one person."""

from __future__ import annotations

import hmac
import http.cookies
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Scope

from isohash.apps.web.who import LOCAL, Who, csrf_of

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
