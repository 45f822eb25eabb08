"""Addresses of PACS: `dicomweb:URL` and `dimse:AET@host:port`, perhaps with `#STUDY`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from isohash.errors import InputError
from isohash.sources.extras import ask_for_module
from isohash.sources.pacs.credentials import Credentials, credentials_of
from isohash.sources.pacs.node import Local, Node

UID = re.compile(r"[0-9]+(\.[0-9]+)*")  # PS3.5 9.1
LONGEST_UID = 64
DIMSE = re.compile(
    r"(?P<aet>[^@\\\x00-\x1f]{1,16})@(?P<host>\[[^\]]+\]|[^:@]+):(?P<port>[0-9]{1,5})"
)
FORM = "dicomweb:https://pacs/dicom-web or dimse:AET@host:port"


@dataclass(frozen=True)
class Address:
    """Where a PACS is, and perhaps which of its studies is meant."""

    scheme: str
    place: str
    study: str = ""

    def __str__(self) -> str:
        """Without the study, which identifies."""
        return f"{self.scheme}:{self.place}"


def parse(text: str) -> Address:
    """The parts of an address; InputError names what is wrong with it, and the form."""
    scheme, _, rest = text.partition(":")
    place, _, study = rest.partition("#")
    if scheme not in ("dicomweb", "dimse"):
        raise InputError(f"{text}: no address of a PACS; give {FORM}")
    if study and (len(study) > LONGEST_UID or not UID.fullmatch(study)):
        raise InputError(f"{text}: after # stands the UID of a study, digits and dots")
    _check_url(place) if scheme == "dicomweb" else _parts(place)
    return Address(scheme, place.rstrip("/"), study)


def opened(
    address: Address, local: Local | None = None, credentials: Credentials | None = None
) -> Node:
    """The PACS at an address; MissingExtra where its protocol is not installed.

    Credentials are those of the environment unless given.
    """
    credentials = credentials or credentials_of()
    if address.scheme == "dicomweb":
        ask_for_module("requests", "dicomweb", "asking a PACS")
        from isohash.sources.pacs.dicomweb import DicomWeb

        return DicomWeb(address.place, credentials)
    ask_for_module("pynetdicom", "dicomweb", "asking a PACS")
    from isohash.sources.pacs.dimse import Dimse

    return Dimse(*_parts(address.place), local or Local(), credentials)


def _check_url(place: str) -> None:
    parts = urlsplit(place)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"dicomweb:{place}: not a URL; give {FORM}")
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "a URL with a password can be read by others on this machine; give a file with "
            "--credentials, or ISOHASH_PACS_USER and ISOHASH_PACS_PASSWORD"
        )
    if parts.query:
        raise InputError(f"dicomweb:{parts.hostname}: a URL with ? is not one of DICOMweb")


def _parts(place: str) -> tuple[str, str, int]:
    """Title, host and port of a DIMSE node."""
    found = DIMSE.fullmatch(place)
    if found is None or not 0 < int(found["port"]) < 1 << 16:
        raise InputError(f"dimse:{place}: no title, host and port; give {FORM}")
    return found["aet"], found["host"].strip("[]"), int(found["port"])
