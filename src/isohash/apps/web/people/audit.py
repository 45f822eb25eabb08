"""The audit log: who logged in, asked, took along, uploaded, changed users; see `journal`."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from isohash.apps.web.keeping.journal import BrokenChain, Facts, Journal
from isohash.apps.web.who import Who
from isohash.errors import InputError

FILE = "audit.jsonl"
MOST_TEXT = 500  # characters of one value
LEFT_OUT = ("token", "csrf", "password")


@dataclass(frozen=True)
class Verdict:
    """Whether the chain holds: how many lines, the last link, and the first line that is wrong."""

    lines: int
    chain: str
    broken_at: int | None = None
    missing: str | None = None


class Audit:
    """The log of one archive."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / FILE)

    def note(self, who: Who, did: str, **facts: Any) -> None:
        """Write what somebody did; it is on the disk when this returns."""
        self.journal.append(did=did, who=who.name, address=who.address, **facts)

    def note_request(self, who: Who, did: str, path: str, query: bytes) -> None:
        """Write a request with what its address asked for."""
        given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        asked = [[name, value[:MOST_TEXT]] for name, value in given if name not in LEFT_OUT]
        self.note(who, did, page=path[:MOST_TEXT], asked=asked)


def at_the_command_line(folder: Path, did: str, **facts: Any) -> None:
    """Write what the owner of the archive did, by their name on this machine."""
    Audit(folder).journal.append(did=did, who=f"owner:{getpass.getuser()}", address="", **facts)


def lines_of(folder: Path) -> list[Facts]:
    """All lines; BrokenChain where one is not what was written."""
    lines: list[Facts] = []
    Journal(folder / FILE, lines.append).refresh()
    return lines


def verify(folder: Path, expected: str | None = None) -> Verdict:
    """Follow the chain; with `expected` also look for a link that was noted before."""
    if not (folder / FILE).exists():
        raise InputError(f"{folder / FILE}: there is no audit log; isohash serve --login begins it")
    links: list[str] = []
    journal = Journal(folder / FILE, lambda line: links.append(line["chain"]))
    try:
        journal.refresh()
    except BrokenChain as error:
        return Verdict(len(links), journal.end.chain, error.line)
    missing = expected if expected and expected not in links else None
    return Verdict(len(links), journal.end.chain, missing=missing)
