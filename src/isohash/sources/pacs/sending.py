"""Objects go to a PACS: by STOW-RS (PS3.18 10.5) or C-STORE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.sources.dicom.sniff import looks_like_dicom
from isohash.sources.found import Skipped
from isohash.sources.pacs.address import opened, parse
from isohash.sources.pacs.credentials import Credentials
from isohash.sources.pacs.node import Local
from isohash.sources.walk import walk


@dataclass(frozen=True)
class Sent:
    """What was sent to a node, and what it did not take, with the reason."""

    node: str
    sent: tuple[str, ...]
    refused: dict[str, str]


def send(
    folder: str | Path,
    address: str,
    progress: Progress | None = None,
    local: Local | None = None,
    credentials: Credentials | None = None,
) -> Sent:
    """Store the DICOM files at or below a folder in the PACS at an address.

    InputError if there is none, or the node cannot be reached. Storing an object again changes
    nothing: a node keeps the one that it has.
    """
    files, parsed = _files(Path(folder)), parse(address)
    node = opened(parsed, local, credentials)
    sent: list[str] = []
    refused: dict[str, str] = {}
    try:
        for done, (file, why_not) in enumerate(node.store(files)):
            tell(progress, done, len(files), "sending objects")
            if why_not:
                refused[str(file)] = why_not
            else:
                sent.append(str(file))
    finally:
        node.close()
    return Sent(str(parsed), tuple(sent), refused)


def _files(folder: Path) -> Sequence[Path]:
    if not folder.exists():
        raise InputError(f"{folder}: no such file or folder; check the spelling")
    skipped: list[Skipped] = []
    files = [folder] if folder.is_file() else sorted(walk(folder, skipped))
    found = [file for file in files if looks_like_dicom(file)]
    if not found:
        raise InputError(f"{folder}: holds no DICOM; give a folder that isohash propose wrote")
    return found
