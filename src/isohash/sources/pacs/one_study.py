"""One study of a PACS as a source: `dicomweb:URL#UID` in place of a path."""

from __future__ import annotations

import atexit
from pathlib import Path

from isohash.errors import InputError
from isohash.sources import private_folder
from isohash.sources.pacs.address import Address, opened, parse
from isohash.sources.pacs.fetching import bring
from isohash.sources.pacs.node import Wanted

_brought: list[Path] = []


def brought(text: str) -> tuple[Address, Path]:
    """The study at an address, in a private folder that goes when this process ends.

    InputError if no study is named, or it cannot be had.
    """
    address = parse(text)
    if not address.study:
        raise InputError(
            f"{address}: names no study; add #UID, or bring all that is new with isohash pull"
        )
    folder = private_folder.make()
    _brought.append(folder)
    node = opened(address)
    try:
        bring(node, node.study(address.study), Wanted(modality=""), folder / "study")
    finally:
        node.close()
    return address, folder


@atexit.register
def forget() -> None:
    """Remove all that was brought."""
    while _brought:
        private_folder.remove(_brought.pop())
