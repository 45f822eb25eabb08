"""A port of ours that a DIMSE node sends to, because it was asked to (C-MOVE)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pynetdicom import evt

from isohash.sources.pacs.credentials import Credentials
from isohash.sources.pacs.node import PacsError
from isohash.sources.pacs.wires import REFUSED, Receiver, Wire, entity

MOST_PEERS = 4  # at once


class Door:
    """Lets in the one node that is known by its title, while it is open."""

    def __init__(
        self, peer: str, ours: str, port: int, contexts: Sequence[Any], credentials: Credentials
    ) -> None:
        self.receiver: Receiver | None = None
        here = entity(ours)
        here.maximum_associations = MOST_PEERS
        here.require_called_aet = True
        here.require_calling_aet = [peer]
        for one in contexts:
            here.add_supported_context(one.abstract_syntax, one.transfer_syntax)
        secured = credentials.context(server=True) if credentials.tls else None
        handlers = [(evt.EVT_CONN_OPEN, self._opened), (evt.EVT_C_STORE, self._store)]
        try:
            self._server = here.start_server(
                ("", port), block=False, ssl_context=secured, evt_handlers=handlers
            )
        except OSError as error:
            raise PacsError(f"port {port} cannot be opened here ({error.strerror})") from error

    def close(self) -> None:
        """Let nobody in any more."""
        if self._server is not None:
            self._server.shutdown()

    def _opened(self, event: Any) -> None:
        (Wire() if self.receiver is None else self.receiver.wire).opened(event)

    def _store(self, event: Any) -> int:
        return REFUSED if self.receiver is None else self.receiver.store(event)
