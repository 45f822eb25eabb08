"""A port of ours that a DIMSE node sends to, because it was asked to (C-MOVE)."""

from __future__ import annotations

from typing import Any

from pynetdicom import evt

from isohash.sources.pacs.credentials import Credentials
from isohash.sources.pacs.port import open_port
from isohash.sources.pacs.wires import REFUSED, Receiver, Wire


class Door:
    """Lets in the one node that is known by its title, while it is open."""

    def __init__(self, peer: str, ours: str, port: int, secured: Credentials) -> None:
        self.receiver: Receiver | None = None
        handlers = [(evt.EVT_CONN_OPEN, self._opened), (evt.EVT_C_STORE, self._store)]
        self._port = open_port(ours, [peer], ("", port), secured, handlers)

    def close(self) -> None:
        """Let nobody in any more."""
        self._port.close()

    def _opened(self, event: Any) -> None:
        (Wire() if self.receiver is None else self.receiver.wire).opened(event)

    def _store(self, event: Any) -> int:
        return REFUSED if self.receiver is None else self.receiver.store(event)
