"""Who we are to a PACS: from a file for its owner alone, or the environment; never an argument."""

from __future__ import annotations

import json
import os
import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isohash.errors import InputError

MOST_BYTES = 1 << 16
FIELDS = ("user", "password", "token", "ca", "certificate", "key")
VARIABLES = {name: f"ISOHASH_PACS_{name.upper()}" for name in FIELDS}


@dataclass(frozen=True)
class Credentials:
    """User and password, or a bearer token; for TLS the trusted `ca` and our own certificate.

    `ca`, `certificate` and `key` are files in PEM form. A DIMSE node is asked over TLS if any of
    these is given.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @property
    def tls(self) -> bool:
        """Whether a DIMSE node is to be asked over TLS."""
        return bool(self.ca or self.certificate)

    def context(self, server: bool = False) -> ssl.SSLContext:
        """For TLS: the peer must show a certificate that `ca` (or the system) trusts."""
        purpose = ssl.Purpose.CLIENT_AUTH if server else ssl.Purpose.SERVER_AUTH
        try:
            context = ssl.create_default_context(purpose, cafile=self.ca or None)
            context.verify_mode = ssl.CERT_REQUIRED
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key or None)
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"the certificates for TLS cannot be used ({error})") from error
        return context


def credentials_of(file: Path | None = None) -> Credentials:
    """From a JSON file such as {"user": ..., "password": ...}, or else from ISOHASH_PACS_*.

    InputError if others may read the file, or it is not of this form.
    """
    if file is None:
        return _checked(
            {name: os.environ.get(VARIABLES[name], "") for name in FIELDS}, "ISOHASH_PACS_*"
        )
    try:
        return _checked(json.loads(_content(file)), str(file))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{file}: is not JSON; write {_form()}") from error


def _content(file: Path) -> bytes:
    """The bytes of a file that only its owner may read."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            raise InputError(f"{file}: no file of credentials; write {_form()}")
        if os.name == "posix" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InputError(f"{file}: others may read these credentials; run chmod 600 {file}")
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error


def _checked(said: Any, where: str) -> Credentials:
    if not isinstance(said, Mapping) or not all(
        name in FIELDS and isinstance(value, str) for name, value in said.items()
    ):
        raise InputError(f"{where}: has other fields than {', '.join(FIELDS)}; write {_form()}")
    found = Credentials(**said)
    if found.token and found.user:
        raise InputError(f"{where}: gives both a user and a token; leave one out")
    return found


def _form() -> str:
    return '{"user": "...", "password": "..."} or {"token": "..."}'
