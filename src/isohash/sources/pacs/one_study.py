"""One study of a PACS as a source: `dicomweb:URL#UID` in place of a path."""

from __future__ import annotations

import atexit
from pathlib import Path

from isohash.errors import InputError
from isohash.sources import private_folder
from isohash.sources.pacs.address import Address, opened, parse
from isohash.sources.pacs.fetching import bring
from isohash.sources.pacs.node import Node, Study, Wanted

_folders: list[Path] = []
_known: dict[Address, tuple[Study, Path]] = {}  # as the node listed it when it was brought


def brought(text: str) -> tuple[Address, Path]:
    """The study at an address, in a private folder that goes when this process ends.

    It is brought once, and again when the node lists more or fewer objects, or does not say how
    many. InputError if no study is named, or it cannot be had.
    """
    address = parse(text)
    if not address.study:
        raise InputError(
            f"{address}: names no study; add #UID, or bring all that is new with isohash pull"
        )
    node = opened(address)
    try:
        study = node.study(address.study)
        before, folder = _known.get(address, (None, Path()))
        if study != before or study.n_objects is None:
            folder = _bring(node, study)
            _known[address] = study, folder
    finally:
        node.close()
    return address, folder


def _bring(node: Node, study: Study) -> Path:
    folder = private_folder.make()
    _folders.append(folder)
    bring(node, study, Wanted(modality=""), folder / "study")
    return folder


@atexit.register
def forget() -> None:
    """Remove all that was brought."""
    _known.clear()
    while _folders:
        private_folder.remove(_folders.pop())
