"""The way back from a case to its study, for who keeps it: a file of lines, outside any archive.

Each line ties the pseudonym of a case to the UIDs of study and series that it came from. It is
written only where `--keep-links` asks for it, for its owner's eyes alone.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Formatter

from isohash.errors import InputError
from isohash.whole_files import OWNER_ONLY, append_line, refuse_in_archive

KIND = "isohash links"
FIELDS = ("study", "series", "id")


@dataclass(frozen=True)
class Link:
    """Where a case came from; UIDs identify."""

    id: str
    node: str
    study: str
    series: tuple[str, ...]


class Links:
    """A file of links to which lines are added, each safe on disk."""

    def __init__(self, path: Path) -> None:
        refuse_in_archive(path)
        if path.exists():
            read_links(path)  # that nothing else is written to
        self._path = path
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
        if not os.fstat(self._handle).st_size:
            self._write({"kind": KIND, "format": 1})

    def add(self, links: Sequence[Link]) -> None:
        """Add a line for each."""
        for link in links:
            self._write(asdict(link))

    def close(self) -> None:
        """Nothing more is to come."""
        os.close(self._handle)

    def _write(self, said: dict[str, object]) -> None:
        end = os.fstat(self._handle).st_size
        append_line(self._handle, self._path, end, json.dumps(said).encode() + b"\n")


def is_links(path: Path) -> bool:
    """Whether a file begins as one of links does."""
    try:
        with path.open("rb") as file:
            return json.loads(file.readline(256))["kind"] == KIND
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_links(path: Path) -> dict[str, Link]:
    """The links of a file by the id of the case, the last of each; InputError if it is none."""
    if not is_links(path):
        raise InputError(
            f"{path}: is no file of links; give one that --keep-links wrote, or a new one"
        )
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(f"{path}: others may read these links; run chmod 600 {path}")
    found = {}
    for number, line in enumerate(path.read_bytes().splitlines()[1:], 2):
        if not line:
            continue
        try:
            said = json.loads(line)
            link = Link(said["id"], said["node"], said["study"], tuple(said["series"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: line {number} is no link; restore it from a copy") from error
        found[link.id] = link
    return found


def links_of(path: Path, names: Sequence[str] = ()) -> list[Link]:
    """The links of these cases, of all if none is named; InputError for one that is not there."""
    found = read_links(path)
    if missing := [name for name in names if name not in found]:
        raise InputError(
            f"{path}: has no link of {', '.join(missing)}; they are kept by isohash pull "
            "--keep-links, and under the key that the archive was made with"
        )
    return [found[name] for name in names or found]


def address_in(template: str, link: Link) -> str:
    """The address of a case in a viewer: {study}, {series} and {id} are filled in.

    Example:
        >>> link = Link("case-a", "dicomweb:http://pacs", "1.2", ("1.2.3",))
        >>> address_in("https://viewer/?StudyInstanceUIDs={study}", link)
        'https://viewer/?StudyInstanceUIDs=1.2'
    """
    try:
        names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise InputError(f"{template}: no template ({error}); write {{study}}") from error
    if not names or not names <= set(FIELDS):
        raise InputError(f"{template}: a template has {{study}}, {{series}} or {{id}} in it")
    return template.format(study=link.study, series=",".join(link.series), id=link.id)
