"""Forms as browsers send them without a script: short, by name, and read once."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.types import Message, Receive

KIND = "application/x-www-form-urlencoded"
MOST_BYTES = 1 << 16
MOST_FIELDS = 2000


class TooLong(ValueError):
    """A form of more bytes or fields than any of ours has."""


class Form:
    """The fields of a form."""

    def __init__(self, body: bytes) -> None:
        try:
            self._fields = parse_qsl(
                body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="replace"
            )
        except UnicodeDecodeError:
            self._fields = []
        except ValueError as error:
            raise TooLong from error

    def text(self, name: str) -> str:
        """The first value of a field; empty where there is none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """All values of a field, such as those of ticked boxes."""
        return [value for field, value in self._fields if field == name]


async def body_of(receive: Receive) -> bytes:
    """The body of a request; TooLong where it is longer than a form."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_BYTES:
            raise TooLong
    return body


def again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, for who reads it next."""
    given = iter([body])

    async def receiving() -> Message:
        for piece in given:
            return {"type": "http.request", "body": piece, "more_body": False}
        return await receive()

    return receiving


async def form(request: Request) -> Form:
    """The form that a request brings; the guard has bounded its length."""
    return Form(await request.body())


TheForm = Annotated[Form, Depends(form)]
