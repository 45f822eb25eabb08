"""A port of ours that nodes send studies to (C-STORE), each known by its title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from pynetdicom import evt

from isohash.sources.pacs.credentials import Credentials
from isohash.sources.pacs.port import open_port
from isohash.sources.pacs.spool import Spool
from isohash.sources.pacs.wires import REFUSED, SUCCESS, Wire, head_of


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
        self._spool, self._wires = spool, WeakKeyDictionary[Any, Wire]()
        handlers = [(evt.EVT_CONN_OPEN, self._opened), (evt.EVT_C_STORE, self._store)]
        self._port = open_port(aet, peers, place, secured, handlers)

    @property
    def port(self) -> int:
        """The port that is open."""
        return self._port.number

    def close(self) -> None:
        """Let nobody in any more."""
        self._port.close()

    def _opened(self, event: Any) -> None:
        self._wires[event.assoc] = Wire()
        self._wires[event.assoc].opened(event)

    def _store(self, event: Any) -> int:
        if (wire := self._wires.get(event.assoc)) is not None:
            wire.took()
        body = event.request.DataSet.getbuffer()
        try:
            if not self._spool.room(len(body)):
                return REFUSED
            self._spool.add((head_of(event), body))
        except OSError:
            return REFUSED
        return SUCCESS
