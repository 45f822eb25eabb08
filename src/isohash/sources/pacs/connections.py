"""The connections of a server or a client, each closed when it is over."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Lock
from typing import Any

from pynetdicom import AE
from pynetdicom.transport import AssociationSocket


class Entity(AE):
    """An application entity that closes what it opened in vain, too.

    Where nobody answers, no connection opens that `Connections` could remember.
    """

    def _create_socket(self, assoc: Any, address: Any, tls_args: Any) -> AssociationSocket:
        end = _End(assoc, address=address)
        end.tls_args = tls_args
        return end


class _End(AssociationSocket):
    def _shutdown_socket(self) -> None:
        """As pynetdicom's, which closes only where there was a peer to take leave of."""
        end = self.socket
        super()._shutdown_socket()
        if end is not None:
            end.close()


class Connections:
    """Remembers every connection that opens, and closes what its association leaves behind.

    pynetdicom forgets a socket whose peer went without a word; the open file then stays until the
    garbage collector comes by.
    """

    def __init__(self) -> None:
        self._open: list[tuple[Any, socket.socket]] = []
        self._lock = Lock()

    def opened(self, event: Any) -> None:
        """A handler of evt.EVT_CONN_OPEN: remembers this one, and closes those that are over."""
        with self._lock:
            for association, end in self._open:
                if _is_over(association):
                    end.close()
            self._open = [one for one in self._open if one[1].fileno() >= 0]
            self._open.append((event.assoc, event.assoc.dul.socket.socket))

    def close(self) -> None:
        """Close all, also those that are in use."""
        with self._lock:
            for _, end in self._open:
                _cut(end)
            self._open = []


def _is_over(association: Any) -> bool:
    """Its thread has run and ended; one that has not begun yet is not over."""
    return association.ident is not None and not association.is_alive()


def _cut(end: socket.socket) -> None:
    with suppress(OSError):  # nobody is at the other end any more
        end.shutdown(socket.SHUT_RDWR)
    end.close()
