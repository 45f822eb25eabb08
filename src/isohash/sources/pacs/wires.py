"""Connections to DIMSE peers: without delay, with limits on what a peer may send."""

from __future__ import annotations

import socket
from io import BytesIO
from typing import Any

from pydicom.filewriter import write_file_meta_info
from pynetdicom import evt

from isohash.sources.pacs.connections import Entity
from isohash.sources.pacs.node import Inbox, PacsError

SILENT_SECONDS = 60.0
MOST_PDU = 1 << 20  # bytes that a peer may announce at once; we ask for 16 kB (PS3.8 D.1)
MOST_OBJECT = 1 << 30  # bytes of one object, which is held in memory as it comes
SUCCESS, REFUSED = 0x0000, 0xA700  # PS3.4 B.2.3: out of resources


def entity(aet: str) -> Entity:
    """Us, with limits on how long a peer may be silent."""
    ae = Entity(ae_title=aet)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = SILENT_SECONDS
    ae.connection_timeout = 10.0
    return ae


class Wire:
    """What comes through one connection: no more at once, and no more an object, than allowed."""

    def __init__(self) -> None:
        self.total = 0
        self._since_object = 0

    def opened(self, event: Any) -> None:
        """Send at once what is to be sent (Nagle's delay costs 80 ms an object), and count."""
        wire = event.assoc.dul.socket
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.socket.settimeout(SILENT_SECONDS)
        receive = wire.recv

        def limited(n_bytes: int) -> bytearray:
            self.total += n_bytes
            self._since_object += n_bytes
            if n_bytes > MOST_PDU or self._since_object > MOST_OBJECT:
                raise OSError("the peer sends more than it may")
            got: bytearray = receive(n_bytes)
            return got

        wire.recv = limited

    def took(self) -> None:
        """An object has come; the next one is counted anew."""
        self._since_object = 0


class Receiver:
    """Writes the objects that a peer sends (C-STORE) to an inbox."""

    def __init__(self, inbox: Inbox, wire: Wire) -> None:
        self._inbox, self.wire = inbox, wire
        self.failure: PacsError | None = None

    def store(self, event: Any) -> int:
        """A handler of evt.EVT_C_STORE: writes what came as it came; its status."""
        self.wire.took()
        try:
            incoming = self._inbox.new()
            try:
                incoming.write(head_of(event))
                incoming.write(event.request.DataSet.getbuffer())
            except BaseException:
                incoming.drop()
                raise
            incoming.whole()
        except PacsError as error:
            self.failure = self.failure or error
            return REFUSED
        except OSError as error:
            self.failure = self.failure or PacsError(f"cannot be written ({error.strerror})")
            return REFUSED
        return SUCCESS

    def handlers(self) -> list[Any]:
        """All that a connection needs."""
        return [(evt.EVT_CONN_OPEN, self.wire.opened), (evt.EVT_C_STORE, self.store)]


def head_of(event: Any) -> bytes:
    """What stands before the data set in a file (PS3.10 7.1)."""
    head = BytesIO()
    head.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(head, event.file_meta)
    return head.getvalue()
