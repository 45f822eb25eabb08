"""An open port for DIMSE nodes, which are let in by their titles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pynetdicom import evt

from isohash.sources.pacs.connections import Connections
from isohash.sources.pacs.contexts import contexts
from isohash.sources.pacs.credentials import Credentials
from isohash.sources.pacs.node import PacsError
from isohash.sources.pacs.wires import entity

ECHO = "1.2.840.10008.1.1"  # C-ECHO: that we are there
MOST_PEERS = 10  # associations at once
GREETING_SECONDS = 5.0  # after which who connects and says nothing makes room for others


class Port:
    """An open one; `number` is its own."""

    def __init__(self, server: Any, connections: Connections) -> None:
        self._server, self._connections = server, connections
        self.number = int(server.server_address[1])

    def close(self) -> None:
        """Let nobody in any more, and let go of who is in."""
        self._server.shutdown()
        self._connections.close()


def open_port(
    ours: str,
    peers: Sequence[str],
    place: tuple[str, int],
    secured: Credentials,
    handlers: Sequence[Any],
) -> Port:
    """A port for nodes of these titles that ask for ours; PacsError if the port is taken."""
    here = entity(ours)
    here.maximum_associations = MOST_PEERS
    here.acse_timeout = GREETING_SECONDS
    here.require_called_aet = True
    here.require_calling_aet = list(peers)
    here.add_supported_context(ECHO)
    for one in contexts():
        here.add_supported_context(one.abstract_syntax, one.transfer_syntax)
    tls = secured.context(server=True) if secured.tls else None
    connections = Connections()
    handled = [(evt.EVT_CONN_OPEN, connections.opened), *handlers]
    try:
        server = here.start_server(place, block=False, ssl_context=tls, evt_handlers=handled)
    except OSError as error:
        host, port = place
        where = f"port {port} of {host}" if host else f"port {port}"
        raise PacsError(f"{where} cannot be opened ({error.strerror}); choose another") from error
    return Port(server, connections)
