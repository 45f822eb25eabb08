"""What was brought from a PACS, so that the next run asks for what is new only.

One file for an archive and a node, beside the key of pseudonyms: a line for each study, a keyed
digest of its UID with how many objects it had and the ids of the cases that it gave. No UID is
kept. Lines are only added, each safe on disk before the next study is brought; a line that a
failing machine cut is passed over, and its study brought again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isohash.errors import InputError
from isohash.sources.identity.pseudonyms import key_path, load_key, pseudonym
from isohash.sources.pacs.node import Study
from isohash.whole_files import OWNER_ONLY, append_line, private_folder

MOST_BYTES = 1 << 28


def study_name(study: Study) -> str:
    """A study as it may be shown and kept."""
    return pseudonym(load_key(), "study", study.uid)


@dataclass(frozen=True)
class Line:
    """What is known of one study."""

    n_objects: int | None
    cases: tuple[str, ...]
    why_not: str = ""


class Seen:
    """The studies that an archive has had from a node; held by one process at a time."""

    def __init__(self, archive: Path, node: str) -> None:
        self._path = seen_path(archive, node)
        private_folder(self._path.parent)
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            raise InputError(
                f"{archive}: another run brings studies of this node to it; wait for its end"
            ) from error
        self._lines = self._read()

    def close(self) -> None:
        """Let others in."""
        os.close(self._handle)

    def knows(self, study: Study, has: Callable[[str], bool]) -> bool:
        """Whether a study is as it was when it was brought, and its cases are still there."""
        line = self._lines.get(study_name(study))
        if line is None or study.n_objects is None or line.n_objects != study.n_objects:
            return False
        return all(map(has, line.cases))

    def note(self, study: Study, cases: Sequence[str], why_not: str = "") -> None:
        """Remember a study; safe on disk when this returns."""
        name, line = study_name(study), Line(study.n_objects, tuple(cases), why_not)
        self._lines[name] = line
        said = {"study": name, "objects": line.n_objects, "cases": cases, "why_not": why_not}
        end = os.fstat(self._handle).st_size
        append_line(self._handle, self._path, end, json.dumps(said).encode() + b"\n")

    def forget(self) -> None:
        """Bring everything again."""
        os.ftruncate(self._handle, 0)
        self._lines = {}

    def _read(self) -> dict[str, Line]:
        size = os.fstat(self._handle).st_size
        text = os.pread(self._handle, min(size, MOST_BYTES), 0)
        if text and not text.endswith(b"\n"):  # cut by a failing machine: the next begins anew
            os.write(self._handle, b"\n")
        found = (_line(line) for line in text.splitlines())
        return dict(one for one in found if one is not None)


def seen_path(archive: Path, node: str) -> Path:
    """Where it lies; the name tells neither the archive nor the node."""
    name = pseudonym(load_key(), "source", "pacs", node, os.path.realpath(archive))
    return key_path().with_name("pulled") / f"{name}.jsonl"


def _line(text: bytes) -> tuple[str, Line] | None:
    try:
        said: dict[str, Any] = json.loads(text)
        return str(said["study"]), Line(said["objects"], tuple(said["cases"]), str(said["why_not"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
