"""The objects in a multipart/related answer (RFC 2387), written to files as they come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError

from isohash.sources.pacs.node import Inbox, Incoming, PacsError, Retry

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

BOUNDARY = re.compile(r'boundary="?([^";,]{1,70})"?', re.IGNORECASE)


def boundary_of(content_type: str) -> str:
    """The boundary that a Content-Type names; PacsError if it is not multipart/related."""
    found = BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/related") or found is None:
        raise PacsError(
            f"answers with {content_type.split(';')[0] or 'no type'}, not DICOM objects"
        )
    return found[1]


def receive(content_type: str, pieces: Iterable[bytes], inbox: Inbox) -> int:
    """Write each part to a file of `inbox`; how many there were. Retry if the end is missing."""
    parts = _Parts(inbox)
    parser = MultipartParser(boundary_of(content_type), parts.callbacks())
    try:
        for piece in pieces:
            parser.write(piece)
    except MultipartParseError as error:
        raise PacsError("its answer is no multipart message as it should be") from error
    finally:
        parts.drop()
    if not parts.ended:
        raise Retry("its answer ended too early")
    return parts.n


def message(file: Path, boundary: str, chunk: int = 1 << 18) -> Iterator[bytes]:
    """The body of a request that stores one object."""
    yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    with file.open("rb") as stream:
        yield from iter(lambda: stream.read(chunk), b"")
    yield f"\r\n--{boundary}--\r\n".encode()


class _Parts:
    """What the parser calls."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._now: Incoming | None = None
        self.n, self.ended = 0, False

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._all,
        }

    def drop(self) -> None:
        """The part that was on its way has not come whole."""
        if self._now is not None:
            self._now.drop()
            self._now = None

    def _begin(self) -> None:
        self._now = self._inbox.new()

    def _data(self, data: bytes, start: int, end: int) -> None:
        assert self._now is not None
        self._now.write(memoryview(data)[start:end])

    def _end(self) -> None:
        assert self._now is not None
        self._now.whole()
        self._now = None
        self.n += 1

    def _all(self) -> None:
        self.ended = True
