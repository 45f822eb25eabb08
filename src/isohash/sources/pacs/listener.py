"""A port of ours that nodes send studies to (C-STORE), each known by its title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pynetdicom import evt

from isohash.errors import InputError
from isohash.sources.pacs.contexts import contexts
from isohash.sources.pacs.credentials import Credentials
from isohash.sources.pacs.spool import Spool
from isohash.sources.pacs.wires import REFUSED, SUCCESS, Wire, entity, head_of

MOST_PEERS = 10  # associations at once
GREETING_SECONDS = 5.0  # after which who connects and says nothing makes room for others


class Listener:
    """Keeps what the nodes of these titles send; acknowledged is what is safe on disk."""

    def __init__(
        self,
        spool: Spool,
        peers: Sequence[str],
        aet: str,
        place: tuple[str, int],
        secured: Credentials,
    ) -> None:
        self._spool, self._wires = spool, dict[int, Wire]()
        here = entity(aet)
        here.maximum_associations = MOST_PEERS
        here.acse_timeout = GREETING_SECONDS
        here.require_called_aet = True
        here.require_calling_aet = list(peers)
        here.add_supported_context("1.2.840.10008.1.1")  # C-ECHO: that we are there
        for one in contexts():
            here.add_supported_context(one.abstract_syntax, one.transfer_syntax)
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_CONN_CLOSE, self._closed),
        ]
        handlers += [(evt.EVT_C_STORE, self._store)]
        tls = secured.context(server=True) if secured.tls else None
        try:
            self._server = here.start_server(
                place, block=False, ssl_context=tls, evt_handlers=handlers
            )
        except OSError as error:
            where = f"port {place[1]} of {place[0]}"
            raise InputError(
                f"{where} cannot be opened ({error.strerror}); give another --port"
            ) from error

    @property
    def port(self) -> int:
        """The port that is open."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Let nobody in any more."""
        if self._server is not None:
            self._server.shutdown()

    def _opened(self, event: Any) -> None:
        self._wires[id(event.assoc)] = Wire()
        self._wires[id(event.assoc)].opened(event)

    def _closed(self, event: Any) -> None:
        self._wires.pop(id(event.assoc), None)

    def _store(self, event: Any) -> int:
        if (wire := self._wires.get(id(event.assoc))) is not None:
            wire.took()
        body = event.request.DataSet.getbuffer()
        try:
            if not self._spool.room(len(body)):
                return REFUSED
            self._spool.add((head_of(event), body))
        except OSError:
            return REFUSED
        return SUCCESS
